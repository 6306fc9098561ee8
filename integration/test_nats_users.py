"""Every user of a server with the generated users tries every family (DESIGN 4, Rights)."""

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import nats
import nats.errors
import pytest

from deis_bus import automation, cursors, dead, subjects, users
from deis_bus.errors import Permanent, Transient
from deis_bus.jetstream import JetStreamBus, connect
from deis_bus.ports import Answer, ServiceInfo
from deis_bus.streams import BUCKETS, EVENTS, REPORTS, ROUTERS, ROUTES, STREAMS, Durable
from deis_platform.embedded import binaries
from deis_platform.embedded.keeper import Keeper
from deis_platform.embedded.nats import Nats
from integration.nats_rights import BOT, EVERYBODY, PUBLISH, SUBSCRIBE, B, C, G, M, P, R, X
from integration.servers import RunningNats, serving, until
from tests.behaviour.bus import PATIENCE, PUSHED, envelope, one

pytestmark = pytest.mark.server


def passwords(names: Iterable[str] = users.SERVICES) -> dict[str, str]:
    """A password for each, with signs that a configuration might stumble over."""
    return {name: f'{name}-"$pass\\word' for name in names}


class Guarded:
    """A server with generated users; `automations` may be changed and told with `reload`."""

    def __init__(self, folder: Path) -> None:
        self.automations: list[users.Automation] = []
        self.program = Nats(folder / "nats", binaries.nats_server(), self._block)
        self.running: RunningNats

    def _block(self) -> str:
        return users.authorization(passwords(), self.automations)

    def reload(self) -> None:
        """Write the users anew and let the server read them."""
        self.program.write()
        self.running.server.signal(signal.SIGHUP)

    def bus(self, name: str) -> AbstractAsyncContextManager[JetStreamBus]:
        """The bus as that service."""
        return connect(self.running.url, name, user=name, password=passwords()[name])


@asynccontextmanager
async def guarded(folder: Path, *names: str) -> AsyncIterator[Guarded]:
    """A guarded server with automations of these names."""
    it = Guarded(folder)
    it.automations = [users.Automation(name, "secret") for name in names]
    async with Keeper(folder, "k") as keeper, serving(it.program, keeper, folder) as server:
        it.running = RunningNats(it.program.url, it.program, server)
        yield it


@asynccontextmanager
async def logged_in(
    url: str, user: str, password: str
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A bare connection: the protocol tells at once what is refused, the client only later."""
    host, port = url.removeprefix("nats://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        async with asyncio.timeout(PATIENCE):
            assert (await reader.readline()).startswith(b"INFO")
            login = {"user": user, "pass": password, "verbose": False, "headers": True}
            writer.write(f"CONNECT {json.dumps(login)}\r\nPING\r\n".encode())
            yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def lets_in(url: str, user: str, password: str) -> bool:
    """Whether the server takes this user."""
    try:
        async with logged_in(url, user, password) as (reader, _):
            return (await reader.readline()).startswith(b"PONG")
    except ConnectionResetError:
        return False  # the server says why and closes; the word may get lost with the connection


async def refused(url: str, user: str, password: str) -> tuple[set[str], set[str]]:
    """Subjects that this user may not publish and may not subscribe to, by trying them all."""
    lines = [f"PUB {subject} 0\r\n" for subject in PUBLISH]
    lines += [f"SUB {subject} {number}" for number, subject in enumerate(SUBSCRIBE)]
    publish: set[str] = set()
    subscribe: set[str] = set()
    async with logged_in(url, user, password) as (reader, writer):
        assert (await reader.readline()).startswith(b"PONG")
        writer.write("".join(f"{line}\r\n" for line in [*lines, "PING"]).encode())
        while not (line := (await reader.readline()).decode()).startswith("PONG"):
            if line.startswith("-ERR"):
                assert "Permissions Violation" in line, line
                (publish if "for Publish to" in line else subscribe).add(line.split('"')[1])
            elif line.startswith(("MSG", "HMSG")):
                await reader.readexactly(int(line.split()[-1]) + 2)
    return publish, subscribe


async def test_every_user_may_what_it_works_with_and_nothing_else(tmp_path: Path) -> None:
    async with guarded(tmp_path, "bot") as server:
        for user in sorted(EVERYBODY):
            password = "secret" if user == BOT else passwords()[user]
            no_publish, no_subscribe = await refused(server.running.url, user, password)
            may_publish = set(PUBLISH) - no_publish
            may_subscribe = set(SUBSCRIBE) - no_subscribe
            assert may_publish == {s for s, who in PUBLISH.items() if user in who}, user
            assert may_subscribe == {s for s, who in SUBSCRIBE.items() if user in who}, user


def test_no_family_is_missing_from_the_tables() -> None:
    families = {
        value
        for name, value in vars(subjects).items()
        if name.isupper() and isinstance(value, str) and value.startswith("deis.")
    }
    families |= {pattern for stream in STREAMS for pattern in stream.subjects}
    families |= {f"$KV.{bucket.name}.>" for bucket in BUCKETS}
    families |= {f"$JS.API.STREAM.INFO.{stream.name}" for stream in STREAMS}
    families |= {f"deis.rpc.{service}.>" for service in users.SERVICES if service != P}
    for family in families:
        assert any(subjects.matches(family, subject) for subject in PUBLISH), family
    for family in families - {f for f in families if f.startswith("$JS")}:
        tried = any(s == family or subjects.matches(family, s) for s in SUBSCRIBE)
        assert tried, family


def test_no_right_is_missing_from_the_tables() -> None:
    allowed = [users.rights(user, ["bot"]) for user in users.SERVICES]
    allowed.append(users.automation_rights("bot"))
    for rights in allowed:
        for pattern in (*rights.publish, *rights.deny):
            assert any(subjects.matches(pattern, subject) for subject in PUBLISH), pattern
        for pattern in rights.subscribe:
            tried = any(s == pattern or subjects.matches(pattern, s) for s in SUBSCRIBE)
            assert tried, pattern


async def test_a_wrong_password_gets_no_further(tmp_path: Path) -> None:
    async with guarded(tmp_path) as server:
        assert await lets_in(server.running.url, C, passwords()[C])
        for user, password in ((C, "wrong"), ("nobody", "x"), ("", "")):
            assert not await lets_in(server.running.url, user, password)


async def test_services_can_do_their_work(tmp_path: Path) -> None:
    async with (
        guarded(tmp_path) as server,
        server.bus(C) as controller,
        server.bus(B) as builder,
        server.bus(G) as gateway,
        server.bus(R) as runtime,
        server.bus(X) as router,
        server.bus(M) as manager,
        server.bus(P) as operator,
    ):
        await controller.ensure(STREAMS, BUCKETS)
        await controller.publish(PUSHED, envelope(), b"{}")
        woken = Durable(name=B, stream=EVENTS.name, filters=(PUSHED,))
        message = await one((await builder.inbox(woken)).messages())
        assert (await one(gateway.replay("EVENTS", ("deis.event.>",)))).data == b"{}"
        await builder.publish(subjects.report("blog", "build.done"), envelope(), b"{}")
        reports = Durable(name=C, stream=REPORTS.name, filters=(subjects.REPORTS,))
        await (await one((await controller.inbox(reports)).messages())).bury("bad")
        await message.bury("bad")
        assert await dead.count(manager) == 2
        assert [entry.reason for entry in await dead.listed(operator)] == ["bad", "bad"]
        retried = await dead.retry(operator, 2)
        assert retried is not None
        assert retried.subject == PUSHED
        assert await controller.stream_bounds("EVENTS") == (1, 2)
        await controller.keys(ROUTES).put("app.blog", b"{}")
        await runtime.keys(ROUTES).put("up.blog", b"{}")
        assert len(await router.keys(ROUTES).entries()) == 2
        assert await controller.keys(ROUTES).get("up.blog") is not None
        await router.keys(ROUTERS).put("r1", b"1")
        assert (await one(runtime.keys(ROUTERS).watch())) is not None
        await builder.store("deis.buildlog.blog.b1", b"output", {"Nats-Msg-Id": "1"})
        (output,) = await controller.read("BUILDLOGS", ("deis.buildlog.blog.*",))
        assert await controller.remove("BUILDLOGS", output.sequence)


async def test_services_answer_and_are_found(tmp_path: Path) -> None:
    async def yes(received: object) -> Answer:
        return Answer(b"yes")

    info = ServiceInfo(name=C, version="1.0.0")
    async with (
        guarded(tmp_path) as server,
        server.bus(C) as controller,
        server.bus(G) as gateway,
        server.bus(M) as manager,
        server.bus(X) as router,
        controller.serve(info, {"deis.rpc.controller.apps.list": yes}),
    ):
        asked = await gateway.request("deis.rpc.controller.apps.list", b"", {}, PATIENCE)
        assert asked == Answer(b"yes")
        await until(lambda: _finds(manager, [C]), "the controller is found")
        with pytest.raises(Permanent, match="no right"):
            await router.request("deis.rpc.controller.apps.list", b"", {}, PATIENCE)
        stream = await gateway.open_stream("s1", "opener")
        await stream.close()


async def test_a_refused_right_is_told_and_counted(tmp_path: Path) -> None:
    async with guarded(tmp_path) as server, server.bus(X) as router:
        with pytest.raises(Permanent, match="no right"):
            await router.store("deis.event.blog.app.created", b"{}", {})
        assert router.counts.errors == 1
        with pytest.raises(Permanent, match="no right"):
            await router.keys(ROUTES).put("app.blog", b"{}")


async def test_an_automation_is_added_to_a_running_server(tmp_path: Path) -> None:
    """A program of somebody else, with plain nats-py: fetch and ack its consumer, no more."""
    async with guarded(tmp_path) as server, server.bus(C) as controller, server.bus(P) as operator:
        await controller.ensure(STREAMS, BUCKETS)
        await controller.publish(PUSHED, envelope(), b"first")
        bot = automation.automation_user("bot")
        await automation.add(operator, bot, cursors.BEGINNING)
        server.automations.append(users.Automation("bot", "secret"))
        server.reload()
        await until(lambda: lets_in(server.running.url, BOT, "secret"), "the new user")
        client = await nats.connect(
            server.running.url,
            user=BOT,
            password="secret",
            inbox_prefix=users.inbox(BOT),
            error_cb=_silent,
        )
        try:
            js = client.jetstream()
            subscription = await js.pull_subscribe_bind(BOT, stream="EVENTS")
            [message] = await subscription.fetch(1, timeout=PATIENCE)
            assert message.data == b"first"
            await message.ack()
            with pytest.raises(nats.errors.TimeoutError):
                await js.publish("deis.event.blog.app.created", b"{}", timeout=0.2)
            with pytest.raises(nats.errors.TimeoutError):
                await client.request("$JS.API.CONSUMER.DELETE.EVENTS.builder", b"", timeout=0.2)
        finally:
            await client.close()
        assert await controller.stream_bounds("EVENTS") == (1, 1)
        assert controller.counts.disconnects == 0, "a reload cuts off nobody whose rights stay"


async def test_a_reload_cuts_off_neither_a_request_nor_a_stream(tmp_path: Path) -> None:
    """What `automation add` and the end of an application do to a platform at work."""
    asked, answer = asyncio.Event(), asyncio.Event()

    async def slowly(received: object) -> Answer:
        asked.set()
        await answer.wait()
        return Answer(b"yes")

    info = ServiceInfo(name=C, version="1.0.0")
    async with (
        guarded(tmp_path) as server,
        server.bus(C) as controller,
        server.bus(G) as gateway,
        server.bus(R) as runtime,
        controller.serve(info, {"deis.rpc.controller.apps.list": slowly}),
    ):
        near = await gateway.open_stream("s1", "opener")
        far = await runtime.open_stream("s1", "acceptor")
        subject = "deis.rpc.controller.apps.list"
        waiting = asyncio.create_task(gateway.request(subject, b"", {}, PATIENCE))
        await asked.wait()
        server.automations.append(users.Automation("bot", "secret"))
        server.reload()
        await until(lambda: lets_in(server.running.url, BOT, "secret"), "the new user")
        answer.set()
        assert await waiting == Answer(b"yes")
        await far.send(b"still here")
        assert (await one(near.frames())).data == b"still here"
        await asyncio.gather(near.close(), far.close())
        assert [bus.counts.disconnects for bus in (controller, gateway, runtime)] == [0, 0, 0]


async def test_a_reader_cannot_take_messages_of_others(tmp_path: Path) -> None:
    async with (
        guarded(tmp_path, "bot") as server,
        server.bus(C) as controller,
        server.bus(G) as gateway,
        server.bus(P) as operator,
    ):
        await controller.ensure(STREAMS, BUCKETS)
        await automation.add(operator, automation.automation_user("bot"))
        for durable in (BOT, B):
            stolen = Durable(name=durable, stream="EVENTS", filters=(subjects.EVENTS,))
            with pytest.raises((Permanent, Transient)):
                await gateway.inbox(stolen)


async def _finds(bus: JetStreamBus, names: list[str]) -> bool:
    return [component.name for component in await bus.discover()] == names


async def _silent(fault: Exception) -> None:
    """Errors of these clients are what the tests want."""
