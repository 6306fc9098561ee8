"""One-off commands and builds over real byte streams, builds with the real slugbuilder."""

import asyncio
import contextlib
import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from deis_bus.clock import new_id
from deis_bus.contracts.runtime import Artifact, BuildJoin, BuildRun, RunTask
from deis_bus.errors import Refused
from deis_bus.events.processes import RunEnded
from deis_bus.jetstream import JetStreamBus, connect
from deis_bus.ports import ByteStream
from deis_platform.embedded.keeper_process import alive, read_bytes, stat_of
from deis_platform.embedded.owners import Owner
from deis_platform.loglines import LogShipper
from deis_platform.reports import Reports
from deis_services.runtime.programs import OURS, Installed, Programs, reachable
from deis_services.runtime.tasks import Tasks
from integration.builder_objects import archive
from integration.hearing import Heard, lose
from integration.servers import RunningNats, until
from integration.task_rig import UUID, Machine, machine

pytestmark = pytest.mark.server

APPS = Path(__file__).parent / "apps"
NAME = "blog-run-abcde"
SOURCE, SLUG, CACHE = "sources/u/p.tar.gz", "slugs/u/p-1.tgz", "cache/u/cache.tgz"


class Rig:
    """Tasks of one machine, and the other end of their streams."""

    def __init__(self, here: Machine, tasks: Tasks, client: JetStreamBus, reports: Reports) -> None:
        self.here = here
        self.tasks = tasks
        self.client = client
        self.reports = reports
        self.slug: Artifact = here.artifact({"Procfile": "web: true\n", "data": "in the slug\n"})

    @contextlib.asynccontextmanager
    async def running(self, command: str, **more: object) -> AsyncIterator[ByteStream]:
        """A one-off command; its stream, until the end of the context."""
        stream = await self.client.open_stream(new_id(), "opener")
        try:
            await self.tasks.run(self.task(command, stream.id, **more))
            yield stream
        finally:
            await stream.close()

    def task(self, command: str, stream: str, **more: object) -> RunTask:
        task = RunTask(
            app="blog",
            appuuid=UUID,
            release=3,
            instance=NAME,
            artifact=self.slug,
            environment={"GREETING": "hello"},
            command=command,
            stream=stream,
        )
        return msgspec.structs.replace(task, **more)

    async def run(self, command: str, **more: object) -> Heard:
        """A one-off command to its end."""
        async with self.running(command, **more) as stream:
            return await Heard().listen(stream)

    def source(self, files: dict[str, str | bytes]) -> None:
        store = self.here.store
        store.held[SOURCE] = archive(files)
        store.tokens |= {"t-source": SOURCE, "t-slug": SLUG, "t-cache": CACHE}

    def build_task(self, stream: str, **more: object) -> BuildRun:
        store = self.here.store
        task = BuildRun(
            id="p-1",
            kind="buildpack",
            app="blog",
            appuuid=UUID,
            sha="c0ffee",
            source_url=store.url(SOURCE),
            source_token="t-source",
            slug_url=store.url(SLUG),
            slug_token="t-slug",
            cache_url=store.url(CACHE),
            cache_token="t-cache",
            environment={"SECRET": "s3cret", "not a name": "x"},
            stream=stream,
        )
        return msgspec.structs.replace(task, **more)

    @contextlib.asynccontextmanager
    async def building(self, **more: object) -> AsyncIterator[ByteStream]:
        """A build; its stream, until the end of the context."""
        stream = await self.client.open_stream(new_id(), "opener")
        try:
            await self.tasks.build(self.build_task(stream.id, **more))
            yield stream
        finally:
            await stream.close()

    async def build(self, **more: object) -> Heard:
        """A build to its end."""
        async with self.building(**more) as stream:
            return await Heard().listen(stream)

    async def idle(self) -> None:
        """Until no task runs and no folder of one is left."""
        places = [self.here.workspace.folder / name for name in ("run", "builds")]

        def quiet() -> bool:
            return not self.tasks.running(UUID) and not any(os.listdir(place) for place in places)

        await until(quiet, "the end of all tasks")
        assert not ours(self.here)


def ours(here: Machine) -> list[int]:
    """Processes with something of this workspace in their environment."""
    mark = os.fsencode(here.workspace.folder)
    return [stat[0] for stat in alive() if mark in read_bytes(f"/proc/{stat[0]}/environ")]


@pytest.fixture
async def rig(nats: RunningNats, tmp_path: Path) -> AsyncIterator[Rig]:
    async with (
        connect(nats.url, "runtime") as bus,
        connect(nats.url, "builder") as client,
        machine(tmp_path) as here,
    ):
        reports = Reports(bus)
        environ = {**os.environ, "DEIS_SECRET_FILE": "/ours"}
        shipper = LogShipper(bus)
        tasks = Tasks(bus, here.workspace, here.keeper, shipper, "", reports, environ)
        made = Rig(here, tasks, client, reports)
        try:
            yield made
        finally:
            await tasks.close()


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


async def test_a_build_makes_a_slug_that_runs(rig: Rig) -> None:
    rig.source(
        {
            "Procfile": "web: cat made\n",
            "bin/post-compile": "#!/bin/sh\necho hello > made\n",
        }
    )
    heard = await rig.build()
    assert heard.code == 0, heard.out.decode()
    assert heard.out.startswith(b"-----> Restoring cache...\n")
    assert b"Procfile declares types -> web" in heard.out
    await rig.idle()
    store = rig.here.store
    assert msgspec.json.decode(store.held[SLUG + ".json"])["procfile"] == {"web": "cat made"}
    built = Artifact(slug=SLUG, url=store.url(SLUG), token="t-slug")
    assert (await rig.run("cat made", artifact=built)).out == b"hello\n"


async def test_a_python_application_is_built_and_runs(rig: Rig) -> None:
    folder = APPS / "python"
    rig.source({path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()})
    heard = await rig.build()
    assert heard.code == 0, heard.out.decode()
    built = Artifact(slug=SLUG, url=rig.here.store.url(SLUG), token="t-slug")
    command = "python -c 'import humanize; print(humanize.ordinal(3))'"
    run = await rig.run(command, artifact=built)
    assert (run.out, run.code) == (b"3rd\n", 0), run.err.decode()


def closed_installation(folder: Path) -> Installed:
    """Interpreter and package where root alone may enter."""
    folder.mkdir(mode=0o700)
    python = folder / "python3"
    python.symlink_to(os.path.realpath(sys.executable))
    # Other tests' processes may be writing bytecode just now.
    package = shutil.copytree(
        OURS, folder / "deis_services", ignore=shutil.ignore_patterns("__pycache__")
    )
    return Installed(python=python, package=package)


@pytest.mark.root
async def test_from_a_closed_installation_applications_are_built_and_run(
    rig: Rig, tmp_path: Path
) -> None:
    workspace = rig.here.workspace
    closed = closed_installation(tmp_path / "closed")
    workspace.programs = reachable(workspace.folder, Owner(1_900_000_000, 1_900_000_000), closed)
    python = {path.name: path.read_bytes() for path in (APPS / "python").glob("*.*")}
    site: dict[str, str | bytes] = {"index.html": "hello\n"}
    store = rig.here.store
    for files, web in (
        (python | {"Procfile": "web: true\n"}, "python -c 'print(1)'"),
        (site, "timeout -s TERM 2 .deis/static/serve"),
    ):
        rig.source(files)
        heard = await rig.build()
        assert heard.code == 0, heard.out.decode()
        store.tokens["t-slug"] = "slugs/"
        built = Artifact(slug=SLUG, url=store.url(SLUG), token="t-slug")
        ran = await rig.run(web, artifact=built)
        assert ran.out.splitlines()[0] in (b"1", b"Serving . on port 5000"), ran
        await workspace.forget(UUID)
    await rig.idle()


async def test_a_build_that_can_never_start_ends_with_a_sentence(rig: Rig) -> None:
    rig.here.workspace.programs = Programs(python=Path("/no/such/python"))
    rig.source({"Procfile": "web: true\n"})
    heard = await rig.build()
    words = "The process cannot start: /no/such/python: No such file or directory"
    assert (heard.code, heard.reason) == (1, "")
    assert heard.out.decode() == f"-----> {words}\n"
    await rig.idle()


async def test_a_build_that_prints_its_environment_shows_nothing_of_ours(rig: Rig) -> None:
    # An ordinary user's builds have that user's rights, to the environment of his others too.
    where = "*" if os.geteuid() == 0 else "$PPID"
    show = f"env; cat /proc/{where}/environ"
    rig.source({"Procfile": "web: true\n", "bin/pre-compile": f"#!/bin/sh\n{show}\nexit 0\n"})
    heard = await rig.build()
    assert heard.code == 0
    shown = heard.out.decode()
    assert "SOURCE_VERSION=c0ffee" in shown
    for word in (
        "t-slug",
        "t-source",
        "t-cache",
        "SECRET=",
        "s3cret",
        "DEIS_SECRET_FILE",
        "DEIS_K",
    ):
        assert word not in shown, word


@pytest.mark.root
async def test_a_build_runs_as_a_user_of_its_own_and_sees_no_application(rig: Rig) -> None:
    prepared = await rig.here.prepared()
    app = await rig.here.start("sleep 300", prepared=prepared)
    look = f"id -u; cat {prepared.folder}/Procfile; ls {rig.here.workspace.folder}; kill {app.pid}"
    rig.source({"Procfile": "web: true\n", "bin/pre-compile": f"#!/bin/sh\n{look}\nexit 0\n"})
    heard = await rig.build()
    assert heard.code == 0
    assert heard.out.count(b"ermission denied") + heard.out.count(b"not permitted") == 3
    assert app.returncode is None
    assert str(prepared.owner.uid).encode() not in heard.out
    await app.bury()


async def test_a_failing_build_has_its_code(rig: Rig) -> None:
    rig.source({"Procfile": "web: true\n", "bin/post-compile": "#!/bin/sh\nexit 9\n"})
    heard = await rig.build()
    assert heard.code == 9
    assert SLUG not in rig.here.store.held
    await rig.idle()


async def test_a_second_start_of_a_build_is_refused(rig: Rig) -> None:
    rig.source({"Procfile": "web: true\n", "bin/pre-compile": "#!/bin/sh\nsleep 300\n"})
    async with rig.building() as stream:
        with pytest.raises(Refused) as caught:
            await rig.tasks.build(rig.build_task(new_id()))
        assert (caught.value.code, caught.value.kind) == (409, "running")
        await rig.tasks.stop("p-1")
        assert "ended by the platform" in (await Heard().listen(stream)).reason
    await rig.tasks.stop("p-1")
    await rig.idle()


async def test_stopping_kills_everything_of_a_build(rig: Rig) -> None:
    flee = "setsid sleep 300 & (setsid sleep 300 &) ; echo $!; sleep 300"
    rig.source({"Procfile": "web: true\n", "bin/pre-compile": f"#!/bin/sh\n{flee}\n"})
    async with rig.building() as stream:
        heard = Heard()
        listening = asyncio.create_task(heard.listen(stream))
        await until(lambda: any(w.isdigit() for w in heard.out.split()), "its start")
        pid = next(int(word) for word in heard.out.split() if word.isdigit())
        assert stat_of(pid) is not None
        await rig.tasks.stop("p-1")
        await listening
        assert stat_of(pid) is None or stat_of(pid)[4] in "ZX"  # type: ignore[index]
    await rig.idle()


async def test_a_build_over_its_time_or_output_is_ended_and_says_so(rig: Rig) -> None:
    rig.source({"Procfile": "web: true\n", "bin/pre-compile": "#!/bin/sh\nyes | head -c 300000\n"})
    heard = await rig.build(output_limit_bytes=100_000)
    assert heard.code == 1
    assert heard.out.endswith(b"-----> The build printed more than 0.0953674 MB and was ended\n")
    assert len(heard.out) < 101_000
    rig.source({"Procfile": "web: true\n", "bin/pre-compile": "#!/bin/sh\nsleep 300\n"})
    heard = await rig.build(time_limit_seconds=1.2)
    assert heard.code == 1
    assert heard.out.endswith(b"-----> The build took longer than 0.02 min and was ended\n")
    await rig.idle()


async def test_a_build_goes_on_when_its_listener_is_lost(rig: Rig) -> None:
    go = rig.here.folder / "go"
    wait = f"echo ready; until test -e {go}; do sleep 0.05; done"
    rig.source({"Procfile": "web: true\n", "bin/pre-compile": f"#!/bin/sh\n{wait}\n"})
    async with rig.building() as stream:
        await lose(stream)
        go.touch()
        await until(lambda: SLUG + ".json" in rig.here.store.held, "the slug")
    await rig.idle()


async def test_nothing_starts_while_the_service_stops(rig: Rig) -> None:
    async with rig.running("sleep 300") as stream:
        await rig.tasks.close()
        assert "ended by the platform" in (await Heard().listen(stream)).reason
    with pytest.raises(Refused):
        await rig.tasks.run(rig.task("true", new_id()))
    await rig.idle()


async def test_a_build_whose_stream_was_lost_is_joined_again(rig: Rig) -> None:
    go = rig.here.folder / "go"
    wait = f"echo first; until test -e {go}; do sleep 0.05; done; echo second"
    rig.source({"Procfile": "web: true\n", "bin/pre-compile": f"#!/bin/sh\n{wait}\n"})
    async with rig.building() as lost:
        heard = Heard()
        listening = asyncio.create_task(heard.listen(lost))
        await until(lambda: b"first" in heard.out, "its start")
        again = await rig.client.open_stream(new_id(), "opener")
        rig.tasks.join(BuildJoin(id="p-1", stream=again.id, heard=len(heard.out)))
        listening.cancel()
        await asyncio.wait({listening})
    # The end of the first stream gave nothing up: there is a newer listener.
    go.touch()
    rest = await Heard().listen(again)
    await again.close()
    assert rest.code == 0
    whole = await joined(rig, 0)
    assert whole.out == heard.out + rest.out
    assert whole.out.count(b"first\n") == whole.out.count(b"second\n") == 1
    assert (await joined(rig, len(whole.out))).code == 0
    with pytest.raises(Refused) as caught:
        rig.tasks.join(BuildJoin(id="p-2", stream=new_id(), heard=0))
    assert caught.value.code == 404
    await rig.idle()


async def joined(rig: Rig, heard: int) -> Heard:
    """The kept output of a build that has ended."""
    stream = await rig.client.open_stream(new_id(), "opener")
    rig.tasks.join(BuildJoin(id="p-1", stream=stream.id, heard=heard))
    try:
        return await Heard().listen(stream)
    finally:
        await stream.close()
