"""What the consumer loop does on every bus; see bus.py for how a suite is inherited."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping

import pytest

from deis_bus import subjects
from deis_bus.codec import encode
from deis_bus.consumer import Consumer, Delivered, Handler
from deis_bus.errors import Permanent, Unavailable
from deis_bus.events import Event
from deis_bus.events.apps import AppCreated
from deis_bus.events.builds import BuildDone
from deis_bus.letters import letter
from deis_bus.ports import Bus
from deis_bus.streams import Durable
from tests.behaviour.bus import PATIENCE, envelope, until

DURABLE = Durable(name="controller", stream="REPORTS", filters=(subjects.REPORTS,))


async def report(bus: Bus, event: Event, app: str = "blog") -> str:
    """Publish it as a report; gives the event's id."""
    given = envelope(event.TYPE, subject=app)
    await bus.publish(subjects.report(app, event.TYPE), given, encode(event))
    return given.id


@contextlib.asynccontextmanager
async def running(
    bus: Bus, handlers: Mapping[type[Event], Handler], **more: object
) -> AsyncIterator[None]:
    """The loop while the context lasts; it must end by itself when it is told to."""
    stop = asyncio.Event()
    durable = more.pop("durable", DURABLE)
    consumer = Consumer(bus, durable, handlers, "reports", **more)  # type: ignore[arg-type]
    task = asyncio.create_task(consumer.run(stop))
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(task, PATIENCE)


async def _no_reports(bus: Bus) -> bool:
    first, last = await bus.stream_bounds("REPORTS")
    return first > last > 0


BUILD = BuildDone(build="b1", attempt=1, sha="abc")


class ConsumerSuite:
    """Decode, handle, ack; and each kind of fault."""

    async def test_an_event_reaches_its_handler_and_is_acked(self, bus: Bus, other: Bus) -> None:
        seen: list[tuple[Event, Delivered]] = []

        async def on_build(event: BuildDone, delivered: Delivered) -> None:
            seen.append((event, delivered))

        given = await report(other, BUILD)
        async with running(bus, {BuildDone: on_build}):
            await until(lambda: _no_reports(other))
        [(event, delivered)] = seen
        assert event == BUILD
        assert delivered.envelope.id == given
        assert (delivered.subject, delivered.sequence, delivered.attempt) == (
            "deis.report.blog.build.done",
            1,
            1,
        )

    async def test_an_unknown_type_is_counted_and_left(self, bus: Bus, other: Bus) -> None:
        unknown = envelope("moon.landed")
        await other.publish(subjects.report("blog", "moon.landed"), unknown, b"{}")
        await report(other, AppCreated(owner="ann"))
        async with running(bus, {}):
            await until(lambda: _no_reports(other))
        assert bus.counts.unknown == 1
        assert await bus.read("DEAD") == []

    async def test_what_does_not_decode_is_buried_at_once(self, bus: Bus, other: Bus) -> None:
        async def on_build(event: BuildDone, delivered: Delivered) -> None:
            raise AssertionError("nothing to handle")

        subject = subjects.report("blog", "build.done")
        await other.publish(subject, envelope("build.done"), b'{"build": 1}')
        await other.store(subject, b"{}", {"no": "envelope"})
        async with running(bus, {BuildDone: on_build}):
            await until(lambda: _no_reports(other))
        dead = [letter(received) for received in await bus.read("DEAD")]
        assert [entry.attempt for entry in dead] == [1, 1]
        assert "build.done" in dead[0].reason
        assert "without id" in dead[1].reason

    async def test_a_permanent_fault_is_buried_at_once(self, bus: Bus, other: Bus) -> None:
        async def on_build(event: BuildDone, delivered: Delivered) -> None:
            raise Permanent("no such build")

        await report(other, BUILD)
        async with running(bus, {BuildDone: on_build}):
            await until(lambda: _no_reports(other))
        assert [letter(m).reason for m in await bus.read("DEAD")] == ["no such build"]
        assert bus.counts.buried == 1

    async def test_the_fifth_unexpected_fault_buries(
        self, bus: Bus, other: Bus, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("deis_bus.consumer.DELAY_SECONDS", (0.001, 0.001))
        attempts: list[int] = []

        async def on_build(event: BuildDone, delivered: Delivered) -> None:
            attempts.append(delivered.attempt)
            raise KeyError("bug")

        await report(other, BUILD)
        async with running(bus, {BuildDone: on_build}):
            await until(lambda: _no_reports(other))
        assert attempts == [1, 2, 3, 4, 5]
        [told] = [letter(received) for received in await bus.read("DEAD")]
        assert (told.attempt, told.reason, told.durable) == (5, "KeyError: 'bug'", "controller")
        assert bus.counts.retried == 4

    async def test_a_transient_fault_pauses_probes_and_is_never_buried(
        self, bus: Bus, other: Bus, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("deis_bus.consumer.PROBE_SECONDS", (0.001, 0.001))
        probes = 0
        handled: list[str] = []

        async def probe() -> bool:
            nonlocal probes
            probes += 1
            if probes % 2:
                raise Unavailable("still away")
            return True

        async def on_build(event: BuildDone, delivered: Delivered) -> None:
            if probes < 12:
                raise Unavailable("no database")
            handled.append(event.build)

        await report(other, BUILD)
        async with running(bus, {BuildDone: on_build}, probe=probe):
            await until(lambda: _no_reports(other))
        assert handled == ["b1"]
        assert bus.counts.paused >= 6
        assert await bus.read("DEAD") == []

    async def test_while_it_stands_still_nothing_is_handled(
        self, bus: Bus, other: Bus, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("deis_bus.consumer.PROBE_SECONDS", (0.001, 0.001))
        back = asyncio.Event()
        handled: list[str] = []
        probed = asyncio.Event()

        async def probe() -> bool:
            probed.set()
            return back.is_set()

        async def on_build(event: BuildDone, delivered: Delivered) -> None:
            if not back.is_set():
                handled.append("too early")
                raise Unavailable("no database")
            handled.append(event.build)

        async with running(bus, {BuildDone: on_build}, probe=probe):
            await report(other, BUILD)
            await asyncio.wait_for(probed.wait(), PATIENCE)
            for app in ("shop", "wiki"):
                await report(other, BUILD, app)
            probed.clear()
            await asyncio.wait_for(probed.wait(), PATIENCE)
            assert handled == ["too early"]
            back.set()
            await until(lambda: _no_reports(other))
        assert handled == ["too early", "b1", "b1", "b1"]

    async def test_an_app_is_handled_in_order_and_apps_side_by_side(
        self, bus: Bus, other: Bus
    ) -> None:
        release = asyncio.Event()
        order: list[str] = []
        at_once = 0

        async def on_build(event: BuildDone, delivered: Delivered) -> None:
            nonlocal at_once
            at_once += 1
            assert at_once <= 3, "no app twice at once"
            if event.build == "0":
                await release.wait()
            order.append(f"{delivered.envelope.subject} {event.build}")
            at_once -= 1

        async with running(bus, {BuildDone: on_build}):
            for number in range(3):
                for app in ("blog", "shop", "wiki"):
                    await report(other, BuildDone(build=str(number), attempt=1), app)
            await until(lambda: at_once == 3)
            assert order == []
            release.set()
            await until(lambda: _no_reports(other))
        for app in ("blog", "shop", "wiki"):
            assert [line for line in order if line.startswith(app)] == [
                f"{app} {number}" for number in range(3)
            ]

    async def test_what_waits_for_its_turn_is_not_delivered_twice(
        self, bus: Bus, other: Bus
    ) -> None:
        hasty = Durable(
            name="controller", stream="REPORTS", filters=(subjects.REPORTS,), ack_wait_seconds=1.5
        )
        attempts: list[int] = []

        async def on_build(event: BuildDone, delivered: Delivered) -> None:
            attempts.append(delivered.attempt)
            if len(attempts) == 1:
                for _ in range(20):
                    await delivered.working()
                    await asyncio.sleep(0.1)

        for _ in range(3):
            await report(other, BUILD)
        async with running(bus, {BuildDone: on_build}, durable=hasty):
            await until(lambda: _no_reports(other))
        assert attempts == [1, 1, 1]

    async def test_stopping_ends_what_runs_and_gives_back_what_waits(
        self, bus: Bus, other: Bus
    ) -> None:
        began = asyncio.Event()
        handled: list[str] = []

        async def slow(event: BuildDone, delivered: Delivered) -> None:
            began.set()
            for _ in range(10):
                await asyncio.sleep(0)
            handled.append(event.build)

        async def quick(event: BuildDone, delivered: Delivered) -> None:
            handled.append(event.build)

        for number in range(3):
            await report(other, BuildDone(build=str(number), attempt=1))
        async with running(bus, {BuildDone: slow}):
            await asyncio.wait_for(began.wait(), PATIENCE)
        assert handled == ["0"]
        async with running(other, {BuildDone: quick}):
            await until(lambda: _no_reports(other))
        assert sorted(handled) == ["0", "1", "2"]

    async def test_stopping_while_it_stands_still_gives_back_what_it_holds(
        self, bus: Bus, other: Bus, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("deis_bus.consumer.PROBE_SECONDS", (0.001, 0.001))
        patient = Durable(
            name="controller", stream="REPORTS", filters=(subjects.REPORTS,), ack_wait_seconds=300
        )
        probes = 0
        handled: list[str] = []

        async def probe() -> bool:
            nonlocal probes
            probes += 1
            return False

        async def away(event: BuildDone, delivered: Delivered) -> None:
            raise Unavailable("no database")

        async def quick(event: BuildDone, delivered: Delivered) -> None:
            handled.append(delivered.envelope.subject)

        async with running(bus, {BuildDone: away}, probe=probe, durable=patient):
            await report(other, BUILD)
            await until(lambda: probes > 0)
            for app in ("shop", "wiki"):
                await report(other, BUILD, app)
            probes = 0
            await until(lambda: probes > 50)
        async with running(other, {BuildDone: quick}, durable=patient):
            await until(lambda: _no_reports(other))
        assert sorted(handled) == ["blog", "shop", "wiki"]

    async def test_it_waits_for_a_stream_that_is_not_there_yet(self, bus: Bus) -> None:
        nowhere = Durable(name="x", stream="NOWHERE", filters=())
        async with running(bus, {}, durable=nowhere):
            await until(bus.ready)

    async def test_each_handling_is_wrapped(self, bus: Bus, other: Bus) -> None:
        lines: list[str] = []

        @contextlib.contextmanager
        def around(delivered: Delivered) -> Iterator[None]:
            lines.append(f"begin {delivered.envelope.type}")
            yield
            lines.append("end")

        async def on_build(event: BuildDone, delivered: Delivered) -> None:
            lines.append("handled")

        await report(other, BUILD)
        async with running(bus, {BuildDone: on_build}, around=around):
            await until(lambda: _no_reports(other))
        assert lines == ["begin build.done", "handled", "end"]
