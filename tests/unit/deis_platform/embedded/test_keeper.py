"""The keeper ends what was recorded, whatever way the platform died, and nobody else's."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from deis_platform.embedded import keeper_process
from deis_platform.embedded.keeper import MARK, Keeper, ended

CHILD = """
import os, sys, time
how, where = sys.argv[1:3]
def note():
    with open(where, "a") as file: file.write(f"{os.getpid()}\\n")
note()
if how in ("forks", "leaves"):
    if os.fork() == 0:
        note()
    elif how == "leaves":
        os._exit(0)
if how in ("flees", "flees bare") and os.fork() == 0:
    os.setsid()
    if os.fork(): os._exit(0)
    if how == "flees bare":
        python = sys.executable
        os.execve(python, [python, "-c", sys.argv[3], "plain", where], {"HOME": sys.argv[4]})
    note()
time.sleep(1000)
"""

PLATFORM = """
import asyncio, sys
from pathlib import Path
from deis_platform.embedded.keeper import Keeper
async def main():
    folder = Path(sys.argv[1])
    async with Keeper(folder) as keeper:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", sys.argv[2], sys.argv[3], str(folder / "pids"),
            start_new_session=True, env=keeper.environment, stdout=asyncio.subprocess.DEVNULL)
        keeper.record(child.pid)
        print(keeper.pid, flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition of the outside world, at most 60 s."""
    pause = asyncio.Event()
    for _ in range(6000):
        if condition():
            return
        try:
            await asyncio.wait_for(pause.wait(), 0.01)
        except TimeoutError:
            continue
    raise AssertionError(f"never: {what}")


def noted(folder: Path) -> list[int]:
    """The processes that said they are there."""
    path = folder / "pids"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def lives(pid: int) -> bool:
    """Whether it runs; a zombie does not."""
    stat = keeper_process.stat_of(pid)
    return stat is not None and stat[4] not in "ZX"


async def start_platform(folder: Path, how: str) -> tuple[asyncio.subprocess.Process, int]:
    """A process with a keeper and one recorded child; gives it and the keeper's pid."""
    platform = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PLATFORM, str(folder), CHILD, how, stdout=asyncio.subprocess.PIPE
    )
    assert platform.stdout is not None
    return platform, int(await platform.stdout.readline())


async def spawn(
    folder: Path, how: str, environment: dict[str, str], *more: str
) -> asyncio.subprocess.Process:
    """A child in its own session."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, how, str(folder / "pids"), *more,
        start_new_session=True, env=environment,
    )  # fmt: skip


@pytest.fixture
async def stranger(tmp_path: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that nobody recorded."""
    process = await spawn(tmp_path / "..", "plain", {})
    yield process
    process.kill()
    await process.wait()


@pytest.mark.parametrize(("how", "processes"), [("plain", 1), ("forks", 2), ("flees", 2)])
async def test_a_killed_platform_leaves_no_process(
    tmp_path: Path, how: str, processes: int
) -> None:
    platform, keeper = await start_platform(tmp_path, how)
    await until(lambda: len(noted(tmp_path)) == processes, "the app is up")
    platform.send_signal(signal.SIGKILL)
    await ended(platform)
    await until(lambda: not any(map(lives, [*noted(tmp_path), keeper])), "everything is gone")
    await until(lambda: not list(tmp_path.glob("*.pids")), "the records are gone")


async def test_a_recorded_leader_that_left_does_not_save_its_children(tmp_path: Path) -> None:
    async with Keeper(tmp_path) as keeper:
        child = await spawn(tmp_path, "leaves", {})
        keeper.record(child.pid)
        await child.wait()
        await until(lambda: len(noted(tmp_path)) == 2, "the child of the child is up")
        assert lives(noted(tmp_path)[1])
    assert not any(map(lives, noted(tmp_path)))


async def test_one_that_fled_is_known_by_its_home(tmp_path: Path) -> None:
    home = tmp_path / "homes" / "blog"
    async with Keeper(tmp_path, homes=tmp_path / "homes") as keeper:
        child = await spawn(tmp_path, "flees bare", {}, CHILD, str(home))
        keeper.record(child.pid)
        await until(lambda: len(noted(tmp_path)) == 2, "both are up")
    assert not any(map(lives, noted(tmp_path)))


async def test_what_was_forgotten_and_what_was_never_recorded_lives(
    tmp_path: Path, stranger: asyncio.subprocess.Process
) -> None:
    async with Keeper(tmp_path) as keeper:
        child = await spawn(tmp_path, "plain", {})
        keeper.record(child.pid)
        keeper.forget(child.pid)
    assert lives(child.pid)
    assert lives(stranger.pid)
    child.kill()
    await child.wait()


async def test_a_number_that_was_given_away_is_left_alone(
    tmp_path: Path, stranger: asyncio.subprocess.Process
) -> None:
    stat = keeper_process.stat_of(stranger.pid)
    assert stat is not None
    records = keeper_process.Records()
    records.take(f"+ {stranger.pid} {stat[3] - 1}")
    assert keeper_process.targets(records) == []
    records.take(f"+ {stranger.pid} {stat[3]}")
    assert keeper_process.targets(records) == [stranger.pid]


async def test_the_next_start_cleans_up_after_a_killed_keeper(tmp_path: Path) -> None:
    platform, keeper = await start_platform(tmp_path, "forks")
    await until(lambda: len(noted(tmp_path)) == 2, "the app is up")
    platform.send_signal(signal.SIGSTOP)  # it must not start its keeper again
    os.kill(keeper, signal.SIGKILL)
    platform.send_signal(signal.SIGKILL)
    await ended(platform)
    assert all(map(lives, noted(tmp_path)))
    async with Keeper(tmp_path):
        assert not any(map(lives, noted(tmp_path)))


async def test_records_of_another_boot_are_ignored(
    tmp_path: Path, stranger: asyncio.subprocess.Process
) -> None:
    stat = keeper_process.stat_of(stranger.pid)
    assert stat is not None
    path = tmp_path / "keeper-0123456789abcdef.pids"
    path.write_text(f"boot another\n+ {stranger.pid} {stat[3]}\n")
    async with Keeper(tmp_path):
        assert lives(stranger.pid)
    assert not path.exists()


async def test_an_old_keeper_at_work_leaves_the_next_platforms_children_alone(
    tmp_path: Path,
) -> None:
    platform, keeper = await start_platform(tmp_path, "plain")
    await until(lambda: len(noted(tmp_path)) == 1, "the app is up")
    os.kill(keeper, signal.SIGSTOP)
    platform.send_signal(signal.SIGKILL)
    await ended(platform)
    async with Keeper(tmp_path) as following:
        child = await spawn(tmp_path / "..", "plain", following.environment)
        following.record(child.pid)
        os.kill(keeper, signal.SIGCONT)
        await until(lambda: not lives(keeper), "the old keeper has done its work")
        assert lives(child.pid)
    await child.wait()


async def test_a_killed_keeper_is_started_again_and_knows_everything(tmp_path: Path) -> None:
    async with Keeper(tmp_path) as keeper:
        child = await spawn(tmp_path, "plain", {})
        keeper.record(child.pid)
        first = keeper.pid
        os.kill(first, signal.SIGKILL)
        await until(lambda: keeper.pid != first and lives(keeper.pid), "a new keeper")
    assert await child.wait() == -signal.SIGKILL


async def test_a_keeper_that_cannot_be_started_for_a_while_comes_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Keeper(tmp_path) as keeper:
        child = await spawn(tmp_path, "plain", {})
        keeper.record(child.pid)
        first = keeper.pid
        with monkeypatch.context() as patch, capture_logs() as logged:
            patch.setattr(sys, "executable", str(tmp_path / "nothing"))
            os.kill(first, signal.SIGKILL)
            await until(
                lambda: any(line["event"] == "keeper cannot be started" for line in logged),
                "a start that failed",
            )
        await until(lambda: keeper.pid != first and lives(keeper.pid), "a new keeper")
    assert await child.wait() == -signal.SIGKILL


async def test_ctrl_c_in_the_terminal_does_not_end_the_keeper(tmp_path: Path) -> None:
    async with Keeper(tmp_path) as keeper:
        child = await spawn(tmp_path, "plain", keeper.environment)
        keeper.record(child.pid)
        pid = keeper.pid
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(pid, number)
    assert await child.wait() == -signal.SIGKILL
    assert keeper.environment.keys() == {MARK}


def test_a_torn_line_is_left_out() -> None:
    records = keeper_process.Records()
    for line in ("+ 12", "+ x 3", "- y", "", "garbage", "+ 7 9", "+ 8 10", "- 7"):
        records.take(line)
    assert records.started == {8: 10}
