"""One-off commands over real byte streams."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from deis_bus.clock import new_id
from deis_bus.contracts.runtime import Artifact
from deis_bus.errors import Refused
from deis_bus.events.processes import RunEnded
from integration.hearing import Heard, lose
from integration.servers import RunningNats, until
from integration.stream_rig import NAME, Rig, tasks_on
from integration.task_rig import UUID

pytestmark = pytest.mark.server


@pytest.fixture
async def rig(nats: RunningNats, tmp_path: Path) -> AsyncIterator[Rig]:
    async with tasks_on(nats, tmp_path) as rig:
        yield rig


async def test_a_command_runs_in_the_release_and_tells_its_end(rig: Rig) -> None:
    heard = await rig.run('echo "$GREETING $PORT"; cat data; echo bad >&2; exit 3')
    assert heard == Heard(b"hello \nin the slug\n", b"bad\n", 3, first=heard.first)
    await rig.idle()
    (report,) = rig.reports._waiting
    assert msgspec.json.decode(report[2], type=RunEnded) == RunEnded(instance=NAME, exit_code=3)


async def test_input_reaches_the_command(rig: Rig) -> None:
    async with rig.running("sort") as stream:
        await stream.send(b"b\n" * 50_000 + b"a\n", 0)
        await stream.end_input()
        heard = await Heard().listen(stream)
    assert (heard.out[:4], len(heard.out), heard.code) == (b"a\nb\n", 100_002, 0)


async def test_a_long_output_is_whole(rig: Rig) -> None:
    heard = await rig.run("head -c 5000000 /dev/zero | tr '\\0' x")
    assert (len(heard.out), heard.code) == (5_000_000, 0)


async def test_a_terminal_is_resized_and_interrupted(rig: Rig) -> None:
    command = "stty size; trap 'stty size; exit 9' WINCH; echo ready; while :; do sleep 0.05; done"
    async with rig.running(command, tty=True, columns=70, rows=20) as stream:
        heard = Heard()
        listening = asyncio.create_task(heard.listen(stream))
        await until(lambda: b"ready" in heard.out, "its start")
        await stream.resize(100, 50)
        await listening
    assert heard.out.splitlines() == [b"20 70", b"ready", b"50 100"]
    assert heard.code == 9


async def test_a_signal_by_name(rig: Rig) -> None:
    async with rig.running("trap 'exit 6' INT; echo ready; while :; do sleep 0.05; done") as stream:
        heard = Heard()
        listening = asyncio.create_task(heard.listen(stream))
        await heard.first.wait()
        await stream.signal("NONSENSE")
        await stream.signal("INT")
        assert (await listening).code == 6


async def test_commands_are_instances_while_they_run(rig: Rig) -> None:
    async with rig.running("sleep 300"):
        (instance,) = rig.tasks.running(UUID)
        assert (instance.name, instance.type, instance.release) == (NAME, "run", 3)
        assert rig.tasks.running("another") == ()
        with pytest.raises(Refused) as caught:
            await rig.tasks.run(rig.task("true", new_id()))
        assert (caught.value.code, caught.value.kind) == (409, "running")
        await rig.tasks.end_app(UUID)
        assert rig.tasks.running(UUID) == ()
    await rig.idle()


async def test_a_command_over_its_time_ends_with_everything_it_started(rig: Rig) -> None:
    heard = await rig.run("setsid sleep 300 & sleep 300", time_limit_seconds=0.6)
    assert (heard.code, heard.reason) == (None, "Timed out (0.01 mins) while running")
    await rig.idle()


async def test_a_cancelled_stream_ends_the_command(rig: Rig) -> None:
    async with rig.running("trap '' HUP; echo ready; sleep 300") as stream:
        heard = Heard()
        listening = asyncio.create_task(heard.listen(stream))
        await heard.first.wait()
        await stream.cancel("the right was revoked")
        await listening
    await rig.idle()


async def test_a_lost_terminal_hangs_up(rig: Rig) -> None:
    done = rig.here.folder / "hung-up"
    done.touch()
    done.chmod(0o666)
    command = f"trap 'echo hup > {done}; exit 1' HUP; echo ready; while :; do sleep 0.05; done"
    async with rig.running(command, tty=True) as stream:
        await lose(stream)
        await until(lambda: done.read_text() == "hup\n", "SIGHUP")
    await rig.idle()


async def test_a_lost_listener_changes_nothing_without_a_terminal(rig: Rig) -> None:
    done = rig.here.folder / "done"
    go = rig.here.folder / "go"
    done.touch()
    done.chmod(0o666)
    command = f"echo ready; until test -e {go}; do sleep 0.05; done; seq 1 200000; echo x > {done}"
    async with rig.running(command) as stream:
        await lose(stream)
        go.touch()
        await until(lambda: done.read_text() == "x\n", "its end")
    await rig.idle()


async def test_what_cannot_run_is_told_in_words(rig: Rig) -> None:
    rig.here.store.held.clear()
    assert "no longer in the object store" in (await rig.run("true")).reason
    heard = await rig.run("true", artifact=Artifact(image="example/none"))
    assert "runs no containers" in heard.reason
    await rig.idle()


async def test_nothing_starts_while_the_service_stops(rig: Rig) -> None:
    async with rig.running("sleep 300") as stream:
        await rig.tasks.close()
        assert "ended by the platform" in (await Heard().listen(stream)).reason
    with pytest.raises(Refused):
        await rig.tasks.run(rig.task("true", new_id()))
    await rig.idle()
