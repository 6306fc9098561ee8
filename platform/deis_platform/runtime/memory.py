"""The runtime in memory, for tests: everything is ready at once unless a script says otherwise."""

import asyncio
import contextlib
import shlex
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from deis_bus.clock import timestamp
from deis_bus.contracts.runtime import (
    AppRef,
    AppSpec,
    AppStatus,
    BuildJoin,
    BuildRun,
    Instance,
    Process,
    Restart,
    RunTask,
)
from deis_bus.errors import BusError, Refused, Transient
from deis_bus.ports import Bus, ByteStream
from deis_platform import names
from deis_platform.runtime.port import Observation

Behaviour = Literal["ready", "never", "crash", "hold", "refuse"]
RunProgram = Callable[[RunTask, ByteStream], Awaitable[int]]
BuildProgram = Callable[[BuildRun, ByteStream], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class _Rule:
    behaviour: Behaviour
    app: str
    release: int
    artifact: str
    reason: str
    kind: str = ""

    def fits(self, spec: AppSpec) -> bool:
        artifact = spec.artifact.slug or spec.artifact.image
        return (
            self.app in ("", spec.app)
            and self.release in (0, spec.release)
            and self.artifact in ("", artifact)
        )


@dataclass(slots=True)
class _App:
    spec: AppSpec
    current: list[Instance] = field(default_factory=list)
    """Of the wanted release."""
    old: list[Instance] = field(default_factory=list)
    """Serve until the current ones are ready."""
    failure: str = ""
    timer: asyncio.TimerHandle | None = None


class MemoryRuntime:
    """Implements `Runtime`. `applied` holds every spec it took, `removed` every app it forgot.

    `bus` carries the byte streams of runs and builds; without one they are refused.
    """

    def __init__(self, bus: Bus | None = None) -> None:
        self.applied: list[AppSpec] = []
        self.removed: list[AppRef] = []
        self.foreign: set[str] = set()
        """Names that are taken by something else."""
        self.claims: list[AppRef] = []
        """Every claim that came."""
        self.claiming: asyncio.Event | None = None
        """What claims wait for."""
        self.away = False
        """While set, every call raises Transient."""
        self.run_program: RunProgram = small_shell
        self.build_program: BuildProgram = _empty_build
        self._bus = bus
        self._apps: dict[str, _App] = {}
        self._rules: list[_Rule] = []
        self._runs: dict[str, tuple[str, Instance]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._watchers: set[asyncio.Queue[Observation]] = set()

    def script(
        self,
        behaviour: Behaviour,
        *,
        app: str = "",
        release: int = 0,
        artifact: str = "",
        reason: str = "",
        kind: str = "",
    ) -> None:
        """From now on specs with that app, release, slug or image (empty: any) behave so.

        `never`: starts, and fails once the deploy timeout is over. `crash`: fails at once with
        `reason`. `hold`: starts, says `reason`, waits for `make_ready`. `refuse`: apply raises
        Refused 400 with `reason` and `kind`. The newest script that fits counts.
        """
        self._rules.append(_Rule(behaviour, app, release, artifact, reason, kind))

    def make_ready(self, app: str) -> None:
        """Instances that are held become ready."""
        for held in self._apps.values():
            if held.spec.app == app:
                self._settle(held)

    def fail(self, app: str, reason: str) -> None:
        """The release that is being rolled out fails with that sentence."""
        for held in self._apps.values():
            if held.spec.app == app:
                self._fail(held, reason)

    def lose(self) -> None:
        """Forget everything, as after a restart of the machine, and nudge the watchers."""
        for held in self._apps.values():
            _cancel_timer(held)
        self._apps.clear()
        self._nudge(Observation())

    async def claim(self, app: AppRef) -> None:
        """Refused 409 `foreign` for a name in `foreign`; it needs nobody, as on one machine."""
        self.claims.append(app)
        if self.claiming is not None:
            await self.claiming.wait()
        if app.app in self.foreign:
            raise Refused(409, f"{app.app} is the name of something else", "foreign")

    async def apply(self, spec: AppSpec) -> None:
        """Make this the wanted state. Raises Refused 409 `stale`, 400 where scripted."""
        self._check()
        held = self._apps.get(spec.appuuid)
        if held is not None and spec.generation < held.spec.generation:
            raise Refused(409, f"generation {spec.generation} of {spec.app} is old", "stale")
        if held is not None and spec.generation == held.spec.generation:
            return
        rule = self._rule(spec)
        if rule.behaviour == "refuse":
            raise Refused(400, rule.reason or "this runtime cannot run it", rule.kind)
        self.applied.append(spec)
        self._take(spec, held, rule)

    async def remove(self, app: AppRef) -> None:
        """End everything of the application."""
        self._check()
        held = self._apps.pop(app.appuuid, None)
        for name in [name for name, (owner, _) in self._runs.items() if owner == app.appuuid]:
            self._tasks[name].cancel()
        if held is not None:
            _cancel_timer(held)
            self.removed.append(app)
            self._nudge(Observation(app=app.app, appuuid=app.appuuid))

    async def clear(self, app: AppRef) -> None:
        """The same as `remove`: there is no name to keep."""
        await self.remove(app)

    async def status(self, app: AppRef) -> AppStatus:
        """How far it is; generation 0 when nothing is held."""
        self._check()
        held = self._apps.get(app.appuuid)
        if held is None:
            return AppStatus(generation=0, instances=self._of(app.appuuid))
        ready = {process.type: 0 for process in held.spec.processes}
        for instance in held.current:
            ready[instance.type] += instance.state == "up"
        done = all(ready[process.type] >= process.count for process in held.spec.processes)
        return AppStatus(
            generation=held.spec.generation,
            release=held.spec.release,
            ready=ready,
            settled=done and not held.old,
            serving=done,
            failure=held.failure,
            instances=self._of(app.appuuid),
        )

    async def instances(self, app: AppRef) -> tuple[Instance, ...]:
        """What runs now, newest first."""
        self._check()
        return self._of(app.appuuid)

    async def restart(self, restart: Restart) -> tuple[Instance, ...]:
        """Replace instances by new ones; gives those of the type, or the one in place of a name."""
        self._check()
        held = self._apps.get(restart.appuuid)
        if held is None:
            return ()
        before = {instance.name for instance in held.current}
        for index, instance in enumerate(held.current):
            if restart.type in ("", instance.type) and restart.instance in ("", instance.name):
                state = "up" if instance.state == "up" else "starting"
                held.current[index] = _instance(held.spec, instance.type, state)
        self._nudge(Observation(app=restart.app, appuuid=restart.appuuid))
        after = [i for i in reversed(held.current) if restart.type in ("", i.type)]
        if restart.instance:
            after = [i for i in after if i.name not in before] or after[:1]
        return tuple(after)

    async def run(self, task: RunTask) -> None:
        """Run `run_program`, by default a small shell that knows echo, cat and exit."""
        self._check()
        instance = Instance(
            name=task.instance, type="run", release=task.release, state="up", started=timestamp()
        )

        async def program(stream: ByteStream) -> int:
            return await self.run_program(task, stream)

        await self._start(task.instance, task.stream, program)
        self._runs[task.instance] = (task.appuuid, instance)

    async def build(self, task: BuildRun) -> None:
        """Run `build_program`; a second one of the same id is refused 409 `running`."""
        self._check()
        if task.id in self._tasks:
            raise Refused(409, f"build {task.id} runs already", "running")

        async def program(stream: ByteStream) -> int:
            return await self.build_program(task, stream)

        await self._start(task.id, task.stream, program)

    async def join_build(self, join: BuildJoin) -> None:
        """Refused: what was printed is not kept here."""
        self._check()
        raise Refused(404, f"no output of build {join.id} is kept")

    async def stop_build(self, task_id: str) -> None:
        """Cancel it."""
        self._check()
        running = self._tasks.get(task_id)
        if running is not None:
            running.cancel()
            await asyncio.wait({running})

    async def held(self) -> tuple[AppRef, ...]:
        """Every application that something is held of."""
        self._check()
        return tuple(
            AppRef(app=held.spec.app, appuuid=uuid, generation=held.spec.generation)
            for uuid, held in self._apps.items()
        )

    async def watch(self) -> AsyncGenerator[Observation, None]:
        """Nudges: one for everything, then one for each change."""
        queue: asyncio.Queue[Observation] = asyncio.Queue()
        queue.put_nowait(Observation())
        self._watchers.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._watchers.discard(queue)

    def _check(self) -> None:
        if self.away:
            raise Transient("the runtime is away")

    def _rule(self, spec: AppSpec) -> _Rule:
        fitting = (rule for rule in reversed(self._rules) if rule.fits(spec))
        return next(fitting, _Rule("ready", "", 0, "", ""))

    def _take(self, spec: AppSpec, held: _App | None, rule: _Rule) -> None:
        taken = _App(spec)
        if held is not None:
            _cancel_timer(held)
            taken.old = [i for i in (*held.current, *held.old) if i.release != spec.release]
        self._apps[spec.appuuid] = taken
        kept = [] if held is None else [*held.current, *held.old]
        for process in spec.processes:
            taken.current += _kept_and_new(spec, process, kept)
        self._nudge(Observation(app=spec.app, appuuid=spec.appuuid))
        all_up = all(instance.state == "up" for instance in taken.current)
        if all_up or rule.behaviour == "ready":
            self._settle(taken)
        elif rule.behaviour == "crash":
            self._fail(taken, rule.reason or "it crashed")
        elif rule.behaviour == "hold":
            taken.current = [
                one if one.state == "up" else msgspec.structs.replace(one, reason=rule.reason)
                for one in taken.current
            ]
        elif rule.behaviour == "never":
            late = f"not ready within {spec.deploy_timeout_seconds:g} s"
            taken.timer = asyncio.get_running_loop().call_later(
                spec.deploy_timeout_seconds, self._fail, taken, rule.reason or late
            )

    def _settle(self, held: _App) -> None:
        _cancel_timer(held)
        held.current = [msgspec.structs.replace(i, state="up", reason="") for i in held.current]
        held.old.clear()
        self._nudge(Observation(app=held.spec.app, appuuid=held.spec.appuuid))

    def _fail(self, held: _App, reason: str) -> None:
        _cancel_timer(held)
        held.failure = reason
        self._nudge(Observation(app=held.spec.app, appuuid=held.spec.appuuid))

    def _of(self, appuuid: str) -> tuple[Instance, ...]:
        held = self._apps.get(appuuid)
        found = [] if held is None else [*held.current, *held.old]
        found += [instance for owner, instance in self._runs.values() if owner == appuuid]
        return tuple(sorted(found, key=lambda instance: instance.started, reverse=True))

    def _nudge(self, observation: Observation) -> None:
        for queue in self._watchers:
            queue.put_nowait(observation)

    async def _start(
        self, name: str, stream_id: str, program: Callable[[ByteStream], Awaitable[int]]
    ) -> None:
        if self._bus is None:
            raise Refused(400, "this runtime in memory has no bus for byte streams")
        stream = await self._bus.open_stream(stream_id, "acceptor")

        async def work() -> None:
            try:
                with contextlib.suppress(BusError):
                    await stream.exit(await program(stream))
            finally:
                await stream.close()

        def forget(_: asyncio.Task[None]) -> None:
            del self._tasks[name]
            self._runs.pop(name, None)

        self._tasks[name] = asyncio.create_task(work(), name=name)
        self._tasks[name].add_done_callback(forget)


def _kept_and_new(spec: AppSpec, process: Process, kept: list[Instance]) -> Iterator[Instance]:
    same = [i for i in kept if i.type == process.type and i.release == spec.release]
    yield from same[: process.count]
    for _ in range(process.count - len(same)):
        yield _instance(spec, process.type, "starting")


def _instance(spec: AppSpec, process_type: str, state: str) -> Instance:
    seed = f"{spec.appuuid} {process_type} {spec.release}"
    name = names.instance_name(spec.app, process_type, seed)
    return Instance(
        name=name, type=process_type, release=spec.release, state=state, started=timestamp()
    )


def _cancel_timer(held: _App) -> None:
    if held.timer is not None:
        held.timer.cancel()
        held.timer = None


async def small_shell(task: RunTask, stream: ByteStream) -> int:
    """`echo WORD…`, `cat` and `exit N`; anything else is not found (127)."""
    words = shlex.split(task.command)
    match words:
        case ["echo", *rest]:
            await stream.send(" ".join(rest).encode() + b"\n")
            return 0
        case ["exit", code]:
            return int(code)
        case ["cat"]:
            async for frame in stream.frames():
                if frame.kind == "data":
                    await stream.send(frame.data)
                elif frame.kind == "end":
                    break
            return 0
        case _:
            await stream.send(f"{words[0] if words else ''}: command not found\n".encode(), 2)
            return 127


async def _empty_build(_task: BuildRun, _stream: ByteStream) -> int:
    return 0
