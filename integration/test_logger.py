"""The logger on a real NATS server: tail, follow, the end of an application, an outage."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from deis_bus import codec, subjects
from deis_bus.clock import new_id
from deis_bus.contracts.logs import DROP, FOLLOW, TAIL, Drop, Follow, Tail
from deis_bus.contracts.push import APPS_ALIVE, AppsAlive, AppsAliveAnswer
from deis_bus.errors import Transient
from deis_bus.events.apps import AppDestroyed
from deis_bus.jetstream import JetStreamBus, connect
from deis_bus.ports import Bus, ByteStream, Received, ServiceInfo
from deis_bus.rpc import Context, call, endpoints
from deis_bus.streams import BUCKETS, STREAMS
from deis_platform.loglines import LogShipper, app_line
from deis_platform.settings import load
from deis_services.logger.parts import Logger, Sweep
from deis_services.logger.service import serve
from deis_services.logger.settings import Settings
from integration.bus_rig import OnNats
from integration.servers import RunningNats, nats_server, until
from tests.behaviour.bus import envelope

pytestmark = pytest.mark.server


def settings(url: str) -> Settings:
    """A logger on this server."""
    return load(Settings, {"DEIS_NATS_URL": url})


@asynccontextmanager
async def logger_on(url: str) -> AsyncIterator[None]:
    """The service as it runs, taking lines."""
    stop = asyncio.Event()
    task = asyncio.create_task(serve(settings(url), stop))
    try:
        yield
    finally:
        stop.set()
        await task


async def tail(
    bus: Bus, appuuid: str = "u1", process_type: str = "", instance: str = ""
) -> list[str]:
    """What it shows now; nothing while it is away."""
    try:
        wanted = Tail(app="blog", appuuid=appuuid, process_type=process_type, instance=instance)
        answer = await call(bus, TAIL, wanted, seconds=2.0)
    except Transient:
        return []
    return answer.text.splitlines()


async def ship(bus: Bus, *texts: str, appuuid: str = "u1", process_type: str = "web") -> None:
    """Lines of instances of an application."""
    shipper = LogShipper(bus)
    for text in texts:
        instance = f"blog-{process_type}-1234567890-abcde"
        shipper.line("blog", appuuid, app_line("blog", process_type, 3, instance, text))
    await shipper.flush()


async def listening(bus: Bus) -> None:
    """Wait until a line arrives: a core message reaches only who is there."""

    async def arrives() -> bool:
        with contextlib.suppress(Transient):
            await ship(bus, "hello", appuuid="probe")
        return bool(await tail(bus, "probe"))

    await until(arrives, "the logger listens")


async def lines(stream: ByteStream, count: int) -> list[str]:
    """So many lines of a followed log, or fewer when it ends."""
    text = b""
    async for frame in stream.frames():
        text += frame.data
        if text.count(b"\n") >= count:
            break
    return text.decode().splitlines()


class TestLogger(OnNats):
    @pytest.fixture
    async def running(self, nats: RunningNats, bus: JetStreamBus) -> AsyncIterator[None]:
        async with logger_on(nats.url):
            await listening(bus)
            yield

    async def test_the_tail_shows_the_newest_lines_of_one_identity(
        self, running: None, bus: JetStreamBus
    ) -> None:
        await ship(bus, "secret", appuuid="old")
        await ship(bus, "one", "two")
        await ship(bus, "three", process_type="worker")
        await until(lambda: _holds(bus, 3), "the lines")
        shown = await tail(bus)
        assert [line.partition("]: ")[2] for line in shown] == ["one", "two", "three"]
        assert shown[0].endswith(" blog[web.v3.abcde]: one")
        assert len(await tail(bus, process_type="worker")) == 1
        assert len(await tail(bus, instance="blog-web-1234567890-abcde")) == 3
        newest = await call(bus, TAIL, Tail(app="blog", appuuid="u1", lines=1))
        assert newest.text == f"{shown[-1]}\n"
        await call(bus, DROP, Drop("u1"))
        assert await tail(bus) == []
        assert len(await tail(bus, "old")) == 1

    async def test_following_shows_what_was_and_what_comes(
        self, running: None, bus: JetStreamBus
    ) -> None:
        await ship(bus, "one", "two")
        await until(lambda: _holds(bus, 2), "the lines")
        stream = await bus.open_stream(new_id(), "opener")
        wanted = Follow(app="blog", appuuid="u1", stream=stream.id, lines=1)
        await call(bus, FOLLOW, wanted)
        await ship(bus, "other", appuuid="u2")
        await ship(bus, "three")
        shown = await lines(stream, 2)
        assert [line.partition("]: ")[2] for line in shown] == ["two", "three"]
        await stream.close()

    async def test_the_end_of_an_application_ends_its_followers_and_lines(
        self, running: None, bus: JetStreamBus
    ) -> None:
        await ship(bus, "one")
        await until(lambda: _holds(bus, 1), "the line")
        stream = await bus.open_stream(new_id(), "opener")
        await call(bus, FOLLOW, Follow(app="blog", appuuid="u1", stream=stream.id))
        gone = AppDestroyed(owner="ada")
        subject = subjects.event("blog", gone.TYPE)
        await bus.publish(subject, envelope(gone.TYPE, appuuid="u1"), codec.encode(gone))
        frames = [frame.kind async for frame in stream.frames()]
        assert frames[-1] == "exit"
        assert await tail(bus) == []
        await stream.close()

    async def test_a_slow_follower_is_told_what_it_lost(
        self, running: None, bus: JetStreamBus
    ) -> None:
        stream = await bus.open_stream(new_id(), "opener")
        await call(bus, FOLLOW, Follow(app="blog", appuuid="u1", stream=stream.id))
        for number in range(300):
            await ship(bus, f"{number:05d} " + "x" * 16_000)
        await until(lambda: _last(bus, "00299"), "the last line was taken")
        text = b""
        async for frame in stream.frames():
            text += frame.data
            if b"00299" in text:
                break
        assert b"deis[logger]: WARNING" in text
        assert b"are not shown" in text
        assert text.count(b"\n") < 300
        await stream.close()

    async def test_a_follower_that_leaves_is_forgotten(self, bus: JetStreamBus) -> None:
        logger = Logger(bus, load(Settings, {}))
        stream = await bus.open_stream(new_id(), "opener")
        await logger.followers.follow(Follow(app="blog", appuuid="u1", stream=stream.id))
        assert len(logger.followers) == 1
        await stream.close()
        await until(lambda: len(logger.followers) == 0, "it has left")

    async def test_lines_of_what_is_gone_are_swept_away(
        self, bus: JetStreamBus, other: JetStreamBus
    ) -> None:
        async def alive(_: AppsAlive, __: Context) -> AppsAliveAnswer:
            return AppsAliveAnswer(("here",))

        logger = Logger(other, load(Settings, {}))
        logger.take("here", [b"stays"])
        logger.take("gone", [b"goes"])
        with pytest.raises(Transient):
            await Sweep(other, logger).once()
        assert sorted(logger.rings.appuuids()) == ["gone", "here"], "nobody could tell"
        info = ServiceInfo(name="controller", version="1.0.0")
        async with bus.serve(info, endpoints({APPS_ALIVE: alive}, _unexpected)):
            await Sweep(other, logger).once()
        assert logger.rings.appuuids() == ["here"]

    async def test_every_replica_hears_every_line(
        self, bus: JetStreamBus, other: JetStreamBus
    ) -> None:
        loggers = [Logger(bus, load(Settings, {})), Logger(other, load(Settings, {}))]
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for logger in loggers:
                group.create_task(logger.collector.run(stop))

            async def both() -> bool:
                await ship(bus, "hello")
                return all(logger.rings.tail("u1", 1) for logger in loggers)

            await until(both, "both have it")
            stop.set()

    async def test_a_batch_without_identity_is_refused(self, bus: JetStreamBus) -> None:
        logger = Logger(bus, load(Settings, {}))
        logger.collector._take(Received("deis.log.blog", {}, b"whose?"))
        logger.collector._take(Received("deis.log.blog", {"appuuid": "u1"}, b"x\n" * 101))
        assert logger.collector.refused == 2
        assert logger.rings.appuuids() == []


async def test_it_goes_on_after_the_bus_was_killed(tmp_path: Path) -> None:
    async with nats_server(tmp_path) as nats, connect(nats.url, "controller") as bus:
        await until(lambda: _made(bus), "the streams")
        async with logger_on(nats.url):
            await listening(bus)
            await ship(bus, "before")
            await until(lambda: _holds(bus, 1), "the line before")
            os.kill(nats.server.pid, signal.SIGKILL)

            shown: list[str] = []

            async def again() -> bool:
                with contextlib.suppress(Transient):
                    await ship(bus, "after")
                shown[:] = await tail(bus)
                return any(line.endswith("after") for line in shown)

            await until(again, "lines after the outage", 40.0)
            assert any(line.endswith("before") for line in shown), "kept through it"


async def test_it_starts_before_the_bus(tmp_path: Path) -> None:
    async with nats_server(tmp_path) as nats:
        url = nats.url
    async with logger_on(url), nats_server(tmp_path) as again:
        assert again.url == url
        async with connect(url, "controller") as bus:
            await listening(bus)


async def _holds(bus: Bus, count: int) -> bool:
    return len(await tail(bus)) == count


async def _last(bus: Bus, text: str) -> bool:
    shown = await tail(bus)
    return bool(shown) and text in shown[-1]


async def _made(bus: JetStreamBus) -> bool:
    try:
        await bus.ensure(STREAMS, BUCKETS)
    except Transient:
        return False
    return True


def _unexpected(subject: str, fault: Exception) -> None:
    raise AssertionError(subject) from fault
