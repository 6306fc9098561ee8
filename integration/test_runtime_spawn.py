"""Processes of applications: what they find, what they may, and that nothing of them is left."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deis_platform.embedded.keeper_process import alive, read_bytes, stat_of
from deis_platform.embedded.owners import Owner
from deis_services.runtime.limits import Cgroups, Rlimits
from deis_services.runtime.spawn import CannotStart
from integration.servers import until
from integration.task_rig import UUID, Machine, machine

pytestmark = pytest.mark.server

FLEE = (
    "python3 -c 'import os,sys,time; os.setsid(); print(os.getpid(),flush=True); time.sleep(300)'"
)


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Machine]:
    async with machine(tmp_path) as made:
        yield made


def gone(pid: int) -> bool:
    stat = stat_of(pid)
    return stat is None or stat[4] in "ZX"


async def test_the_environment_is_what_was_given_and_nothing_of_ours(
    here: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEIS_NATS_PASSWORD_FILE", "/secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "ours")
    code, text = await here.output("env", {"GREETING": "hello\nworld", "TMPDIR": "/tmp/own"})
    found = dict(line.partition("=")[::2] for line in text.splitlines() if "=" in line)
    assert code == 0
    ours = {"PATH", "LANG", "USER", "LOGNAME", "HOME", "PORT", "TMPDIR", "GREETING"}
    assert found.keys() - ours <= {"PWD", "SHLVL", "_", "OLDPWD"}
    assert (found["PORT"], found["TMPDIR"]) == ("5001", "/tmp/own")
    assert "GREETING=hello\nworld" in text


async def test_exit_codes_are_those_of_a_shell(here: Machine) -> None:
    assert (await here.output("exit 7"))[0] == 7
    assert (await here.output("kill -KILL $$"))[0] == 128 + 9
    code, text = await here.output("no-such-program")
    assert code == 127
    assert "no-such-program" in text


async def test_a_signal_reaches_the_whole_group(here: Machine) -> None:
    # It says so itself: a shell's child that is not yet another program may swallow the signal.
    sleeping = "sh -c 'echo $$; exec sleep 300'"
    child = await here.start(f"trap 'echo got; exit 5' TERM; {sleeping} & wait")
    assert child.stdout is not None
    sleeper = int(await child.stdout.readline())
    child.signal(signal.SIGTERM)
    assert await child.wait() == 5
    assert await child.stdout.readline() == b"got\n"
    await until(lambda: gone(sleeper), "the end of its child")
    await child.bury()


async def test_burying_twice_and_reading_afterwards(here: Machine) -> None:
    child = await here.start("seq 1 30000; sleep 300")
    assert child.stdout is not None
    first = await child.stdout.readline()
    await asyncio.gather(child.bury(), child.bury())
    assert await child.wait() == 128 + 9
    assert first + await child.stdout.read() != b""
    assert child.returncode == 128 + 9
    child.signal(signal.SIGTERM)


async def test_output_that_was_printed_last_is_not_lost(here: Machine) -> None:
    child = await here.start("seq 1 100000")
    assert child.stdout is not None
    lines = []
    ended = asyncio.create_task(child.wait())
    while line := await child.stdout.readline():
        lines.append(line)
        if ended.done():
            await child.bury()
    assert lines[-1] == b"100000\n"
    await child.bury()


async def test_what_flees_from_its_session_is_killed(here: Machine) -> None:
    child = await here.start(f"{FLEE} & sleep 300", limits=Rlimits())
    assert child.stdout is not None
    fled = int(await child.stdout.readline())
    assert fled != child.pid
    await child.bury()
    assert gone(fled)
    assert gone(child.pid)
    assert await child.stdout.read() == b""


@pytest.mark.root
async def test_what_hides_its_home_too_is_killed_where_there_are_cgroups(here: Machine) -> None:
    if not isinstance(here.workspace.limits, Cgroups):
        pytest.fail("needs writable cgroups: run it where root may make some")
    child = await here.start(f"env -i PATH=$PATH {FLEE} & sleep 300")
    assert child.stdout is not None
    fled = int(await child.stdout.readline())
    assert b"HOME=" not in read_bytes(f"/proc/{fled}/environ")
    await child.bury()
    assert gone(fled)


async def test_the_readers_end_though_something_holds_the_pipe(here: Machine) -> None:
    child = await here.start(f"{FLEE} & sleep 300", home=None, limits=Rlimits())
    assert child.stdout is not None
    fled = int(await child.stdout.readline())
    try:
        await child.bury()
        assert await child.stdout.read() == b""
        assert not gone(fled)
    finally:
        os.kill(fled, signal.SIGKILL)


async def test_the_neighbour_goes_on(here: Machine) -> None:
    prepared = await here.prepared()
    one = await here.start("sleep 300", prepared=prepared, instance="blog-web-1")
    two = await here.start("sleep 300", prepared=prepared, instance="blog-web-2")
    await one.bury()
    assert two.returncode is None
    assert not gone(two.pid)
    await two.bury()


async def test_a_killed_platform_leaves_nothing(here: Machine) -> None:
    child = await here.start(f"{FLEE} & sleep 300")
    assert child.stdout is not None
    fled = int(await child.stdout.readline())
    await here.keeper.__aexit__(None, None, None)
    assert gone(fled)
    await child.bury()
    await here.keeper.__aenter__()


async def test_standard_input_is_empty_or_a_pipe(here: Machine) -> None:
    assert await here.output("cat") == (0, "")
    child = await here.start("cat; echo end", stdin=True)
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(b"x" * 300_000)
    child.stdin.close()
    assert await child.stdout.read() == b"x" * 300_000 + b"end\n"
    assert await child.wait() == 0
    await child.bury()


async def test_a_terminal_has_a_size_job_control_and_an_end(here: Machine) -> None:
    child = await here.start("stty size; read x; stty size; tty; exec cat", terminal=(90, 30))
    assert child.stdout is not None
    assert child.stdin is not None
    assert await child.stdout.readline() == b"30 90\r\n"
    child.resize(120, 40)
    child.stdin.write(b"\n")
    assert await child.stdout.readline() == b"\r\n"
    assert await child.stdout.readline() == b"40 120\r\n"
    assert (await child.stdout.readline()).startswith(b"/dev/")
    child.stdin.write(b"there\n")
    for _ in ("echoed", "by cat"):  # the shell, were it still there, would wait for `tty` first
        assert await child.stdout.readline() == b"there\r\n"
    child.stdin.write(b"\x03")
    assert await child.wait() == 128 + signal.SIGINT
    await child.bury()
    with contextlib.suppress(OSError):
        await child.stdout.read()


async def test_what_cannot_start_says_why(here: Machine) -> None:
    prepared = await here.prepared()
    for changes, words in (
        ({"argv": ("/no/such/program",)}, "/no/such/program: No such file"),
        ({"cwd": Path("/no/such/folder")}, "/no/such/folder: No such file"),
        ({"argv": ("/bin/echo", "a\0b")}, "NUL character"),
    ):
        with pytest.raises(CannotStart, match=words):
            await here.start("true", prepared=prepared, **changes)


async def test_cancelling_a_start_leaves_nothing(here: Machine) -> None:
    prepared = await here.prepared()
    command = here.command(prepared, "sleep 300", instance="blog-web-gone")
    for _ in range(5):
        starting = asyncio.create_task(here.start("sleep 300", prepared=prepared))
        await asyncio.sleep(0)
        starting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await (await starting).bury()
    mark = b"HOME=" + os.fsencode(command.environment["HOME"])
    assert not [s for s in alive() if mark in read_bytes(f"/proc/{s[0]}/environ").split(b"\0")]


async def test_memory_is_bound_for_each_process_without_cgroups(here: Machine) -> None:
    hungry = "python3 -c 'x = bytearray(300 << 20)'"
    code, text = await here.output(hungry, memory_bytes=200 << 20, limits=Rlimits())
    assert code == 1
    assert "MemoryError" in text
    assert (await here.output(hungry, memory_bytes=600 << 20, limits=Rlimits()))[0] == 0


@pytest.mark.root
async def test_memory_is_bound_for_the_instance_with_cgroups(here: Machine) -> None:
    hungry = "python3 -c 'x = bytearray(200 << 20)'"
    code, _ = await here.output(hungry, memory_bytes=100 << 20)
    assert code == 128 + 9
    assert (await here.output(hungry, memory_bytes=400 << 20))[0] == 0


@pytest.mark.root
async def test_the_groups_of_instances_go_with_them(here: Machine) -> None:
    limits = here.workspace.limits
    assert isinstance(limits, Cgroups)
    await here.output("true", memory_bytes=100 << 20)
    assert not [p for parent in limits.parents.values() for p in parent.glob(f"{limits.prefix}*")]


@pytest.mark.root
async def test_a_process_is_its_applications_user_for_good(here: Machine) -> None:
    _, text = await here.output("id -u; id -G; grep -E 'NoNewPrivs|CapEff' /proc/self/status")
    uid, groups, *status = text.split("\n")
    assert (uid, int(uid) >= 1_900_000_000) == (groups, True)
    assert "NoNewPrivs:\t1" in status
    assert "CapEff:\t0000000000000000" in status


@pytest.mark.root
async def test_no_library_of_the_user_is_loaded_while_we_are_root(here: Machine) -> None:
    library = here.folder / "evil.so"
    source = here.folder / "evil.c"
    source.write_text(
        "#include <unistd.h>\n#include <stdio.h>\n"
        '__attribute__((constructor)) void run(void) { fprintf(stderr, "uid %d\\n", geteuid()); }\n'
    )
    compiler = await asyncio.create_subprocess_exec("cc", "-shared", "-fPIC", "-o", library, source)
    assert await compiler.wait() == 0
    _, text = await here.output("true", {"LD_PRELOAD": str(library)})
    assert "uid 19" in text
    assert "uid 0\n" not in text


@pytest.mark.root
async def test_other_applications_and_the_data_folder_are_closed(here: Machine) -> None:
    other = "6f1f7f6e-0000-4000-8000-000000000002"
    secret = here.folder / "secrets"
    secret.mkdir(mode=0o700)
    (secret / "master.key").write_text("key")
    theirs = await here.prepared({"secret": "theirs"}, appuuid=other)
    neighbour = await here.start("sleep 300", prepared=theirs, instance="other-web-1")
    home = here.command(theirs, "true", instance="other-web-1").environment["HOME"]
    mine = await here.prepared()
    runtime = here.workspace.folder
    for target in (
        secret / "master.key",
        theirs.folder,
        theirs.folder / "secret",
        Path(home),
        runtime,
        runtime / "apps",
        runtime / "accounts.json",
        Path(f"/proc/{neighbour.pid}/environ"),
        Path(f"/proc/{os.getpid()}/environ"),
    ):
        code, text = await here.output(f"ls '{target}/' || cat '{target}'", prepared=mine)
        assert (code != 0, "denied" in text or "Not a directory" in text) == (True, True), target
    code, _ = await here.output(f"kill -9 {neighbour.pid}", prepared=mine)
    assert (code, neighbour.returncode) == (1, None)
    await neighbour.bury()
    await here.workspace.forget(other)


@pytest.mark.root
async def test_the_slug_is_read_only_and_home_is_not(here: Machine) -> None:
    command = "echo x > new || echo refused; echo x >> Procfile || echo refused; cat $HOME/Procfile"
    code, text = await here.output(
        f"{command}; echo kept > $HOME/new; cat $HOME/new; ls -a $TMPDIR"
    )
    assert code == 0
    assert text.count("refused") == 2
    assert "web: true\nkept\n" in text


@pytest.mark.root
async def test_a_closed_folder_on_the_way_is_named(here: Machine) -> None:
    closed = here.folder / "closed"
    closed.mkdir(mode=0o700)
    (closed / "app").mkdir()
    with pytest.raises(CannotStart, match="closed is closed to the users"):
        await here.start("true", cwd=closed / "app", owner=Owner(1_900_000_000, 1_900_000_000))
    assert here.workspace.known() == {UUID}
