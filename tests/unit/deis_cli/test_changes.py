"""Deploy-class commands: texts, bodies, and an operation followed to its end (cli.md 6, 13.1.3)."""

import asyncio
import base64
import json

import pytest
from aiohttp import web

from deis_cli.core import follow
from tests.unit.deis_cli.scripted import VERSIONS, Person, untimed
from tests.unit.deis_cli.test_apps import page

OPERATION = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"
POD = {"name": "blog-web-5d9c6b7f44-k2x9p", "type": "web", "state": "up", "release": "v3"}


async def test_config(ada: Person) -> None:
    values = {"values": {"B": "two words", "LONG_NAME": "x", "A": 1}}
    ada.server.says("GET /v2/apps/blog/config/", 200, values)
    shown = await ada.types("config", "-a", "blog")
    assert (
        shown.out
        == "=== blog Config\nA              1\nB              two words\nLONG_NAME      x\n"
    )
    shown = await ada.types("config", "-a", "blog", "--oneline")
    assert shown.out == "A=1 B=two words LONG_NAME=x\n"
    shown = await ada.types("config:list", "-a", "blog", "--diff")
    assert shown.out == "A=1\nB=two words\nLONG_NAME=x\n"
    shown = await ada.types("config", "-a", "blog", "-o", "json")
    assert json.loads(shown.out) == {"A": "1", "B": "two words", "LONG_NAME": "x"}


async def test_config_set(ada: Person) -> None:
    ada.server.says("POST /v2/apps/blog/config/", 201, {"values": {"A": "x=y\nz", "E": ""}})
    ada.server.says("GET /v2/apps/blog/config/", 200, {"values": {"A": "é"}})
    shown = await ada.types("config:set", "A=x=y\nz", "E=", "#no", "-a", "blog")
    assert shown.out == "Creating config... done\n\n=== blog Config\nA      é\n"
    sent = ada.server.asked[0]
    assert sent.body == {"values": {"A": "x=y\nz", "E": ""}}
    assert sent.headers["Prefer"] == "respond-async"
    assert len(sent.headers["Idempotency-Key"]) == 36


@pytest.mark.parametrize("word", ["", "A", "1A=x", "A-B=x", "=x", "[=x"])
async def test_config_set_wrong_words(ada: Person, word: str) -> None:
    shown = await ada.types("config:set", "GOOD=1", word, "-a", "blog")
    assert shown.code == 1
    assert f"'{word}' does not match the pattern 'key=var'" in shown.err
    assert ada.server.paths() == []


async def test_config_unset(ada: Person) -> None:
    ada.server.says("POST /v2/apps/blog/config/", 422, {"detail": "A does not exist under values"})
    shown = await ada.types("config:unset", "A", "-a", "blog")
    assert shown.code == 1
    assert shown.out == "Removing config... \n"
    assert shown.err == "Error: Unable to process your request: A does not exist under values\n"
    assert ada.server.asked[0].body == {"values": {"A": None}}


async def test_ssh_key(ada: Person) -> None:
    ada.server.says("POST /v2/apps/blog/config/", 201, {"values": {}})
    ada.server.says("GET /v2/apps/blog/config/", 200, {"values": {}})
    key = ada.home / "key"
    key.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nx\n")
    await ada.types("config:set", f"SSH_KEY={key}", "-a", "blog")
    assert ada.server.asked[0].body["values"]["SSH_KEY"].startswith("LS0tLS1CRUdJTi")
    assert (await ada.types("config:set", "SSH_KEY=/none", "-a", "blog")).code == 1


async def test_scale(ada: Person) -> None:
    ada.server.says("POST /v2/apps/blog/scale/", 204)
    ada.server.says("GET /v2/apps/blog/pods/?limit=1000", 200, page(POD))
    shown = await ada.types("scale", "web=1", "worker=0", "-a", "blog")
    assert untimed(shown.out) == (
        "Scaling processes... but first, coffee!\n"
        "done in 0s\n"
        "=== blog Processes\n"
        "--- web:\n"
        "blog-web-5d9c6b7f44-k2x9p up (v3)\n"
    )
    assert ada.server.asked[0].body == {"web": 1, "worker": 0}
    ada.environ["DEIS_DRINK_OF_CHOICE"] = "tea"
    assert "but first, tea!" in (await ada.types("scale", "web=1", "-a", "blog")).out


@pytest.mark.parametrize("word", ["web=x", "web=-1", "web", "Web=1", "=1", "web=1.5"])
async def test_scale_wrong_words(ada: Person, word: str) -> None:
    assert (await ada.types("scale", word, "-a", "blog")).code == 1
    assert ada.server.paths() == []


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("", "pods/restart/"),
        ("web", "pods/web/restart/"),
        ("web-5d9c6b7f44-k2x9p", "pods/web/blog-web-5d9c6b7f44-k2x9p/restart/"),
        ("blog-web-5d9c6b7f44-k2x9p", "pods/web/blog-web-5d9c6b7f44-k2x9p/restart/"),
        ("blog-worker-5d9c6b7f44-aaaaa", "pods/worker/blog-worker-5d9c6b7f44-aaaaa/restart/"),
        ("my-type", "pods/my-type/restart/"),
    ],
)
async def test_restart(ada: Person, target: str, path: str) -> None:
    odd = POD | {"type": "my-type", "name": "blog-my-type-5d9c6b7f44-bbbbb"}
    ada.server.says("GET /v2/apps/blog/pods/", 200, page(POD, odd))
    ada.server.says(f"POST /v2/apps/blog/{path}", 200, [POD])
    shown = await ada.types("ps:restart", *([target] if target else []), "-a", "blog")
    assert shown.code == 0, shown.err
    assert untimed(shown.out).startswith(
        "Restarting processes... but first, coffee!\ndone in 0s\n=== blog Processes\n"
    )


async def test_restart_of_nothing(ada: Person) -> None:
    ada.server.says("POST /v2/apps/blog/pods/restart/", 200, [])
    shown = await ada.types("ps:restart", "-a", "blog")
    assert (shown.code, "Could not find any processes to restart" in shown.out) == (0, True)


def release(version: int, **more: object) -> dict[str, object]:
    """A release as the API shows it."""
    told = {"version": version, "created": "2027-02-01T09:12:44Z", "summary": f"ada did {version}"}
    return told | {"uuid": "u", "config": "c", "owner": "ada", "updated": "x", "build": "b"} | more


async def test_releases(ada: Person) -> None:
    ada.server.says("GET /v2/apps/blog/releases/?limit=100", 200, page(release(2), release(1)))
    shown = await ada.types("releases", "-a", "blog")
    assert shown.out == (
        "=== blog Releases\n"
        "v2\t2027-02-01T09:12:44Z\tada did 2\n"
        "v1\t2027-02-01T09:12:44Z\tada did 1\n"
    )


async def test_release_info(ada: Person) -> None:
    ada.server.says("GET /v2/apps/blog/releases/v2/", 200, release(2))
    shown = await ada.types("releases:info", "2", "-a", "blog")
    assert shown.out == (
        "=== blog Release v2\n"
        "build:    b\n"
        "config:   c\n"
        "owner:    ada\n"
        "created:  2027-02-01T09:12:44Z\n"
        "summary:  ada did 2\n"
        "updated:  x\n"
        "uuid:     u\n"
    )
    stages = {"version": 2, "stages": {"build": 3.0, "deploy": 1.0}, "total": 4.0}
    ada.server.says("GET /v2/apps/blog/releases/v2/stages", 200, stages)
    shown = await ada.types("releases:info", "v2", "-a", "blog")
    assert f"build     3.000s {'#' * 30}\n" in shown.out
    assert shown.out.endswith("total     4.000s\n")
    shown = await ada.types("releases:info", "v2", "-a", "blog", "-o", "json")
    assert json.loads(shown.out)["stages"] == {"build": 3.0, "deploy": 1.0}
    assert shown.err == ""


async def test_rollback(ada: Person) -> None:
    ada.server.says("POST /v2/apps/blog/releases/rollback/", 201, {"version": 5})
    assert (
        await ada.types("rollback", "-a", "blog")
    ).out == "Rolling back one release... done, v5\n"
    assert ada.server.asked[-1].body is None
    shown = await ada.types("rollback", "v2", "-a", "blog")
    assert shown.out == "Rolling back to v2... done, v5\n"
    assert ada.server.asked[-1].body == {"version": 2}
    assert (await ada.types("rollback", "", "-a", "blog")).code == 1


async def test_builds(ada: Person) -> None:
    build = {"uuid": "b1", "created": "2027-02-01T09:12:44Z"}
    ada.server.says("GET /v2/apps/blog/builds/?limit=100", 200, page(build))
    assert (await ada.types("builds", "-a", "blog")).out == (
        "=== blog Builds\nb1 2027-02-01T09:12:44Z\n"
    )
    ada.server.says("POST /v2/apps/blog/builds/", 201, build)
    shown = await ada.types("pull", "org/image", "-a", "blog", "-p", "web: ./serve\nworker: 'x y'")
    assert shown.out == "Creating build... done\n"
    assert ada.server.asked[-1].body == {
        "image": "org/image",
        "procfile": {"web": "./serve", "worker": "x y"},
    }
    assert (await ada.types("pull", "org/image", "-a", "blog", "-p", "[")).code == 1


async def test_a_failed_deploy_says_why(ada: Person) -> None:
    ada.server.says("POST /v2/apps/blog/builds/", 400, {"detail": "image org/x: not found"})
    shown = await ada.types("pull", "org/x", "-a", "blog")
    assert (shown.code, shown.err) == (1, "Error: image org/x: not found\n")


def accepted(ada: Person, *states: dict[str, object]) -> None:
    """Our gateway: 202, an operation that goes through these states, no event stream."""
    left = list(states)

    async def read(_: web.Request) -> web.Response:
        found = left.pop(0) if len(left) > 1 else left[0]
        if found.get("away"):
            return web.Response(status=503)
        return web.json_response({"id": OPERATION} | found, headers=VERSIONS)

    pending = {"operation": OPERATION, "state": "queued", "url": f"/v2/operations/{OPERATION}"}
    ada.server.says("POST /v2/apps/blog/releases/rollback/", 202, pending)
    ada.server.answers[f"GET /v2/operations/{OPERATION}"] = read


async def test_an_operation_is_followed_to_its_end(ada: Person) -> None:
    ended = {"state": "succeeded", "status": 201, "answer": {"version": 6}}
    accepted(ada, {"state": "queued"}, {"state": "running"}, ended)
    shown = await ada.types("rollback", "-a", "blog")
    assert (shown.code, shown.out) == (0, "Rolling back one release... done, v6\n")
    assert sum("operations" in path for path in ada.server.paths()) == 3


async def test_a_platform_that_goes_away_meanwhile_fails_nothing(ada: Person) -> None:
    ended = {"state": "succeeded", "status": 201, "answer": {"version": 6}}
    accepted(ada, {"away": True}, {"state": "running"}, {"away": True}, ended)
    shown = await ada.types("rollback", "-a", "blog")
    assert (shown.code, shown.out) == (0, "Rolling back one release... done, v6\n")
    assert "the deploy goes on" in shown.err


async def test_a_failed_operation_is_the_original_error(ada: Person) -> None:
    accepted(
        ada, {"state": "failed", "status": 400, "answer": {"detail": "web did not become ready"}}
    )
    shown = await ada.types("rollback", "-a", "blog")
    assert (shown.code, shown.err) == (1, "Error: web did not become ready\n")


async def test_the_event_wakes_the_reader(ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it nobody would look again for an hour."""
    monkeypatch.setattr(follow, "READ_AGAIN_SECONDS", 3600.0)
    looked, twice = 0, asyncio.Event()

    async def read(_: web.Request) -> web.Response:
        nonlocal looked
        looked += 1
        if looked == 2:
            twice.set()
        found = {"state": "succeeded", "status": 201, "answer": {"version": 6}}
        state = found if looked == 3 else {"state": "queued"}
        return web.json_response({"id": OPERATION} | state, headers=VERSIONS)

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await twice.wait()  # the reader looks once more when the stream stands
        told = json.dumps({"data": {"operation": OPERATION}})
        await response.write(f"id: e-1\nevent: operation.done\ndata: {told}\n\n".encode())
        return response

    accepted(ada, {"state": "queued"})
    ada.server.answers[f"GET /v2/operations/{OPERATION}"] = read
    ada.server.answers["GET /v2/events"] = stream
    shown = await ada.types("rollback", "-a", "blog")
    assert shown.out == "Rolling back one release... done, v6\n"
    assert looked == 3


async def test_a_lost_answer_is_asked_for_again_under_the_same_key(ada: Person) -> None:
    keys: list[str] = []

    async def flaky(request: web.Request) -> web.Response:
        keys.append(request.headers["Idempotency-Key"])
        if len(keys) == 1 and request.transport is not None:
            request.transport.abort()
        return web.json_response({"version": 4}, status=201, headers=VERSIONS)

    ada.server.answers["POST /v2/apps/blog/releases/rollback/"] = flaky
    ada.server.says("GET /v2/platform", 200, {"git": "ssh://git@localhost:2222"})
    shown = await ada.types("rollback", "-a", "blog")
    assert (shown.code, shown.out) == (0, "Rolling back one release... done, v4\n")
    assert len(keys) == 2
    assert keys[0] == keys[1]


async def test_an_original_controller_is_not_asked_twice(ada: Person) -> None:
    count: list[int] = []

    async def flaky(request: web.Request) -> web.Response:
        count.append(1)
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

    ada.server.answers["POST /v2/apps/blog/releases/rollback/"] = flaky
    shown = await ada.types("rollback", "-a", "blog")
    assert shown.code == 1
    assert "the connection was lost" in shown.err
    assert len(count) == 1


async def test_a_failed_release_tells_its_state_and_why(ada: Person) -> None:
    failed = release(3, state="failed", exception="error: web did not become ready", build=None)
    ada.server.says("GET /v2/apps/blog/releases/v3/", 200, failed)
    lines = (await ada.types("releases:info", "v3", "-a", "blog")).out.splitlines()
    assert lines[1] == "config:   c"
    assert lines[-2:] == ["state:    failed", "error:    web did not become ready"]


@pytest.mark.parametrize("version", ["x", "v", "-1", "v1.5", "٣"])
async def test_what_is_no_version_asks_nothing(ada: Person, version: str) -> None:
    shown = await ada.types("releases:info", "-a", "blog", "--", version)
    assert (shown.code, ada.server.paths()) == (1, [])
    assert "is no version: v3 or 3" in shown.err


async def test_a_procfile_from_a_file(ada: Person) -> None:
    ada.server.says("POST /v2/apps/blog/builds/", 201, {"uuid": "b1"})
    (ada.folder / "Procfile").write_text("# types\n\nweb: ./serve --port $PORT\n")
    shown = await ada.types("pull", "org/image", "-a", "blog", "--procfile-path", "Procfile")
    assert shown.code == 0
    assert ada.server.asked[-1].body["procfile"] == {"web": "./serve --port $PORT"}
    shown = await ada.types("pull", "org/image", "-a", "blog", "--procfile-path", "none")
    assert (shown.code, "Cannot read none" in shown.err) == (1, True)


async def test_health_checks_as_variables_are_taken_with_a_word(ada: Person) -> None:
    ada.server.says("POST /v2/apps/blog/config/", 201, {"values": {"WORKFLOW_RELEASE": "v9"}})
    ada.server.says("GET /v2/apps/blog/config/", 200, {"values": {}})
    shown = await ada.types("config:set", "HEALTHCHECK_URL=/", "-a", "blog")
    assert shown.out.startswith("Creating config... done, v9\n")
    assert "deprecated" in shown.err
    assert (await ada.types("config:set", "#nothing", "-a", "blog")).code == 1


@pytest.mark.parametrize("text", ["-----BEGIN RSA PRIVATE KEY-----\nx\n", "no key", ""])
async def test_an_ssh_key_as_text_or_none(ada: Person, text: str) -> None:
    ada.server.says("POST /v2/apps/blog/config/", 201, {"values": {}})
    ada.server.says("GET /v2/apps/blog/config/", 200, {"values": {}})
    shown = await ada.types("config:set", f"SSH_KEY={text}", "-a", "blog")
    if text.startswith("-----BEGIN"):
        kept = ada.server.asked[0].body["values"]["SSH_KEY"]
        assert base64.b64decode(kept).decode() == text
        await ada.types("config:set", f"SSH_KEY={kept}", "-a", "blog")
        assert ada.server.asked[-2].body["values"]["SSH_KEY"] == kept
    else:
        assert (shown.code, ada.server.paths()) == (1, [])
