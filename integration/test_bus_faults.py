"""The bus while its server is away, dies, hangs, or comes back with nothing."""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deis_bus.clock import new_id
from deis_bus.errors import DeadlineExceeded, Permanent, StreamClosed, Transient, Unavailable
from deis_bus.jetstream import JetStreamBus, connect
from deis_bus.ports import Answer, Received, ServiceInfo
from deis_bus.streams import BUCKETS, ROUTES, STREAMS, Durable
from deis_platform.embedded import binaries
from deis_platform.embedded.keeper import Keeper
from deis_platform.embedded.nats import Nats
from integration.servers import RunningNats, nats_server, serving, until
from tests.behaviour.bus import PATIENCE, PUSHED, envelope, one, publish, take

pytestmark = pytest.mark.server

DURABLE = Durable(name="builder", stream="EVENTS", filters=("deis.event.>",))
ECHO = "deis.rpc.controller.echo"
INFO = ServiceInfo(name="controller", version="1.0.0")


async def echo(received: Received) -> Answer:
    """The question."""
    return Answer(received.data)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RunningNats]:
    async with nats_server(tmp_path) as running:
        yield running


@pytest.fixture
async def bus(server: RunningNats) -> AsyncIterator[JetStreamBus]:
    async with connect(server.url, "controller") as bus:
        await bus.ensure(STREAMS, BUCKETS)
        yield bus


def kill(server: RunningNats) -> None:
    """As the kernel does it; the supervisor starts it again."""
    os.kill(server.server.pid, signal.SIGKILL)


async def stopped(server: RunningNats) -> None:
    """Stopped, every thread of it: until then it still writes and answers."""
    os.kill(server.server.pid, signal.SIGSTOP)
    await until(lambda: _stands_still(server.server.pid), "the server stands still")


def _stands_still(pid: int) -> bool:
    try:
        threads = [(thread / "stat").read_text() for thread in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return False  # a thread has just ended
    return {stat.rpartition(")")[2].split()[0] for stat in threads} == {"T"}


async def killed(server: RunningNats, bus: JetStreamBus) -> None:
    """Killed, noticed, and back."""
    before = bus.counts.reconnects
    kill(server)
    await until(lambda: bus.counts.reconnects > before, "a reconnect")
    await until(bus.ready, "an answer")


async def test_what_was_acked_survives_a_kill(server: RunningNats, bus: JetStreamBus) -> None:
    epoch = await bus.stream_epoch("EVENTS")
    await publish(bus, 100)
    await killed(server, bus)
    await until(lambda: _holds(bus, 100), "the stream with its messages")
    assert await bus.stream_epoch("EVENTS") == epoch
    assert bus.counts.disconnects == 1


async def test_a_publish_that_was_cut_off_is_told_and_may_be_repeated(
    server: RunningNats, bus: JetStreamBus
) -> None:
    given = [envelope() for _ in range(200)]
    told: list[int] = []

    async def until_stored(number: int) -> None:
        while True:
            try:
                await bus.publish(PUSHED, given[number], b"%d" % number)
            except Transient:
                await until(bus.ready, "the server")
            else:
                told.append(number)
                return

    publishing = asyncio.gather(*(until_stored(number) for number in range(200)))
    kill(server)
    await asyncio.wait_for(publishing, PATIENCE)
    assert sorted(told) == list(range(200))
    stored = await bus.read("EVENTS", limit=1000)
    assert sorted(int(m.data) for m in stored) == list(range(200)), "each of them once"


async def test_while_it_is_away_every_call_says_so_and_nothing_is_kept_for_later(
    server: RunningNats, bus: JetStreamBus
) -> None:
    async with bus.serve(INFO, {ECHO: echo}):
        kill(server)
        await until(lambda: bus.counts.disconnects == 1, "the loss")
        with pytest.raises(Unavailable):
            await bus.publish(PUSHED, envelope(), b"{}")
        with pytest.raises(Unavailable):
            await bus.emit("deis.log.blog", b"x")
        with pytest.raises(Unavailable):
            await bus.request(ECHO, b"x", {}, PATIENCE)
        with pytest.raises(Unavailable):
            await bus.read("EVENTS")
        with pytest.raises(Unavailable):
            await bus.keys(ROUTES).entries()
        assert not await bus.ready()
        await until(bus.ready, "the server")
        assert await bus.request(ECHO, b"x", {}, PATIENCE) == Answer(b"x")
    await until(lambda: _holds(bus, 0), "the stream, empty")


async def test_durables_replays_and_watches_go_on_after_a_kill(
    server: RunningNats, bus: JetStreamBus
) -> None:
    messages = (await bus.inbox(DURABLE)).messages()
    replay = bus.replay("EVENTS", ())
    watch = bus.keys(ROUTES).watch()
    await publish(bus, 1)
    await (await one(messages)).done()
    assert (await one(replay)).sequence == 1
    assert await one(watch) is None
    await killed(server, bus)
    await until(lambda: _holds(bus, 1), "the stream")
    await publish(bus, 2)
    await bus.keys(ROUTES).put("app.blog", b"1")
    seen: set[int] = set()
    while not seen >= {2, 3}:  # the first may come again: its ack was just on the way
        seen.add((await one(messages)).sequence)
    assert [m.sequence for m in await take(replay, 2)] == [2, 3]
    told = [await one(watch)]
    while told[-1] is None:
        told.append(await one(watch))
    assert (told[-1].key, told[-1].data) == ("app.blog", b"1")


async def test_subscriptions_go_on_after_a_kill(server: RunningNats, bus: JetStreamBus) -> None:
    async with bus.subscribe("deis.log.*") as subscription:
        await killed(server, bus)
        await bus.emit("deis.log.blog", b"back")
        assert (await one(aiter(subscription))).data == b"back"


async def test_a_byte_stream_breaks_rather_than_to_leave_bytes_out(
    server: RunningNats, bus: JetStreamBus
) -> None:
    stream_id = new_id()
    opener = await bus.open_stream(stream_id, "opener")
    acceptor = await bus.open_stream(stream_id, "acceptor")
    frames = opener.frames()
    await acceptor.send(b"before")
    assert (await one(frames)).data == b"before"
    kill(server)
    await until(lambda: bus.counts.disconnects == 1, "the loss")
    with pytest.raises(StreamClosed):
        await acceptor.send(b"into the void")
    await until(bus.ready, "the server")
    await opener.close()
    await acceptor.close()


async def test_a_server_that_comes_back_empty_is_filled_again(
    server: RunningNats, bus: JetStreamBus, tmp_path: Path
) -> None:
    epoch = await bus.stream_epoch("EVENTS")
    messages = (await bus.inbox(DURABLE)).messages()
    replay = bus.replay("EVENTS", ())
    watch = bus.keys(ROUTES).watch()
    await bus.keys(ROUTES).put("app.blog", b"old")
    await publish(bus, 3)
    assert len(await take(messages, 3)) == 3
    assert len(await take(replay, 3)) == 3
    while await one(watch) is not None:
        pass
    await stopped(server)
    shutil.rmtree(tmp_path / "nats" / "store")
    kill(server)
    await until(lambda: bus.counts.reconnects > 0, "a reconnect")
    await until(lambda: _ensured(bus), "the streams")
    assert await bus.stream_epoch("EVENTS") != epoch
    await publish(bus, 1)
    assert (await one(messages)).sequence == 1
    assert (await one(replay)).sequence == 1
    assert await one(watch) is None, "the present comes again: there is none"
    await bus.keys(ROUTES).put("app.blog", b"new")
    entry = await one(watch)
    assert entry is not None
    assert entry.data == b"new"


async def test_a_hung_server_is_told_in_time(server: RunningNats, bus: JetStreamBus) -> None:
    async with bus.serve(INFO, {ECHO: echo}):
        await stopped(server)
        try:
            with pytest.raises(DeadlineExceeded):
                await bus.request(ECHO, b"x", {}, 0.1)
            assert not await bus.ready()
        finally:
            os.kill(server.server.pid, signal.SIGCONT)
        await until(bus.ready, "the server")
        assert await bus.request(ECHO, b"x", {}, PATIENCE) == Answer(b"x")


async def test_deadlines_hold_where_the_client_can_get_rid_of_nothing(
    server: RunningNats, bus: JetStreamBus
) -> None:
    await stopped(server)
    sending: list[asyncio.Task[None]] = []
    try:
        while len([task for task in sending if not task.done()]) < 2:
            sending.append(asyncio.create_task(bus.emit("deis.log.blog", bytes(7 * 1024 * 1024))))
            await asyncio.wait(sending[-1:], timeout=0.1)
        with pytest.raises(DeadlineExceeded):
            await asyncio.wait_for(bus.request(ECHO, b"x", {}, 0.1), PATIENCE)
        sending[-1].cancel()
        await asyncio.wait(sending[-1:], timeout=PATIENCE)
        assert sending[-1].cancelled()
    finally:
        os.kill(server.server.pid, signal.SIGCONT)
    await asyncio.gather(*sending, return_exceptions=True)
    await until(bus.ready, "the server")


async def test_a_message_that_its_headers_make_too_large_cuts_off_nobody(bus: JetStreamBus) -> None:
    with pytest.raises(Permanent):
        await bus.publish(PUSHED, envelope(), bytes(8 * 1024 * 1024 - 10))
    assert await bus.stream_bounds("EVENTS") == (1, 0)
    assert bus.counts.disconnects == 0


async def test_a_service_may_start_before_its_server(tmp_path: Path) -> None:
    program = Nats(tmp_path / "nats", binaries.nats_server(), lambda: "")
    await program.prepare()
    async with connect(program.url, "controller", wait_seconds=0.0) as bus:
        with pytest.raises(Unavailable):
            await bus.publish(PUSHED, envelope(), b"{}")
        assert not await bus.ready()
        async with (
            bus.serve(INFO, {ECHO: echo}),
            bus.subscribe("deis.log.*") as subscription,
        ):
            with pytest.raises(Unavailable):
                await bus.request(ECHO, b"x", {}, PATIENCE)
            async with Keeper(tmp_path, "k") as keeper, serving(program, keeper, tmp_path):
                await until(bus.ready, "the server")
                assert await bus.request(ECHO, b"x", {}, PATIENCE) == Answer(b"x")
                await bus.emit("deis.log.blog", b"x")
                assert (await one(aiter(subscription))).data == b"x"


async def test_a_user_that_was_shut_out_comes_back_with_a_new_client(tmp_path: Path) -> None:
    """The server says 'User Authentication Revoked'; nats-py gives up for good then."""
    users = ['authorization: {users: [{user: "a", password: "1"}]}']
    program = Nats(tmp_path / "nats", binaries.nats_server(), lambda: users[0])
    async with (
        Keeper(tmp_path, "k") as keeper,
        serving(program, keeper, tmp_path) as server,
        connect(program.url, "a", user="a", password="1") as bus,
        bus.serve(INFO, {ECHO: echo}),
    ):
        assert await bus.request(ECHO, b"x", {}, PATIENCE) == Answer(b"x")
        allowed = users[0]
        users[0] = 'authorization: {users: [{user: "b", password: "2"}]}'
        program.write()
        server.signal(signal.SIGHUP)
        await until(lambda: _away(bus), "the user is out")
        users[0] = allowed
        program.write()
        server.signal(signal.SIGHUP)
        await until(bus.ready, "the user is in")
        assert await bus.request(ECHO, b"x", {}, PATIENCE) == Answer(b"x")


async def _away(bus: JetStreamBus) -> bool:
    return not await bus.ready()


async def _holds(bus: JetStreamBus, last: int) -> bool:
    try:
        return (await bus.stream_bounds("EVENTS"))[1] == last
    except Transient:
        return False


async def _ensured(bus: JetStreamBus) -> bool:
    try:
        await bus.ensure(STREAMS, BUCKETS)
    except Transient:
        return False
    return True
