"""Programs that run to their end: no shell, bounded in time and output, nothing left behind."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deis_platform.process import Completed, ProcessError, end, run

PYTHON = sys.executable


def alive(pid: int) -> bool:
    """Whether it runs; a zombie that nobody has fetched does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


async def until(condition: Callable[[], bool], what: str) -> None:
    """Until the outside world is so."""
    never = asyncio.Event()
    for _ in range(6000):
        if condition():
            return
        try:
            await asyncio.wait_for(never.wait(), 0.01)
        except TimeoutError:
            continue
    raise AssertionError(f"never: {what}")


async def python(program: str, *words: str, **options: object) -> Completed:
    """Run a Python program."""
    return await run([PYTHON, "-c", program, *words], **options)  # type: ignore[arg-type]


async def test_output_and_code_come_back() -> None:
    done = await python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)")
    assert done == Completed(returncode=3, stdout=b"out\n", stderr=b"err\n", truncated=False)


async def test_words_reach_the_program_as_they_are(tmp_path: Path) -> None:
    words = ["; touch x", "$(touch x)", "`touch x`", "a  b", "*", "-c", "", "\n", "ñ"]
    done = await python("import sys; print(sys.argv[1:])", *words, cwd=tmp_path)
    assert done.stdout.decode() == f"{words}\n"
    assert list(tmp_path.iterdir()) == []


async def test_input_folder_and_environment(tmp_path: Path) -> None:
    program = "import os, sys; print(os.getcwd(), sorted(os.environ), sys.stdin.read())"
    done = await python(program, cwd=tmp_path, env={"A": "1", "LC_ALL": "C.UTF-8"}, input=b"hello")
    assert done.stdout.decode() == f"{tmp_path} ['A', 'LC_ALL'] hello\n"


async def test_a_program_that_does_not_read_its_input_is_no_fault() -> None:
    done = await python("print('done')", input=bytes(4 * 1024 * 1024))
    assert (done.returncode, done.stdout) == (0, b"done\n")


async def test_what_ends_by_a_signal_says_so() -> None:
    done = await python("import os; os.kill(os.getpid(), 15)")
    assert done.returncode == -signal.SIGTERM


async def test_output_over_the_limit_is_thrown_away_and_the_program_goes_on() -> None:
    program = "import sys; sys.stdout.write('x' * 3_000_000); sys.stderr.write('e' * 10)"
    done = await python(program, output_bytes=1000)
    assert (done.returncode, len(done.stdout), done.truncated) == (0, 1000, True)
    assert done.stderr == b"e" * 10
    exact = await python("print('x' * 999)", output_bytes=1000)
    assert (len(exact.stdout), exact.truncated) == (1000, False)


@pytest.mark.parametrize("program", ["/nonexistent/program", "no-such-program-anywhere", "/"])
async def test_what_cannot_be_started_is_told_without_its_words(program: str) -> None:
    with pytest.raises(ProcessError, match="cannot be started") as caught:
        await run([program, "--password=secret"])
    assert "secret" not in str(caught.value)


async def test_a_word_with_a_nul_is_told_like_any_other_fault() -> None:
    with pytest.raises(ProcessError, match="cannot be started"):
        await python("pass", "secret\0")


async def test_a_fault_is_raised_only_when_asked_for() -> None:
    program = "import sys; print('x' * 600 + ' last words', file=sys.stderr); sys.exit(2)"
    assert (await python(program, "secret")).returncode == 2
    with pytest.raises(ProcessError, match=r"ended with 2: x+ last words$") as caught:
        await python(program, "secret", check=True)
    assert "secret" not in str(caught.value)
    assert len(str(caught.value)) < 600
    with pytest.raises(ProcessError, match="it said nothing"):
        await python("raise SystemExit(1)", check=True)


FAMILY = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
grandchild = subprocess.Popen(
    [sys.executable, "-c", "import time; time.sleep(1000)"],
    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
with open(sys.argv[1] + ".new", "w") as file: file.write(f"{os.getpid()} {grandchild.pid}")
os.rename(sys.argv[1] + ".new", sys.argv[1])
time.sleep(float(sys.argv[2]))
"""


async def family(path: Path) -> list[int]:
    """The pids of a program and its child, once both are up."""
    await until(path.exists, "the family is up")
    return [int(word) for word in path.read_text().split()]


async def test_at_the_limit_the_grandchildren_are_killed_too(tmp_path: Path) -> None:
    for seconds in (1.5, 6.0, 24.0):  # time enough for both to start, however busy the machine is
        with pytest.raises(ProcessError, match=rf"ran longer than {seconds:g} s"):
            await python(FAMILY, str(tmp_path / "pids"), "1000", seconds=seconds)
        if (tmp_path / "pids").exists():
            break
    pids = await family(tmp_path / "pids")
    assert len(pids) == 2
    await until(lambda: not any(map(alive, pids)), "both are gone")


async def test_a_cancelled_caller_leaves_nothing_running(tmp_path: Path) -> None:
    task = asyncio.create_task(python(FAMILY, str(tmp_path / "pids"), "1000"))
    pids = await family(tmp_path / "pids")
    assert all(map(alive, pids))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not any(map(alive, pids)), "both are gone")


async def test_who_is_left_in_the_background_ends_with_the_program(tmp_path: Path) -> None:
    done = await python(FAMILY, str(tmp_path / "pids"), "0")
    assert done.returncode == 0, done.stderr
    pids = await family(tmp_path / "pids")
    await until(lambda: not any(map(alive, pids)), "both are gone")


async def test_our_own_group_is_never_hit() -> None:
    done = await python("import os; print(os.getpgid(0), os.getsid(0))")
    group, session = map(int, done.stdout.split())
    assert group == session
    assert group != os.getpgid(0)


FILLS = """
import os, sys, time
os.set_blocking(1, False)
refused = 0
while refused < 50:  # in a row: nobody reads on
    try:
        os.write(1, bytes(65536))
        refused = 0
    except BlockingIOError:
        refused += 1
        time.sleep(0.01)
open(sys.argv[1], "w").close()
time.sleep(600)
"""


def pipes() -> set[str]:
    """Those that this process holds."""
    found = set()
    for one in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.add(os.readlink(one))
    return {name for name in found if name.startswith(("pipe:", "socket:"))}


async def test_pipes_of_a_program_that_nobody_read_on_are_closed(tmp_path: Path) -> None:
    before = pipes()
    running = await asyncio.create_subprocess_exec(
        *(PYTHON, "-c", FILLS, str(tmp_path / "full")),
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    await until((tmp_path / "full").exists, "its pipe is full")
    made = pipes() - before
    assert made
    await end(running)
    assert running.returncode == -signal.SIGKILL
    await until(lambda: not made & pipes(), "its pipe is closed")
