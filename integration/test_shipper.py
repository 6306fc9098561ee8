"""The log shipper on a real folder and a real NATS: every line once, whatever happens to whom."""

import asyncio
import contextlib
import itertools
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from deis_bus.contracts.logs import MAX_LINES, TAIL, Tail
from deis_bus.jetstream import JetStreamBus, connect
from deis_bus.ports import Bus
from deis_bus.rpc import call
from deis_bus.users import SERVICES, authorization
from deis_platform.presence import Presence
from deis_platform.runner import Part, run_parts
from deis_platform.settings import load
from deis_services.logger.parts import Logger
from deis_services.logger.settings import Settings as LoggerSettings
from deis_services.shipper.files import LogFolder
from deis_services.shipper.folders import Folders
from deis_services.shipper.model import Pod
from deis_services.shipper.positions import Positions
from deis_services.shipper.ship import Shipper
from integration.bus_rig import OnNats
from integration.servers import RunningNats, nats_server, until
from tests.behaviour.kubelet_logs import BLOG, SHOWN, ContainerLogs, entry

pytestmark = pytest.mark.server

CHILD = Path(__file__).with_name("shipper_child.py")
OTHER = msgspec.structs.replace(
    BLOG, namespace="shop", name="shop-web-1234567890-fghij", app="shop", appuuid="u2", uid="2-2"
)


class Kept:
    """A logger, and every line that it took."""

    def __init__(self, bus: Bus) -> None:
        self.logger = Logger(bus, load(LoggerSettings, {}))
        self.lines: list[tuple[str, str]] = []
        self.counts: Counter[str] = Counter()
        """Lines by application."""
        self.logger.collector._sinks = (self,)
        self._parts: tuple[Part, ...] = (
            self.logger.collector,
            Presence(bus, "logger", "t", self.logger.handlers()),
        )

    def take(self, appuuid: str, lines: list[bytes]) -> None:
        """Keep them, too."""
        assert len(lines) <= MAX_LINES
        self.counts[appuuid] += len(lines)
        self.lines += [(appuuid, line.decode()) for line in lines]
        self.logger.take(appuuid, lines)

    @property
    def texts(self) -> list[str]:
        """Of the lines of the blog, without how they begin."""
        return [line.removeprefix(SHOWN) for uuid, line in self.lines if uuid == BLOG.appuuid]

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """While it hears lines and answers."""
        stop = asyncio.Event()
        task = asyncio.create_task(run_parts(self._parts, stop))
        try:
            yield
        finally:
            stop.set()
            await task


def _more(kept: Kept, than: int) -> Callable[[], bool]:
    """Whether it took more lines than so many."""
    return lambda: len(kept.lines) > than


@asynccontextmanager
async def shipping(bus: Bus, node: Path, *pods: Pod) -> AsyncIterator[Shipper]:
    """The shipper at work on this node."""
    positions = Positions(node / "state")
    shipper = Shipper(bus, Folders(LogFolder(node / "pods"), positions.load()), positions, 8)
    for pod in pods:
        shipper.known(pod)
    stop = asyncio.Event()
    task = asyncio.create_task(shipper.run(stop))
    try:
        yield shipper
    finally:
        stop.set()
        await task


async def write(logs: ContainerLogs, count: int, rotate: int = 0) -> list[str]:
    """So many lines, as a busy container writes them; a new file after every `rotate` of them."""
    texts = [f"line {number}" for number in range(count)]
    for number, batch in enumerate(itertools.zip_longest(*[iter(texts)] * 50)):
        logs.write(*filter(None, batch))
        if rotate and (number + 1) * 50 % rotate == 0:
            logs.rotate()
        await asyncio.sleep(0)
    return texts


class Proxy:
    """A way to a server that can be cut."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._writers: set[asyncio.StreamWriter] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """Its URL."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            yield f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
            self.cut()

    def cut(self) -> None:
        """Every connection, with what is on its way."""
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._to)
        self._writers |= {writer, back}
        await asyncio.gather(self._copy(reader, back), self._copy(there, writer))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(16 * 1024):
                writer.write(data)
                await writer.drain()
        writer.transport.abort()
        self._writers.discard(writer)


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """A node's folders: `pods` for logs, `state` for the shipper."""
    (tmp_path / "pods").mkdir()
    return tmp_path


@pytest.fixture
def logs(node: Path) -> ContainerLogs:
    """Of the blog's container."""
    return ContainerLogs(node / "pods")


class TestShipper(OnNats):
    @pytest.fixture
    async def kept(self, bus: JetStreamBus) -> AsyncIterator[Kept]:
        kept = Kept(bus)
        async with kept.listening():
            yield kept

    async def test_lines_arrive_as_the_local_runtime_sends_them(
        self, node: Path, logs: ContainerLogs, bus: JetStreamBus, other: JetStreamBus, kept: Kept
    ) -> None:
        logs.write("before it began")
        shop = ContainerLogs(node / "pods", OTHER, "shop-web")
        stranger = msgspec.structs.replace(BLOG, name="stranger", uid="3-3")
        ContainerLogs(node / "pods", stranger).write("not an application's")
        async with shipping(other, node, BLOG, OTHER) as shipper:
            logs.write("one")
            shop.write("two")
            await until(lambda: len(kept.lines) == 3, "three lines")
            shown = await call(bus, TAIL, Tail(app="blog", appuuid="u1"))
            assert shown.text == f"{SHOWN}before it began\n{SHOWN}one\n"
            assert kept.lines[-1][0] in ("u1", "u2")
            assert shipper.lines == 3

    async def test_pods_may_come_before_and_after_their_folders(
        self, node: Path, other: JetStreamBus, kept: Kept
    ) -> None:
        async with shipping(other, node, BLOG) as shipper:
            first = ContainerLogs(node / "pods", BLOG)
            first.write("one")
            await until(lambda: kept.texts == ["one"], "a folder that came later")
            second = ContainerLogs(node / "pods", BLOG, "sidecar")
            second.write("two")
            await until(lambda: kept.texts == ["one", "two"], "a container that came later")
            late = ContainerLogs(node / "pods", OTHER)
            late.write("three")
            shipper.known(OTHER)
            await until(lambda: len(kept.lines) == 3, "a pod that was told of later")

    async def test_every_line_arrives_once_while_files_rotate(
        self, node: Path, logs: ContainerLogs, other: JetStreamBus, kept: Kept
    ) -> None:
        async with shipping(other, node, BLOG):
            written = await write(logs, 30_000, rotate=2000)
            await until(lambda: len(kept.texts) >= len(written), "all lines")
        assert kept.texts == written

    async def test_it_goes_on_where_it_was(
        self, node: Path, logs: ContainerLogs, other: JetStreamBus, kept: Kept
    ) -> None:
        for number in range(3):
            logs.write(f"{number} before")
            async with shipping(other, node, BLOG):
                logs.write(f"{number} during")
                await until(_more(kept, 2 * number + 1), "both lines")
        assert kept.logger.collector.seen.doubles == 0
        assert len(set(kept.texts)) == 6

    async def test_every_line_arrives_once_through_kills(
        self, node: Path, logs: ContainerLogs, nats: RunningNats, kept: Kept
    ) -> None:
        arguments = (nats.url, str(node / "pods"), str(node / "state"))
        pod = msgspec.json.encode(BLOG).decode()
        writing = asyncio.create_task(write(logs, 60_000, rotate=20_000))
        seen = 0
        for _ in range(4):
            child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", str(CHILD), *arguments, pod)
            )
            await until(_more(kept, seen + 500), "it ships")
            child.send_signal(signal.SIGKILL)
            await child.wait()
            seen = len(kept.texts)
        written = await writing
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", str(CHILD), *arguments, pod)
        )
        await until(lambda: len(kept.texts) >= len(written), "all lines")
        child.terminate()
        await child.wait()
        assert kept.texts == written
        assert kept.logger.collector.seen.doubles, "some were sent twice, and taken once"

    async def test_every_line_arrives_once_through_lost_connections(
        self, node: Path, logs: ContainerLogs, nats: RunningNats, kept: Kept
    ) -> None:
        port = int(nats.url.rpartition(":")[2])
        proxy = Proxy(port)
        async with (
            proxy.running() as url,
            connect(url, "shipper") as cut,
            shipping(cut, node, BLOG),
        ):
            writing = asyncio.create_task(write(logs, 40_000, rotate=10_000))
            for part in range(1, 5):
                await until(_more(kept, part * 4000), "it goes on")
                proxy.cut()
            written = await writing
            await until(lambda: len(kept.texts) >= len(written), "all lines")
        assert Counter(kept.texts) == Counter(written)

    async def test_lines_wait_in_their_files_until_somebody_listens(
        self, node: Path, logs: ContainerLogs, bus: JetStreamBus, other: JetStreamBus
    ) -> None:
        kept = Kept(bus)
        async with shipping(other, node, BLOG) as shipper:
            logs.write("one")
            logs.rotate()
            logs.write("two")
            await until(lambda: shipper.refusals > 2, "nobody listens")
            assert shipper.lines == 0
            async with kept.listening():
                await until(lambda: kept.texts == ["one", "two"], "both lines")

    async def test_one_that_writes_much_does_not_keep_others_waiting(
        self, node: Path, logs: ContainerLogs, other: JetStreamBus, kept: Kept
    ) -> None:
        logs.write(*(f"{number} {'x' * 100}" for number in range(50_000)))
        shop = ContainerLogs(node / "pods", OTHER, "shop-web")
        shop.write("quiet")
        async with shipping(other, node, BLOG, OTHER):
            await until(lambda: any(uuid == "u2" for uuid, _ in kept.lines), "the quiet one")
            place = [uuid for uuid, _ in kept.lines].index("u2")
        assert place < 2000

    async def test_a_deleted_pod_is_read_to_its_end_and_forgotten(
        self, node: Path, logs: ContainerLogs, other: JetStreamBus, kept: Kept
    ) -> None:
        async with shipping(other, node, BLOG) as shipper:
            logs.write("one")
            await until(lambda: kept.texts == ["one"], "the first line")
            logs.write("last words")
            shipper.forgotten(BLOG)
            logs.remove()
            await until(lambda: kept.texts == ["one", "last words"], "the last words")
            await until(lambda: not shipper._folders.tails, "it is forgotten")
            assert not shipper._folders._watches.keys() - {()}
        assert Positions(node / "state").load() == []

    async def test_a_last_line_without_an_end_is_shown(
        self, node: Path, logs: ContainerLogs, other: JetStreamBus, kept: Kept
    ) -> None:
        async with shipping(other, node, BLOG):
            logs.write("one")
            logs.append(entry("no newline", tag="P"))
            await until(lambda: kept.texts == ["one", "no newline"], "both lines")

    async def test_files_are_closed_beyond_the_limit_and_opened_again(
        self, node: Path, other: JetStreamBus, kept: Kept
    ) -> None:
        pods = [
            msgspec.structs.replace(BLOG, name=f"blog-web-1234567890-{number:05d}", uid=f"{number}")
            for number in range(30)
        ]
        all_logs = [ContainerLogs(node / "pods", pod) for pod in pods]
        async with shipping(other, node, *pods) as shipper:
            for part in range(1, 4):
                for logs in all_logs:
                    logs.write(f"{part} {logs.folder.parent.name}")
                await until(_more(kept, 30 * part - 1), "all lines")
                await until(lambda: shipper._folders.opened <= 8, "some are closed")
        assert len(set(kept.lines)) == 30 * 3 == len(kept.lines)

    async def test_events_that_were_lost_lose_no_line(
        self, node: Path, logs: ContainerLogs, other: JetStreamBus, kept: Kept
    ) -> None:
        most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
        elsewhere = ContainerLogs(node / "pods", OTHER)
        async with shipping(other, node, BLOG, OTHER):
            logs.write("one")
            await until(lambda: kept.texts == ["one"], "the first line")
            flood = elsewhere.folder / "flood"
            for _ in range(most // 2 + 1):  # two events each, and no time to read them
                flood.touch()
                flood.unlink()
            logs.write("two")
            await until(lambda: kept.texts == ["one", "two"], "the line behind the flood")


async def test_its_rights_are_enough(node: Path, logs: ContainerLogs) -> None:
    passwords = {name: f"of-{name}" for name in SERVICES}
    async with (
        nats_server(node, authorization(passwords)) as nats,
        connect(nats.url, "logger", user="logger", password="of-logger") as heard,
        connect(nats.url, "shipper", user="shipper", password="of-shipper") as sent,
    ):
        kept = Kept(heard)
        async with kept.listening(), shipping(sent, node, BLOG) as shipper:
            logs.write("one")
            await until(lambda: kept.texts == ["one"] and shipper.lines == 1, "the line")
        assert sent.counts.errors == 0
