"""One attempt at a build: what is stored, what is reported, and when it is left to another."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from deis_bus.codec import decode
from deis_bus.contracts import buildlog
from deis_bus.contracts.push import PUSH_RENEW, BuildTask, PushRenew
from deis_bus.contracts.runtime import BuildRun
from deis_bus.errors import Refused
from deis_bus.events.builds import BuildDone, BuildFailed
from deis_bus.memory import MemoryBroker
from deis_bus.memory.bus import MemoryBus
from deis_bus.ports import ByteStream, Received, ServiceInfo
from deis_bus.rpc import Context, Empty, endpoints
from deis_bus.streams import BUCKETS, BUILDLOGS, REPORTS, STREAMS
from deis_platform.artifacts import allows
from deis_platform.objects import DirectoryStore
from deis_platform.runtime.memory import MemoryRuntime
from deis_services.builder.attempt import Attempt, Workshop

KEY = b"k" * 32
PUSH = "6b1c4a5e-0d5f-4b5e-8f57-0c4a55b9a0c1"
APP = "0b1c4a5e-0d5f-4b5e-8f57-0c4a55b9a0c2"
SLUG = f"slugs/{APP}/{PUSH}-1.tgz"


def task(**changes: Any) -> BuildTask:
    told: dict[str, Any] = {
        "push": PUSH,
        "number": 1,
        "attempt": 1,
        "app": "blog",
        "appuuid": APP,
        "username": "ada",
        "sha": "b" * 40,
        "source": f"sources/{APP}/{PUSH}.tar.gz",
        "environment": {"COLOUR": "red"},
        "lease_seconds": 0.05,
    }
    return BuildTask(**told | changes)


class Bench:
    """A bus, a runtime and a store in memory or a folder; `lost` takes the lease away."""

    def __init__(self, folder: Path) -> None:
        self.broker = MemoryBroker()
        self.bus: MemoryBus = self.broker.bus("builder")
        self.runtime = MemoryRuntime(self.broker.bus("runtime"))
        self.objects = DirectoryStore(folder)
        self.renewed = asyncio.Event()
        self.lost = False

    @asynccontextmanager
    async def up(self) -> AsyncIterator["Bench"]:
        await self.bus.ensure(STREAMS, BUCKETS)
        served = endpoints({PUSH_RENEW: self.renew}, lambda _subject, _fault: None)
        info = ServiceInfo(name="controller", version="0.0.1")
        async with self.broker.bus("controller").serve(info, served):
            yield self

    async def renew(self, asked: PushRenew, _: Context) -> Empty:
        assert asked == PushRenew(PUSH, "worker-1", 1)
        if self.lost:
            raise Refused(409, "The push is no longer held by you", "lost")
        self.renewed.set()
        return Empty()

    async def put(self, key: str, data: bytes) -> None:
        async def chunks() -> AsyncIterator[bytes]:
            yield data

        await self.objects.put(key, chunks())

    async def run(self, stop: asyncio.Event | None = None, **changes: Any) -> str:
        shop = Workshop(
            bus=self.bus,
            runtime=self.runtime,
            objects=self.objects,
            artifacts_url="http://artifacts",
            key=KEY,
        )
        return await Attempt(shop, task(**changes), "worker-1").run(stop or asyncio.Event())

    async def output(self) -> list[Received]:
        return await self.bus.read(BUILDLOGS.name, (f"deis.buildlog.blog.{PUSH}",))

    async def reports(self) -> list[Any]:
        found = await self.bus.read(REPORTS.name)
        return [decode(message.headers["ce-type"], message.data) for message in found]


async def test_a_build_that_makes_a_slug(tmp_path: Path) -> None:
    seen: list[BuildRun] = []

    async def program(run: BuildRun, stream: ByteStream) -> int:
        seen.append(run)
        await stream.send(b"-----> one\n")
        await bench.put(SLUG, b"12345")
        result = {"procfile": {"web": "x"}, "slug_bytes": 9, "stages": {"compile": 0.5}}
        await bench.put(f"{SLUG}.json", msgspec.json.encode(result))
        return 0

    async with Bench(tmp_path).up() as bench:
        bench.runtime.build_program = program
        assert await bench.run() == "done"
        (report,) = await bench.reports()
        assert report == BuildDone(
            build=PUSH,
            attempt=1,
            sha="b" * 40,
            artifact=SLUG,
            procfile={"web": "x"},
            slug_bytes=5,
            stages={"compile": 0.5},
        )
        (envelope,) = [message.headers for message in await bench.bus.read(REPORTS.name)]
        assert (envelope["ce-appuuid"], envelope["ce-actor"]) == (APP, "ada")
        output = await bench.output()
        assert b"".join(message.data for message in output) == b"-----> one\n"
        assert {message.headers[buildlog.APPUUID] for message in output} == {APP}
        assert {message.headers[buildlog.ATTEMPT] for message in output} == {"1"}
        assert [message.headers.get(buildlog.END) for message in output][-1] == "done"
    (run,) = seen
    assert run.id == f"{PUSH}-1"
    assert run.environment == {"COLOUR": "red"}
    assert run.source_url == f"http://artifacts/artifacts/sources/{APP}/{PUSH}.tar.gz"
    assert run.slug_url == f"http://artifacts/artifacts/{SLUG}"
    opens = {
        run.source_token: {("GET", f"sources/{APP}/{PUSH}.tar.gz")},
        run.slug_token: {("PUT", SLUG), ("PUT", f"{SLUG}.json")},
        run.cache_token: {("GET", f"cache/{APP}/cache.tgz"), ("PUT", f"cache/{APP}/cache.tgz")},
    }
    everything = set().union(*opens.values())
    for token, wanted in opens.items():
        both = everything | {(other, key) for _, key in everything for other in ("GET", "PUT")}
        assert {pair for pair in both if allows(KEY, token, *pair)} == wanted


async def test_no_cache_where_it_is_switched_off(tmp_path: Path) -> None:
    seen: list[BuildRun] = []

    async def program(run: BuildRun, _: ByteStream) -> int:
        seen.append(run)
        return 1

    async with Bench(tmp_path).up() as bench:
        bench.runtime.build_program = program
        assert await bench.run(cache=False) == "failed"
    assert (seen[0].cache_url, seen[0].cache_token) == ("", "")


async def test_a_build_that_fails(tmp_path: Path) -> None:
    async def program(_: BuildRun, stream: ByteStream) -> int:
        await stream.send(b"no end of line")
        return 7

    async with Bench(tmp_path).up() as bench:
        bench.runtime.build_program = program
        assert await bench.run() == "failed"
        reason = "The build exited with code 7, stopping build"
        assert await bench.reports() == [BuildFailed(build=PUSH, attempt=1, reason=reason)]
        output = await bench.output()
        shown = b"".join(message.data for message in output).decode()
        assert shown.splitlines() == ["no end of line", reason]
        assert output[-1].headers[buildlog.END] == "failed"


async def test_a_result_that_cannot_be_read(tmp_path: Path) -> None:
    async def program(_: BuildRun, __: ByteStream) -> int:
        await bench.put(SLUG, b"12345")
        await bench.put(f"{SLUG}.json", b"{]")
        return 0

    async with Bench(tmp_path).up() as bench:
        bench.runtime.build_program = program
        assert await bench.run() == "failed"
        (report,) = await bench.reports()
        assert "left no slug" in report.reason


async def test_output_past_the_limit_is_left_out(tmp_path: Path) -> None:
    async def program(_: BuildRun, stream: ByteStream) -> int:
        for _n in range(10):
            await stream.send(b"#" * 99 + b"\n")
        return 1

    async with Bench(tmp_path).up() as bench:
        bench.runtime.build_program = program
        assert await bench.run(output_limit_bytes=250) == "failed"
        shown = b"".join(message.data for message in await bench.output())
        assert shown.count(b"#") == 99 + 99 + 50
        assert b"the output is longer than 250 bytes" in shown
        assert shown.endswith(b"exited with code 1, stopping build\n")


async def test_a_build_that_takes_too_long(tmp_path: Path) -> None:
    async with Bench(tmp_path).up() as bench:
        ended = asyncio.Event()
        bench.runtime.build_program = forever(ended)
        assert await bench.run(time_limit_seconds=0.2) == "failed"
        (report,) = await bench.reports()
        assert report.reason == "The build ran longer than 0.2 s, stopping build"
        assert ended.is_set()


async def test_the_lease_is_kept_and_its_loss_ends_the_task(tmp_path: Path) -> None:
    async with Bench(tmp_path).up() as bench:
        ended = asyncio.Event()
        bench.runtime.build_program = forever(ended)
        running = asyncio.create_task(bench.run())
        await asyncio.wait_for(bench.renewed.wait(), 10)
        assert not ended.is_set()
        bench.lost = True
        assert await asyncio.wait_for(running, 10) == "left"
        assert ended.is_set()
        assert await bench.reports() == []


async def test_a_builder_that_stops_leaves_its_build(tmp_path: Path) -> None:
    async with Bench(tmp_path).up() as bench:
        ended, stop = asyncio.Event(), asyncio.Event()
        bench.runtime.build_program = forever(ended)
        running = asyncio.create_task(bench.run(stop))
        await asyncio.wait_for(bench.renewed.wait(), 10)
        stop.set()
        assert await asyncio.wait_for(running, 10) == "left"
        assert ended.is_set()
        assert await bench.reports() == []


async def test_a_runtime_that_cuts_the_build_off(tmp_path: Path) -> None:
    async def program(_: BuildRun, stream: ByteStream) -> int:
        await stream.send(b"some\n")
        await stream.cancel("the runtime stops")
        return 0

    async with Bench(tmp_path).up() as bench:
        bench.runtime.build_program = program
        assert await bench.run() == "left"
        assert await bench.reports() == []
        assert b"".join(message.data for message in await bench.output()) == b"some\n"
        assert not any(buildlog.END in message.headers for message in await bench.output())


async def test_a_runtime_that_is_away_is_waited_for(tmp_path: Path) -> None:
    async def program(_: BuildRun, __: ByteStream) -> int:
        return 1

    async with Bench(tmp_path).up() as bench:
        bench.runtime.build_program = program
        bench.runtime.away = True
        running = asyncio.create_task(bench.run())
        await asyncio.wait_for(bench.renewed.wait(), 10)
        bench.runtime.away = False
        assert await asyncio.wait_for(running, 10) == "failed"


def forever(ended: asyncio.Event) -> Any:
    """A build that ends only when it is ended."""

    async def program(_: BuildRun, stream: ByteStream) -> int:
        try:
            await stream.send(b"begun\n")
            await asyncio.Event().wait()
        finally:
            ended.set()
        return 0

    return program
