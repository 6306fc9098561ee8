"""The runner: stop in two steps, an early end is a fault, restarts with growing pauses."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deis_platform.runner import (
    STEADY_SECONDS,
    FunctionPart,
    PartEnded,
    restarting,
    run_parts,
    stop_on_signals,
    wait_for_stop,
)
from tests.unit.deis_platform.hand_loop import jumping, now


async def obedient(stop: asyncio.Event) -> None:
    """Ends when it is asked."""
    await stop.wait()


def told(log: list[str], name: str, seconds: float) -> FunctionPart:
    """A part that needs so long to end, and writes down what happens to it."""

    async def run(stop: asyncio.Event) -> None:
        await stop.wait()
        log.append(f"{name} asked at {now():g}")
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            log.append(f"{name} cancelled at {now():g}")
            raise
        log.append(f"{name} ended at {now():g}")

    return FunctionPart(name, run)


async def stop_later(stop: asyncio.Event, seconds: float) -> None:
    """Ask at that time."""
    await asyncio.sleep(seconds)
    stop.set()


@jumping
async def test_all_are_asked_and_the_late_one_is_cancelled_after_the_grace() -> None:
    log: list[str] = []
    stop = asyncio.Event()
    asking = asyncio.create_task(stop_later(stop, 60))
    await run_parts([told(log, "quick", 2), told(log, "late", 1000)], stop, grace=10)
    await asking
    assert log == [
        "quick asked at 60",
        "late asked at 60",
        "quick ended at 62",
        "late cancelled at 70",
    ]
    assert now() == 70


@jumping
async def test_it_does_not_wait_for_the_grace_when_all_have_ended() -> None:
    stop = asyncio.Event()
    stop.set()
    await run_parts([told([], "quick", 2)], stop, grace=1000)
    assert now() == 2


@jumping
async def test_no_parts_run_until_they_are_stopped() -> None:
    stop = asyncio.Event()
    asking = asyncio.create_task(stop_later(stop, 5))
    await run_parts([], stop)
    await asking
    assert now() == 5


@jumping
async def test_a_part_that_ends_early_is_a_fault_which_ends_the_others() -> None:
    log: list[str] = []

    async def short(stop: asyncio.Event) -> None:
        await asyncio.sleep(3)

    async def long(stop: asyncio.Event) -> None:
        try:
            await stop.wait()
        finally:
            log.append(f"cancelled at {now():g}")

    parts = [FunctionPart("short", short), FunctionPart("long", long)]
    with pytest.raises(PartEnded, match="short ended although nobody asked"):
        await run_parts(parts, asyncio.Event())
    assert log == ["cancelled at 3"]


@jumping
async def test_what_a_part_raises_comes_out_as_it_is() -> None:
    async def broken(stop: asyncio.Event) -> None:
        raise LookupError("why")

    with pytest.raises(LookupError, match="why"):
        await run_parts(
            [FunctionPart("broken", broken), FunctionPart("x", obedient)], asyncio.Event()
        )


@jumping
async def test_faults_of_several_parts_are_not_lost() -> None:
    async def broken(stop: asyncio.Event) -> None:
        await stop.wait()
        raise LookupError("why")

    stop = asyncio.Event()
    stop.set()
    with pytest.raises(ExceptionGroup) as caught:
        await run_parts([FunctionPart(str(number), broken) for number in range(2)], stop)
    assert len(caught.value.exceptions) == 2


def failing(log: list[float], seconds: Callable[[int], float]) -> FunctionPart:
    """A part whose every start is written down, and which fails after `seconds(start)`."""

    async def run(stop: asyncio.Event) -> None:
        log.append(now())
        await wait_for_stop(stop, seconds(len(log)))
        if not stop.is_set():
            raise OSError("no luck")

    return FunctionPart("failing", run)


def doubling() -> Iterator[float]:
    """1, 2, 4, 8 …"""
    pause = 1.0
    while True:
        yield pause
        pause *= 2


@jumping
async def test_a_restarted_part_waits_longer_each_time() -> None:
    starts: list[float] = []
    stop = asyncio.Event()
    asking = asyncio.create_task(stop_later(stop, 14))
    await restarting(failing(starts, lambda _: 0), doubling).run(stop)
    await asking
    assert starts == [0, 1, 3, 7]
    assert now() == 14, "a pause ends with the platform"


@jumping
async def test_after_a_steady_while_the_pauses_begin_anew() -> None:
    starts: list[float] = []
    stop = asyncio.Event()
    steady = STEADY_SECONDS + 1
    asking = asyncio.create_task(stop_later(stop, 10.5 + steady))
    await restarting(failing(starts, lambda start: steady if start == 4 else 0), doubling).run(stop)
    await asking
    assert starts == [0, 1, 3, 7, 7 + steady + 1, 7 + steady + 3]


@jumping
async def test_a_restarted_part_that_just_ends_is_started_again_too() -> None:
    starts: list[float] = []

    async def short(stop: asyncio.Event) -> None:
        starts.append(now())

    stop = asyncio.Event()
    asking = asyncio.create_task(stop_later(stop, 4))
    await restarting(FunctionPart("short", short), doubling).run(stop)
    await asking
    assert starts == [0, 1, 3]


@jumping
async def test_a_restarted_part_can_be_cancelled() -> None:
    async def forever(stop: asyncio.Event) -> None:
        await asyncio.Event().wait()

    stop = asyncio.Event()
    stop.set()
    stop.clear()
    parts = [restarting(FunctionPart("forever", forever)), FunctionPart("x", obedient)]
    running = asyncio.create_task(run_parts(parts, stop, grace=1))
    await asyncio.sleep(5)
    stop.set()
    await running
    assert now() == 6


@jumping
async def test_waiting_for_the_stop() -> None:
    stop = asyncio.Event()
    assert await wait_for_stop(stop, 3) is False
    assert now() == 3
    stop.set()
    assert await wait_for_stop(stop, 3) is True
    assert now() == 3


async def test_the_first_signal_asks_and_the_second_cancels() -> None:
    begun = asyncio.Event()
    seen: list[asyncio.Event] = []

    async def service() -> None:
        seen.append(stop_on_signals())
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(service())
    loop = asyncio.get_running_loop()
    try:
        await begun.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(seen[0].wait(), 10)
        assert not task.done()
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 10)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


SERVICE = """
import asyncio, os, sys
from dataclasses import dataclass
from deis_platform.runner import FunctionPart, run_parts, run_service
from deis_platform.settings import env

@dataclass(frozen=True)
class Settings:
    how: str = env("HOW", help="how it behaves")

async def serve(settings, stop):
    async def part(stop):
        print("up", flush=True)
        if settings.how == "fails":
            raise OSError("the disk is gone")
        await stop.wait()
        print("asked", flush=True)
        if settings.how == "late":
            await asyncio.Event().wait()
    await run_parts([FunctionPart("part", part)], stop, grace=1000)

run_service(serve, Settings)
"""


async def service(folder: Path, environ: dict[str, str]) -> asyncio.subprocess.Process:
    """The service as a process of its own."""
    program = folder / "service.py"
    program.write_text(SERVICE)
    return await asyncio.create_subprocess_exec(
        sys.executable, str(program),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=os.environ | environ,
    )  # fmt: skip


async def word(process: asyncio.subprocess.Process) -> str:
    """The next line it prints."""
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readline(), 20)).decode().strip()


async def test_a_service_that_is_stopped_ends_with_0(tmp_path: Path) -> None:
    process = await service(tmp_path, {"HOW": "well"})
    assert await word(process) == "up"
    process.send_signal(signal.SIGTERM)
    out, err = await process.communicate()
    assert (process.returncode, out, err) == (0, b"asked\n", b"")


async def test_a_second_signal_does_not_wait_for_the_grace(tmp_path: Path) -> None:
    process = await service(tmp_path, {"HOW": "late"})
    assert await word(process) == "up"
    process.send_signal(signal.SIGINT)
    assert await word(process) == "asked"
    process.send_signal(signal.SIGINT)
    await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 1


async def test_wrong_settings_are_one_clear_message(tmp_path: Path) -> None:
    process = await service(tmp_path, {})
    _, err = await process.communicate()
    assert process.returncode == 2
    assert err.decode() == "wrong settings:\n  HOW is missing: how it behaves\n"


async def test_a_fault_is_logged_and_ends_with_1(tmp_path: Path) -> None:
    process = await service(tmp_path, {"HOW": "fails"})
    _, err = await process.communicate()
    assert process.returncode == 1
    assert "service failed" in err.decode()
    assert "OSError: the disk is gone" in err.decode()
