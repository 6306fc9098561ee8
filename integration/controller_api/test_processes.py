"""Instances, one-off commands and logs, as the API shows them (api.md 10 to 12)."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from deis_bus.contracts.logs import FOLLOW, TAIL, Follow, Lines, Tail
from deis_bus.contracts.runtime import AppRef, AppSpec, Artifact, Process
from deis_bus.ports import ServiceInfo
from deis_bus.rpc import Context, Empty, endpoints
from integration.controller_api.rig import Api

pytestmark = pytest.mark.server

LOGGER = ServiceInfo(name="logger", version="0.0.1")


@pytest.fixture
async def amber(api: Api) -> Api:
    """Ada's application `amber`."""
    await api.user("ada")
    await api.send("apps.create", "ada", {"id": "amber"})
    return api


async def running(api: Api, release: int, app: str = "amber", **counts: int) -> AppRef:
    """Instances of a release, all of them up."""
    uuid = (await api.send("apps.read", "ada", app=app)).body["uuid"]
    ref = AppRef(app=app, appuuid=uuid)
    spec = AppSpec(
        app=app,
        appuuid=uuid,
        generation=1,
        release=release,
        artifact=Artifact(image="registry/x"),
        environment={},
        processes=tuple(Process(type=name, count=count) for name, count in counts.items()),
    )
    await api.deps.runtime.apply(spec)
    async with asyncio.timeout(10):
        async for _ in api.deps.runtime.watch():
            found = await api.deps.runtime.instances(ref)
            if [one.state for one in found].count("up") == sum(counts.values()):
                break
    return ref


async def test_pods_of_the_newest_successful_release(amber: Api) -> None:
    empty = (await amber.send("pods.list", "ada", app="amber")).body
    assert empty == {"results": [], "count": 0}
    release = await amber.deployed("amber")
    await running(amber, release.version, web=2, worker=1)
    shown = (await amber.send("pods.list", "ada", app="amber")).body
    assert shown["count"] == 3
    for pod in shown["results"]:
        assert list(pod) == ["name", "state", "release", "type", "started"]
        assert (pod["state"], pod["release"]) == ("up", "v2")
        assert pod["name"].startswith(f"amber-{pod['type']}-")
        assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", pod["started"])
    web = (await amber.send("pods.list.type", "ada", app="amber", type="web")).body
    assert {pod["type"] for pod in web["results"]} == {"web"}
    one = web["results"][0]["name"]
    for name in (one, one.removeprefix("amber-")):
        found = await amber.send("pods.list.pod", "ada", app="amber", typed="web", pod=name)
        assert [pod["name"] for pod in found.body["results"]] == [one]
    other = await amber.send("pods.list.pod", "ada", app="amber", typed="web", pod="x")
    assert (other.status, other.body["count"]) == (200, 0)
    await amber.deployed("amber")
    assert (await amber.send("pods.list", "ada", app="amber")).body["count"] == 0


async def test_a_short_name_in_an_application_that_is_called_as_the_type(api: Api) -> None:
    await api.user("ada")
    await api.send("apps.create", "ada", {"id": "web"})
    release = await api.deployed("web")
    ref = await running(api, release.version, "web", web=1)
    (one,) = await api.deps.runtime.instances(ref)
    for name in (one.name, one.name.removeprefix("web-")):
        found = await api.send("pods.list.pod", "ada", app="web", typed="web", pod=name)
        assert [pod["name"] for pod in found.body["results"]] == [one.name]


async def test_a_command_needs_a_build(amber: Api) -> None:
    for body, text in (
        ({}, "command is a required field"),
        ({"command": ""}, "command is a required field"),
        ({"command": "ls"}, "No build associated with this release to run this command"),
    ):
        reply = await amber.send("apps.run", "ada", body, app="amber", stream="s1")
        assert (reply.status, reply.body) == (400, {"detail": text})
    wrong: tuple[tuple[dict[str, object], str], ...] = (
        ({"command": ["ls"]}, "command"),
        ({"command": "x" * 100_001}, "command"),
        ({"command": "a\0b"}, "command"),
        ({"command": "ls", "columns": 0}, "columns"),
        ({"command": "ls", "rows": "24"}, "rows"),
        ({"command": "ls", "tty": "perhaps"}, "tty"),
    )
    for asked, field in wrong:
        reply = await amber.send("apps.run", "ada", asked, app="amber", stream="s1")
        assert (reply.status, list(reply.body)) == (400, [field])
    assert "app.run" not in [event[0] for event in await amber.events()]


async def test_a_command_is_started_and_told_without_its_words(amber: Api) -> None:
    await amber.deployed("amber", GREETING="Salut")
    stream = await amber.deps.bus.open_stream("s1", "opener")
    body = {"command": "echo s3cret"}
    reply = await amber.send("apps.run", "ada", body, app="amber", stream="s1")
    assert reply.status == 200
    assert re.fullmatch(r"amber-run-[a-z0-9]{5}", reply.body["instance"])
    assert (await amber.events())[-1] == ("app.run", "amber", True, "ada")
    told = await amber.rows("SELECT convert_from(data, 'UTF8') AS text FROM events")
    assert "s3cret" not in str(told)
    await stream.close()


class Logger:
    """What the logger would answer; keeps what it was asked."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.asked: list[Tail | Follow] = []

    async def tail(self, question: Tail, _: Context) -> Lines:
        self.asked.append(question)
        return Lines(self.text)

    async def follow(self, question: Follow, _: Context) -> Empty:
        self.asked.append(question)
        return Empty()


@asynccontextmanager
async def logger(api: Api, text: str) -> AsyncIterator[Logger]:
    """A logger on the bus."""
    made = Logger(text)
    handlers = endpoints(
        {TAIL: made.tail, FOLLOW: made.follow}, lambda _, fault: pytest.fail(str(fault))
    )
    async with api.deps.bus.serve(LOGGER, handlers):
        yield made


async def test_logs(amber: Api) -> None:
    async with logger(amber, "one\ntwo\n") as asked:
        reply = await amber.send("apps.logs", "ada", app="amber")
        assert (reply.status, reply.answer.text) == (200, "one\ntwo\n")
        for lines, wanted in (("7", 7), ("0", 100), ("x", 100), ("9" * 20, 100), ("5000", 1000)):
            await amber.send("apps.logs", "ada", app="amber", query={"log_lines": lines})
            assert asked.asked[-1].lines == wanted
        follow = {"follow": "true"}
        reply = await amber.send("apps.logs", "ada", app="amber", query=follow, stream="s1")
        assert reply.status == 200
        newest = asked.asked[-1]
        assert isinstance(newest, Follow)
        assert newest.stream == "s1"
        assert {(one.app, bool(one.appuuid)) for one in asked.asked} == {("amber", True)}


async def test_there_may_be_no_logs(amber: Api) -> None:
    async with logger(amber, ""):
        reply = await amber.send("apps.logs", "ada", app="amber")
        assert (reply.status, reply.answer.text, reply.body) == (204, None, None)


async def test_the_logger_may_be_away(amber: Api) -> None:
    reply = await amber.send("apps.logs", "ada", app="amber")
    assert (reply.status, reply.answer.text) == (503, "Error accessing logs for amber")
