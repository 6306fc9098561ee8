"""Applications: what is asked and what is printed, to the letter (cli.md 6.1)."""

import json
import shutil
from typing import Any

import pytest
from aiohttp import web

from deis_cli.core import apps, models
from deis_cli.core.client import Api
from deis_cli.listing import log_line
from tests.unit.deis_cli.scripted import VERSIONS, Person, Terminal, untimed

BLOG = {
    "uuid": "5c0f7c1e",
    "id": "blog",
    "owner": "ada",
    "created": "2027-01-30T18:02:10Z",
    "updated": "2027-02-01T09:12:44Z",
}


def page(*rows: Any, count: int | None = None) -> dict[str, Any]:
    """A page of a list."""
    found = list(rows)
    return {"results": found, "count": len(found) if count is None else count, "next": None}


async def test_create_outside_git(ada: Person) -> None:
    ada.server.says("POST /v2/apps/", 201, BLOG)
    shown = await ada.types("create")
    assert shown.code == 0
    assert shown.out == (
        "Creating Application... done, created blog\n"
        "If you want to add a git remote for this app later, use `deis git:remote -a blog`\n"
    )
    assert ada.server.asked[0].body is None
    assert ada.server.asked[0].headers["Content-Type"] == "application/json"


async def test_create_adds_the_advertised_remote(ada: Person) -> None:
    await ada.git("init", "-q")
    ada.server.says("POST /v2/apps/", 201, BLOG)
    ada.server.says(
        "GET /v2/platform", 200, {"git": "ssh://git@localhost:2222", "domain": "localhost"}
    )
    shown = await ada.types("apps:create", "blog")
    assert shown.out == (
        "Creating Application... done, created blog\n"
        "Git remote deis successfully created for app blog.\n"
    )
    assert ada.server.asked[0].body == {"id": "blog"}
    assert "ssh://git@localhost:2222/blog.git (push)" in await ada.git("remote", "-v")


async def test_create_derives_the_remote_of_an_original_controller(ada: Person) -> None:
    await ada.git("init", "-q")
    ada.server.says("POST /v2/apps/", 201, BLOG)
    await ada.types("create", "--remote", "up")
    assert "up\tssh://git@deis-builder.localhost:2222/blog.git (push)" in await ada.git(
        "remote", "-v"
    )


async def test_create_with_a_remote_in_use(ada: Person) -> None:
    await ada.git("init", "-q")
    await ada.git("remote", "add", "deis", "https://example.com/x.git")
    ada.server.says("POST /v2/apps/", 201, BLOG)
    shown = await ada.types("create")
    assert shown.code == 1
    assert "deis git:remote --force --remote deis --app blog" in shown.err


async def test_create_with_a_buildpack(ada: Person) -> None:
    ada.server.says("POST /v2/apps/", 201, BLOG)
    ada.server.says("POST /v2/apps/blog/config/", 201, {"values": {}})
    await ada.types("create", "-b", "https://example.com/pack.git", "--no-remote")
    assert ada.server.asked[1].body == {"values": {"BUILDPACK_URL": "https://example.com/pack.git"}}


async def test_create_a_taken_name(ada: Person) -> None:
    ada.server.says("POST /v2/apps/", 400, {"id": ["Application with this id already exists."]})
    shown = await ada.types("create", "blog")
    assert shown.code == 1
    assert shown.out == "Creating Application... \n"
    assert shown.err == "Error: Application with this id already exists.\n"


async def test_list(ada: Person) -> None:
    ada.server.says("GET /v2/apps/?limit=100", 200, page(BLOG))
    assert (await ada.types("apps")).out == "=== Apps\nblog\n"
    ada.server.says("GET /v2/apps/?limit=1", 200, page(BLOG, count=3))
    assert (await ada.types("apps:list", "-l", "1")).out == "=== Apps (1 of 3)\nblog\n"
    shown = await ada.types("apps", "-o", "json")
    assert json.loads(shown.out)[0]["id"] == "blog"


def describe(ada: Person, *domains: str) -> None:
    """Script everything that `apps:info` asks for."""
    pods = [
        {"name": f"blog-web-5d9c6b7f44-{end}", "type": "web", "state": "up", "release": "v4"}
        for end in ("zzzzz", "k2x9p")
    ]
    found = page(*({"domain": domain} for domain in domains))
    ada.server.says("GET /v2/apps/blog/", 200, BLOG)
    ada.server.says("GET /v2/apps/blog/domains/", 200, found)
    ada.server.says("GET /v2/apps/blog/pods/", 200, page(*pods))
    ada.server.says("GET /v2/apps/blog/settings/", 200, {"label": {"team": "payments"}})


async def test_info(ada: Person) -> None:
    describe(ada, "blog", "www.example.com")
    shown = await ada.types("info", "-a", "blog")
    port = ada.server.url.rpartition(":")[2]
    assert shown.out == (
        "=== blog Application\n"
        "updated:  2027-02-01T09:12:44Z\n"
        "uuid:     5c0f7c1e\n"
        "created:  2027-01-30T18:02:10Z\n"
        f"url:      blog.localhost:{port}\n"
        "owner:    ada\n"
        "id:       blog\n"
        "\n"
        "=== blog Processes\n"
        "--- web:\n"
        "blog-web-5d9c6b7f44-k2x9p up (v4)\n"
        "blog-web-5d9c6b7f44-zzzzz up (v4)\n"
        "\n"
        "=== blog Domains\n"
        "blog\n"
        "www.example.com\n"
        "\n"
        "=== blog Label\n"
        "team:      payments\n"
        "\n"
    )


async def test_info_without_domains_and_settings(ada: Person) -> None:
    describe(ada)
    del ada.server.answers["GET /v2/apps/blog/settings/"]
    shown = await ada.types("info", "-a", "blog")
    assert "url:      No domain assigned" in shown.out
    assert "Label" not in shown.out


async def test_open(ada: Person) -> None:
    describe(ada, "www.example.com")
    folder = ada.home / "bin"
    folder.mkdir()
    opener = folder / "xdg-open"
    opener.write_text(f'#!/bin/sh\necho "$@" > {ada.home}/opened\n')
    opener.chmod(0o755)
    ada.environ["PATH"] = f"{folder}:{ada.environ['PATH']}"
    shown = await ada.types("open", "-a", "blog")
    assert (shown.code, shown.out) == (0, "")
    assert (ada.home / "opened").read_text() == "http://www.example.com\n"


async def test_destroy(ada: Person) -> None:
    ada.server.says("DELETE /v2/apps/blog/", 204)
    shown = await ada.types("destroy", "-a", "blog", "--confirm=blog")
    assert untimed(shown.out) == "Destroying blog...\ndone in 0s\n"


async def test_destroy_asks(ada: Person) -> None:
    ada.server.says("DELETE /v2/apps/blog/", 204)
    shown = await ada.types("destroy", "-a", "blog", stdin="blag\n", terminal=True)
    assert shown.code == 1
    assert shown.out.startswith(" !    WARNING")
    assert "does not match confirm" in shown.err
    shown = await ada.types("destroy", "-a", "blog")
    assert shown.code == 1
    assert "--confirm=blog" in shown.err
    assert ada.server.paths() == []
    assert (await ada.types("destroy", "-a", "blog", stdin="blog\n", terminal=True)).code == 0


async def test_destroy_of_an_inferred_app_removes_its_remotes(ada: Person) -> None:
    await ada.git("init", "-q")
    await ada.git("remote", "add", "deis", "ssh://git@deis-builder.localhost:2222/blog.git")
    await ada.git("remote", "add", "other", "ssh://git@example.com/blog.git")
    ada.server.says("DELETE /v2/apps/blog/", 204)
    shown = await ada.types("destroy", "--confirm=blog")
    assert shown.out.endswith("Git remotes for app blog removed.\n")
    assert (await ada.git("remote")).split() == ["other"]


async def test_transfer(ada: Person) -> None:
    ada.server.says("POST /v2/apps/blog/", 200)
    shown = await ada.types("apps:transfer", "bob", "-a", "blog")
    assert shown.out == "Transferring blog to bob... done\n"
    assert ada.server.asked[0].body == {"owner": "bob"}


async def test_logs(ada: Person) -> None:
    text = "2027-02-01T09:12:44+00:00 blog[web.v2.k2x9p]: hello\nsecond\n"

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=text, headers=VERSIONS)

    ada.server.answers["GET /v2/apps/blog/logs"] = answer
    assert (await ada.types("logs", "-a", "blog")).out == text
    await ada.types("logs", "-a", "blog", "-n", "5")
    assert ada.server.paths()[-1] == "GET /v2/apps/blog/logs?log_lines=5"


async def test_no_logs_says_why(ada: Person) -> None:
    for status, body, why in (
        (204, None, "printed nothing yet"),
        (404, "No App matches the given query.", "no such application"),
        (500, None, "does not answer"),
    ):
        ada.server.says("GET /v2/apps/blog/logs", status, body)
        shown = await ada.types("logs", "-a", "blog")
        assert shown.code == 1
        assert shown.err.startswith("Error: There are currently no log messages")
        assert why in shown.err


async def test_following_logs_of_an_original_ends(ada: Person) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="one\ntwo\n", headers=VERSIONS)

    ada.server.answers["GET /v2/apps/blog/logs"] = answer
    shown = await ada.types("logs", "-f", "-a", "blog")
    assert shown.out == "one\ntwo\n"
    assert "cannot follow" in shown.err


async def test_following_logs_survives_a_broken_connection(ada: Person) -> None:
    rounds = iter((["one", "two"], ["one", "two", "three"], []))

    async def answer(request: web.Request) -> web.StreamResponse:
        lines = next(rounds)
        if not lines:
            return web.json_response("No App matches the given query.", status=404)
        response = web.StreamResponse(headers=VERSIONS | {"Deis-Stream": "logs"})
        await response.prepare(request)
        await response.write("".join(f"{line}\n" for line in lines).encode())
        return response

    ada.server.answers["GET /v2/apps/blog/logs"] = answer
    shown = await ada.types("logs", "-f", "-a", "blog")
    assert shown.out == "one\ntwo\nthree\n"
    assert shown.code == 1


async def test_run_falls_back_to_the_original_answer(ada: Person) -> None:
    ada.server.says("POST /v2/apps/blog/run", 200, {"exit_code": 0, "output": "héllo\n"})
    shown = await ada.types("run", "-a", "blog", "--", "echo", "-n", "héllo")
    assert (shown.code, shown.out) == (0, "Running 'echo -n héllo'...\nhéllo\n")
    assert ada.server.asked[-1].body == {"command": "echo -n héllo"}
    ada.server.says("POST /v2/apps/blog/run", 200, {"exit_code": 7, "output": "no\n"})
    shown = await ada.types("run", "-a", "blog", "exit 7")
    assert (shown.code, shown.err) == (7, "no\n")


async def test_run_streams(ada: Person) -> None:
    told: list[Any] = []

    async def socket(request: web.Request) -> web.StreamResponse:
        ws = web.WebSocketResponse(protocols=("deis.run.v1",))
        await ws.prepare(request)
        told.append(await ws.receive_json())
        told.append((await ws.receive()).json())
        await ws.send_json({"type": "started"})
        await ws.send_bytes(b"\x01out\n")
        await ws.send_bytes(b"\x02bad\n")
        await ws.send_json({"type": "exit", "code": 3})
        await ws.close()
        return ws

    ada.server.answers["GET /v2/apps/blog/run"] = socket
    shown = await ada.types("run", "-a", "blog", "ls")
    assert (shown.code, shown.out, shown.err) == (3, "Running 'ls'...\nout\n", "bad\n")
    assert told[0]["command"] == "ls"
    assert told[0]["tty"] is False
    assert told[1] == {"type": "end"}


async def test_run_refused(ada: Person) -> None:
    async def socket(request: web.Request) -> web.StreamResponse:
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        await ws.receive()
        await ws.send_json({"type": "refused", "status": 403, "body": {"detail": "no"}})
        await ws.close()
        return ws

    ada.server.answers["GET /v2/apps/blog/run"] = socket
    shown = await ada.types("run", "-a", "blog", "ls")
    assert shown.code == 1
    assert "do not have permission" in shown.err


async def test_exact_words(ada: Person) -> None:
    ada.server.says("POST /v2/apps/blog/run", 200, {"exit_code": 0, "output": ""})
    await ada.types("run", "-a", "blog", "--exact", "--", "echo", "a  b")
    assert ada.server.asked[-1].body == {"command": "echo 'a  b'"}


@pytest.mark.parametrize("trouble", ["no opener", "it fails", "no domain"])
async def test_open_says_what_is_wrong(ada: Person, trouble: str) -> None:
    describe(ada, *([] if trouble == "no domain" else ["www.example.com"]))
    folder = ada.home / "bin"
    folder.mkdir()
    if trouble == "it fails":
        (folder / "xdg-open").write_text("#!/bin/sh\nexit 3\n")
        (folder / "xdg-open").chmod(0o755)
    git = shutil.which("git")
    assert git is not None
    (folder / "git").symlink_to(git)
    ada.environ["PATH"] = f"{folder}"
    if trouble == "it fails":
        (folder / "sh").symlink_to("/bin/sh")
    shown = await ada.types("open", "-a", "blog")
    assert (shown.code, shown.out) == (1, "")
    assert {
        "no opener": "xdg-open is not installed; the page is http://www.example.com",
        "it fails": "xdg-open could not open http://www.example.com",
        "no domain": "No domain is assigned",
    }[trouble] in shown.err


@pytest.mark.parametrize(
    ("controller", "domain", "address"),
    [
        ("http://deis.localhost:8000", "", "blog.localhost:8000"),
        ("https://deis.example.net", "", "blog.example.net"),
        ("http://127.0.0.1:8000", "apps.test", "blog.apps.test:8000"),
        ("http://localhost:8000", "localhost", "blog.localhost:8000"),
        ("http://127.0.0.1:8000", "", "blog.127.0.0.1:8000"),
    ],
)
async def test_where_an_application_answers(controller: str, domain: str, address: str) -> None:
    class Told(Api):
        async def get(self, path: str, kind: Any, **query: Any) -> Any:
            return models.Page([models.Domain("blog")], 1)

        async def platform(self) -> models.Platform:
            return models.Platform(domain=domain)

    assert await apps.address(Told(controller), "blog") == address


def test_a_colour_for_each_process_and_one_for_the_platform() -> None:
    def colour(line: str) -> str:
        return log_line(line, colour=True).partition("m")[0]

    web, other = "T blog[web.v2.aaaaa]: a", "T blog[web.v2.aaaab]: a"
    assert log_line(web, colour=False) == web
    assert log_line(web, colour=True).endswith(f"m{web}\x1b[0m")
    assert colour(web) == colour(web.replace(": a", ": b c d"))
    assert colour(web) != colour(other)
    assert colour("T deis[controller]: INFO ada scaled") == "\x1b[35"
    assert colour("odd") != "\x1b[35"


async def test_colours_only_for_a_terminal_that_wants_them(ada: Person) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="T blog[web.v2.a]: hello\n", headers=VERSIONS)

    ada.server.answers["GET /v2/apps/blog/logs"] = answer
    ada.out = Terminal
    assert "\x1b[" in (await ada.types("logs", "-a", "blog")).out
    assert "\x1b[" not in (await ada.types("logs", "-a", "blog", "--no-color")).out
    ada.environ["NO_COLOR"] = "1"
    assert "\x1b[" not in (await ada.types("logs", "-a", "blog")).out


async def test_destroy_refuses_a_wrong_confirmation_at_once(ada: Person) -> None:
    shown = await ada.types("destroy", "-a", "blog", "--confirm=blag")
    assert (shown.code, ada.server.paths()) == (1, [])
    assert "App blog does not match confirm blag, aborting." in shown.err


async def test_nothing_leaves_without_git(ada: Person) -> None:
    ada.environ["PATH"] = "/nonexistent"
    ada.server.says("POST /v2/apps/", 201, BLOG)
    shown = await ada.types("create", "blog")
    assert shown.code == 0, "git is not needed for an application"
    assert "If you want to add a git remote for this app later" in shown.out
    shown = await ada.types("git:remote", "-a", "blog")
    assert (shown.code, "git cannot be started" in shown.err) == (1, True)
