"""Builds over real byte streams, with the real slugbuilder."""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from deis_bus.clock import new_id
from deis_bus.contracts.runtime import Artifact, BuildJoin
from deis_bus.errors import Refused
from deis_platform.embedded.keeper_process import stat_of
from deis_platform.embedded.owners import Owner
from deis_services.runtime.programs import OURS, Installed, Programs, reachable
from integration.hearing import Heard, lose
from integration.servers import RunningNats, until
from integration.stream_rig import APPS, SLUG, Rig, tasks_on
from integration.task_rig import UUID

pytestmark = pytest.mark.server


@pytest.fixture
async def rig(nats: RunningNats, tmp_path: Path) -> AsyncIterator[Rig]:
    async with tasks_on(nats, tmp_path) as rig:
        yield rig


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
