"""What every runtime does; inherited by the memory twin, the local runtime, and Kubernetes later.

A class of a test module inherits the suite and gives the fixture `rig`: a runtime, a bus on
which byte streams reach it, and an artifact for each kind of program.

    class TestMemoryRuntime(RuntimeSuite):
        @pytest.fixture
        def rig(self, ...): return MemoryRig(...)
"""

import asyncio
import contextlib
from typing import Literal, Protocol

import pytest

from deis_bus.clock import new_id
from deis_bus.contracts.runtime import (
    AppRef,
    AppSpec,
    AppStatus,
    Artifact,
    Instance,
    Process,
    Restart,
    RunTask,
)
from deis_bus.errors import Refused
from deis_bus.ports import Bus
from deis_platform.names import run_name
from deis_platform.runtime.port import Observation, Runtime
from tests.behaviour.bus import one, until

Kind = Literal["serves", "never", "crashes"]
APP = AppRef(app="blog", appuuid="1b671a64-40d5-491e-99b0-da01ff1f3341")
COMMANDS = {"web": "python3 server", "worker": "sh worker.sh"}
STEP_SECONDS = 0.01
PATIENCE = 30.0
"""Real processes start and end meanwhile, beside others; only a failing test waits so long."""


class Rig(Protocol):
    """What a suite needs of its surroundings."""

    runtime: Runtime
    bus: Bus
    """Another one than the runtime's own."""

    def artifact(self, kind: Kind) -> Artifact:
        """A program that listens, never listens, or ends at once; its commands are COMMANDS."""
        ...


def spec(
    rig: Rig, generation: int, release: int, counts: dict[str, int], kind: Kind = "serves"
) -> AppSpec:
    """This release with so many instances of each type."""
    return AppSpec(
        app=APP.app,
        appuuid=APP.appuuid,
        generation=generation,
        release=release,
        artifact=rig.artifact(kind),
        environment={"WORKFLOW_RELEASE": f"v{release}"},
        processes=tuple(
            Process(
                type=name,
                count=count,
                command=COMMANDS[name],
                routable=name == "web",
                grace_seconds=5.0,
            )
            for name, count in counts.items()
        ),
        deploy_timeout_seconds=1.5 if kind == "never" else 60.0,
    )


async def settled(rig: Rig, generation: int) -> AppStatus:
    """The status once this generation is all there is."""
    async with asyncio.timeout(PATIENCE):
        while True:
            status = await rig.runtime.status(APP)
            assert not status.failure, status.failure
            if status.settled and status.generation == generation:
                return status
            await asyncio.sleep(STEP_SECONDS)


async def failed(rig: Rig, generation: int) -> AppStatus:
    """The status once this generation has failed."""
    async with asyncio.timeout(PATIENCE):
        while True:
            status = await rig.runtime.status(APP)
            assert not status.serving
            if status.failure and status.generation == generation:
                return status
            await asyncio.sleep(STEP_SECONDS)


async def deployed(
    rig: Rig, generation: int, release: int, counts: dict[str, int]
) -> dict[str, Instance]:
    """Apply and wait; the instances by name."""
    await rig.runtime.apply(spec(rig, generation, release, counts))
    return named(await settled(rig, generation))


def named(status: AppStatus) -> dict[str, Instance]:
    """The instances by name."""
    return {instance.name: instance for instance in status.instances}


class RuntimeSuite:
    """Apply, scale, deploy, fail, restart, run, remove."""

    async def test_nothing_is_held_at_first(self, rig: Rig) -> None:
        status = await rig.runtime.status(APP)
        assert (status.generation, status.instances, status.serving) == (0, (), False)
        assert await rig.runtime.held() == ()
        await rig.runtime.remove(APP)

    async def test_what_is_applied_becomes_ready_and_looks_like_pods(self, rig: Rig) -> None:
        await rig.runtime.apply(spec(rig, 3, 2, {"web": 2, "worker": 1}))
        status = await settled(rig, 3)
        assert (status.release, status.serving) == (2, True)
        assert status.ready == {"web": 2, "worker": 1}
        assert sorted(i.type for i in status.instances) == ["web", "web", "worker"]
        for instance in status.instances:
            assert (instance.state, instance.release) == ("up", 2)
            app, kind, group, suffix = instance.name.split("-")
            assert (app, kind, len(suffix)) == ("blog", instance.type, 5)
            assert 8 <= len(group) <= 10
        assert await rig.runtime.instances(APP) == status.instances
        started = [instance.started for instance in status.instances]
        assert started == sorted(started, reverse=True)
        assert await rig.runtime.held() == (AppRef(app="blog", appuuid=APP.appuuid, generation=3),)

    async def test_the_same_generation_changes_nothing_and_an_older_one_is_refused(
        self, rig: Rig
    ) -> None:
        before = await deployed(rig, 5, 2, {"web": 1})
        await rig.runtime.apply(spec(rig, 5, 3, {"web": 2}))
        with pytest.raises(Refused) as refused:
            await rig.runtime.apply(spec(rig, 4, 1, {"web": 2}))
        assert (refused.value.code, refused.value.kind) == (409, "stale")
        assert named(await settled(rig, 5)).keys() == before.keys()

    async def test_scaling_leaves_alone_what_stays(self, rig: Rig) -> None:
        first = await deployed(rig, 1, 2, {"web": 1, "worker": 1})
        more = await deployed(rig, 2, 2, {"web": 3, "worker": 1})
        assert first.keys() < more.keys()
        assert len(more) == 4
        fewer = await deployed(rig, 3, 2, {"web": 2, "worker": 0})
        assert fewer.keys() < more.keys()
        assert [i.type for i in fewer.values()] == ["web", "web"]
        status = await rig.runtime.status(APP)
        assert status.ready == {"web": 2, "worker": 0}
        assert await deployed(rig, 4, 2, {"web": 0}) == {}

    async def test_a_new_release_takes_the_place_of_the_old_one(self, rig: Rig) -> None:
        old = await deployed(rig, 1, 2, {"web": 2})
        new = await deployed(rig, 2, 3, {"web": 2})
        assert not old.keys() & new.keys()
        assert {(i.release, i.state) for i in new.values()} == {(3, "up")}

    @pytest.mark.parametrize("kind", ["never", "crashes"])
    async def test_after_a_failed_release_the_old_one_was_never_touched(
        self, rig: Rig, kind: Kind
    ) -> None:
        old = await deployed(rig, 1, 2, {"web": 1})
        await rig.runtime.apply(spec(rig, 2, 3, {"web": 1}, kind))
        status = await failed(rig, 2)
        assert named(status)[next(iter(old))].state == "up"
        assert await deployed(rig, 3, 2, {"web": 1}) == old
        new = await deployed(rig, 4, 4, {"web": 1})
        assert {i.release for i in new.values()} == {4}

    async def test_a_restart_replaces_what_it_names(self, rig: Rig) -> None:
        before = await deployed(rig, 1, 2, {"web": 2, "worker": 1})
        webs = {name for name, instance in before.items() if instance.type == "web"}
        one_web = sorted(webs)[0]
        asked = Restart(app="blog", appuuid=APP.appuuid, type="web", instance=one_web)
        answer = await rig.runtime.restart(asked)
        assert [(i.type, i.state) for i in answer] == [("web", "up")]
        after = named(await settled(rig, 1))
        assert before.keys() - after.keys() == {one_web}
        assert after.keys() - before.keys() == {answer[0].name}

        answer = await rig.runtime.restart(Restart(app="blog", appuuid=APP.appuuid, type="web"))
        assert sorted((i.type, i.state) for i in answer) == [("web", "up")] * 2
        after = named(await settled(rig, 1))
        assert before.keys() & after.keys() == before.keys() - webs

        answer = await rig.runtime.restart(Restart(app="blog", appuuid=APP.appuuid))
        assert {i.name for i in answer} == named(await settled(rig, 1)).keys()
        assert len(answer) == 3
        assert not before.keys() & {i.name for i in answer}

    async def test_a_restart_of_what_does_not_run_is_no_error(self, rig: Rig) -> None:
        assert await rig.runtime.restart(Restart(app="blog", appuuid=APP.appuuid)) == ()
        before = await deployed(rig, 1, 2, {"web": 1})
        asked = Restart(app="blog", appuuid=APP.appuuid, type="web", instance="blog-web-a-b")
        assert [i.name for i in await rig.runtime.restart(asked)] == [*before]

    async def test_what_is_removed_is_gone_and_may_come_back(self, rig: Rig) -> None:
        before = await deployed(rig, 7, 2, {"web": 2})
        await rig.runtime.remove(APP)
        assert (await rig.runtime.status(APP)).generation == 0
        assert await rig.runtime.instances(APP) == ()
        assert await rig.runtime.held() == ()
        await rig.runtime.remove(APP)
        after = await deployed(rig, 1, 2, {"web": 1})
        assert not before.keys() & after.keys()

    async def test_watching_begins_with_a_look_at_everything(self, rig: Rig) -> None:
        async with contextlib.aclosing(rig.runtime.watch()) as watch:  # type: ignore[type-var]
            assert await one(watch) == Observation()

    async def test_a_command_runs_once_and_gives_output_and_exit_code(self, rig: Rig) -> None:
        assert await _run(rig, "echo hello world") == (b"hello world\n", 0)
        assert await _run(rig, "exit 3") == (b"", 3)

    async def test_a_command_is_listed_while_it_runs(self, rig: Rig) -> None:
        task = _task(rig, "cat")
        stream = await rig.bus.open_stream(task.stream, "opener")
        frames = stream.frames()
        await rig.runtime.run(task)
        await stream.send(b"ping\n")
        async with asyncio.timeout(PATIENCE):
            assert (await anext(frames)).data == b"ping\n"
            shown = await rig.runtime.instances(APP)
            assert [(i.name, i.type, i.release) for i in shown] == [(task.instance, "run", 2)]
            await stream.end_input()
            assert (await anext(frames)).kind == "exit"
        await until(lambda: _idle(rig))
        await stream.close()


async def _idle(rig: Rig) -> bool:
    return not await rig.runtime.instances(APP)


def _task(rig: Rig, command: str) -> RunTask:
    return RunTask(
        app="blog",
        appuuid=APP.appuuid,
        release=2,
        instance=run_name("blog"),
        artifact=rig.artifact("serves"),
        environment={},
        command=command,
        stream=new_id(),
    )


async def _run(rig: Rig, command: str) -> tuple[bytes, int]:
    """Output and exit code of a one-off command."""
    task = _task(rig, command)
    stream = await rig.bus.open_stream(task.stream, "opener")
    await rig.runtime.run(task)
    async with asyncio.timeout(PATIENCE):
        got = [frame async for frame in stream.frames()]
    await stream.close()
    assert got[-1].kind == "exit"
    return b"".join(frame.data for frame in got if frame.kind == "data"), got[-1].code
