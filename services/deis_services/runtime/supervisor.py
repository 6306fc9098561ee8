"""One application: brings what runs to what its spec wants, again after every change.

`apply` and `restart` only note what is wanted and wake the loop; each step decides from the
present state (`model.decide`), writes the routes and ends what left them. Nothing that was in
the route table is ended before the routers confirmed that it is out of it.
"""

import asyncio
from collections.abc import Iterable

import structlog

from deis_bus.contracts.runtime import AppSpec, AppStatus, Instance, Restart
from deis_bus.errors import Refused, Transient
from deis_platform import names
from deis_services.runtime import model
from deis_services.runtime.fetching import Fetching, key_of
from deis_services.runtime.outlet import Outlet
from deis_services.runtime.ports import NoPort
from deis_services.runtime.replica import Prepare, Replica
from deis_services.runtime.running import Plan
from deis_services.runtime.stages import Stages
from deis_services.runtime.telling import Telling
from deis_services.runtime.tools import Tools
from deis_services.runtime.workspace import Prepared

log = structlog.get_logger(__name__)

RETRY_SECONDS = 0.5
RESTART_SECONDS = 120.0
"""How long who asked for a restart waits for it at most."""
REMOVE_GRACE = 10.0
"""Who destroys an application does not wait longer for its processes."""


class Supervisor:
    """Everything of one application on this machine."""

    def __init__(self, spec: AppSpec, tools: Tools) -> None:
        self.spec = spec
        self._tools = tools
        self._replicas: list[Replica] = []
        self._serving: frozenset[tuple[str, str]] = frozenset()
        self._fetching = Fetching(tools.workspace)
        self._outlet = Outlet(tools.routes, self._look)
        self._failure = ""
        self._complete = False
        self._reached = False
        """This generation was complete once: what crashes later is no failed deploy."""
        self._telling = Telling(spec.app, spec.appuuid, tools)
        self._stages = Stages()
        self._timer: asyncio.TimerHandle | None = None
        self._wake = asyncio.Event()
        self._stepped = asyncio.Event()
        self._ending: dict[Replica, asyncio.Task[None]] = {}
        self._kept: set[str] = set()
        self._routed: tuple[str, ...] = ()
        self._closed = False
        self._want(spec)
        self._loop = asyncio.create_task(self._run(), name=f"app {spec.app}")

    def apply(self, spec: AppSpec) -> None:
        """Want this from now on. Raises Refused 409 `stale` for an older generation."""
        known = self.spec.generation
        if spec.generation < known:
            raise Refused(409, f"generation {spec.generation} of {spec.app} is old", "stale")
        if spec.generation > known:
            self._want(spec)

    def status(self, running: tuple[Instance, ...] = ()) -> AppStatus:
        """How far it is; `running` are its one-off commands."""
        serving = self._complete and self._is_routed()
        marks = {want.type: want.mark for want in model.wanted(self.spec)}
        ready = dict.fromkeys(marks, 0)
        for replica in self._staying():
            process_type = replica.plan.process.type
            if replica.ready and marks.get(process_type) == replica.plan.mark:
                ready[process_type] += 1
        return AppStatus(
            generation=self.spec.generation,
            release=self.spec.release,
            ready=ready,
            serving=serving,
            settled=serving and len(self._staying()) == len(self._replicas),
            failure=self._failure,
            stages=self._stages.seconds(),
            instances=_newest_first((*running, *(one.instance() for one in self._replicas))),
        )

    async def restart(self, restart: Restart) -> tuple[Instance, ...]:
        """Replace those that match, wait until the new ones are ready or it took too long."""
        before = self._fresh()
        chosen = [replica for replica in before if _matches(replica, restart)]
        for replica in chosen:
            replica.replaced = True
        self._look()
        try:
            async with asyncio.timeout(min(RESTART_SECONDS, self.spec.deploy_timeout_seconds)):
                while not self._closed and not self._switched(chosen):
                    self._stepped.clear()
                    await self._stepped.wait()
        except TimeoutError:
            log.warning("a restart takes long", app=self.spec.app)
        after = [r for r in self._fresh() if restart.type in ("", r.plan.process.type)]
        if restart.instance:
            after = [replica for replica in after if replica not in before] or after[-1:]
        return _newest_first(replica.instance() for replica in after)

    def _switched(self, chosen: list[Replica]) -> bool:
        return self._is_routed() and all(replica.leaving for replica in chosen)

    async def remove(self) -> None:
        """End everything, out of the route table first; returns once it is gone."""
        await self._halt()
        await self._outlet.drop(self.spec)
        for replica in self._replicas:
            if replica in self._ending:
                continue
            replica.leaving = True
            grace = min(REMOVE_GRACE, replica.plan.process.grace_seconds)
            self._ending[replica] = self._end_later(replica, grace)
        if self._ending:
            await asyncio.wait(self._ending.values())
        await self._fetching.keep_only(set())

    async def stop(self, grace: float) -> None:
        """End every instance without a word to the routers: the service stops."""
        await self._halt()
        for task in self._ending.values():
            task.cancel()
        graces = [min(grace, replica.plan.process.grace_seconds) for replica in self._replicas]
        pairs = zip(self._replicas, graces, strict=True)
        await asyncio.gather(*(replica.end(limit) for replica, limit in pairs))
        await self._fetching.keep_only(set())

    def _want(self, spec: AppSpec) -> None:
        self.spec = spec
        self._failure = ""
        self._complete = self._reached = False
        self._stages = Stages()
        for replica in self._replicas:
            replica.leaving = replica.leaving or bool(replica.hopeless)
        self._cancel_timer()
        clock = asyncio.get_running_loop()
        self._timer = clock.call_later(spec.deploy_timeout_seconds, self._late, spec.generation)
        self._plan()
        self._look()

    def _late(self, generation: int) -> None:
        """The deploy timeout of a generation is over."""
        if generation == self.spec.generation and not self._reached:
            waiting = [replica for replica in self._fresh() if not replica.ready]
            seconds = f"{self.spec.deploy_timeout_seconds:g} s"
            why = "; ".join(dict.fromkeys(_waits(replica) for replica in waiting))
            self._fail(f"not ready within {seconds}: {why or 'nothing was started'}")
            self._look()

    def _look(self) -> None:
        self._wake.set()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    async def _halt(self) -> None:
        self._closed = True
        self._stepped.set()
        self._cancel_timer()
        self._loop.cancel()
        await asyncio.wait({self._loop})

    def _staying(self) -> list[Replica]:
        return [replica for replica in self._replicas if not replica.leaving]

    def _fresh(self) -> list[Replica]:
        """Those of the wanted release."""
        marks = {(want.type, want.mark) for want in model.wanted(self.spec)}
        return [r for r in self._staying() if (r.plan.process.type, r.plan.mark) in marks]

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._step()
            except Transient as fault:
                log.info("routes wait for the bus", app=self.spec.app, fault=str(fault))
                asyncio.get_running_loop().call_later(RETRY_SECONDS, self._look)
            except Exception as fault:
                # A bug in one step must not end the loop: the next one may see another state.
                log.exception("step failed", app=self.spec.app, exc_info=fault)
                asyncio.get_running_loop().call_later(RETRY_SECONDS, self._look)
            self._stepped.set()

    async def _step(self) -> None:
        self._plan()
        written = self._routed
        await self._outlet.put(self.spec, written)
        routed = self._is_routed()
        for replica in self._replicas:
            self._telling.state(replica, routed)
            # Another plan may have been made while this one was written: what that one lets go
            # is in the routes still.
            gone = replica.leaving and replica.address not in written
            if gone and replica not in self._ending:
                grace = replica.plan.process.grace_seconds
                self._ending[replica] = self._end_later(replica, grace)
        if self._complete and routed:
            self._stages.switched()
            await self._forget_old_artifacts()

    def _plan(self) -> None:
        """All of a step that needs no waiting, so that a status right after an apply is true."""
        self._judge()
        decision = self._decide()
        for process_type in decision.start:
            self._start(process_type)
        for replica in self._replicas:
            replica.leaving = replica.leaving or replica.plan.name in decision.end
        routed = set(decision.routed)
        self._routed = tuple(r.address for r in self._replicas if r.plan.name in routed)

    def _is_routed(self) -> bool:
        return self._outlet.serves(self._routed)

    def _judge(self) -> None:
        """Whether the rollout has failed, before anybody decides what to do about it."""
        if self._reached or self._failure:
            return
        for replica in self._fresh():
            if replica.hopeless:
                self._fail(f"{replica.plan.process.type}: {replica.hopeless}")
            elif replica.crashes >= model.CRASHES:
                kind = replica.plan.process.type
                self._fail(f"{kind} crashed {replica.crashes} times: it {replica.last_end}")

    def _decide(self) -> model.Decision:
        wants = model.wanted(self.spec)
        members = [replica.member() for replica in self._replicas]
        decision = model.decide(wants, members, self._serving, bool(self._failure))
        self._complete = decision.complete
        if decision.complete:
            self._serving = frozenset((want.type, want.mark) for want in wants)
            self._failure = ""
            self._reached = True
            self._stages.complete()
        return decision

    def _fail(self, why: str) -> None:
        if not self._failure:
            self._failure = why
            late = [replica for replica in self._fresh() if not replica.ready]
            self._telling.failed(self.spec.release, why, late)

    def _start(self, process_type: str) -> None:
        spec = self.spec
        process = next(p for p in spec.processes if p.type == process_type)
        try:
            port = self._tools.ports.take(spec.appuuid)
        except NoPort as fault:
            self._fail(str(fault))
            return
        seed = f"{spec.appuuid} {process_type} {spec.release}"
        plan = Plan(
            app=spec.app,
            appuuid=spec.appuuid,
            name=names.instance_name(spec.app, process_type, seed),
            release=spec.release,
            artifact=key_of(spec),
            process=process,
            mark=model.mark(spec, process),
            environment=spec.environment,
        )
        replica = Replica(plan, port, self._tools, self._prepare(spec), self._look)
        self._replicas.append(replica)

    def _prepare(self, spec: AppSpec) -> Prepare:
        async def prepare(replica: Replica) -> Prepared:
            prepared = await self._fetching.get(spec, replica.say)
            self._stages.fetched()
            return prepared

        return prepare

    def _end_later(self, replica: Replica, grace: float) -> asyncio.Task[None]:
        task = asyncio.create_task(self._end(replica, grace), name=f"end {replica.plan.name}")
        task.add_done_callback(_heard)
        return task

    async def _end(self, replica: Replica, grace: float) -> None:
        """Once no router knows it: SIGTERM, grace, SIGKILL; its port may be used again."""
        revision = await self._outlet.left(replica.address)
        await replica.end(grace)
        self._tools.ports.give_back(replica.port, self.spec.appuuid, revision)
        self._telling.state(replica, routed=False)
        self._telling.forget(replica)
        self._replicas.remove(replica)
        self._ending.pop(replica, None)
        self._look()

    async def _forget_old_artifacts(self) -> None:
        kept = {replica.plan.artifact for replica in self._replicas} | {key_of(self.spec)}
        if kept != self._kept:
            self._kept = kept
            await self._fetching.keep_only(kept)
            await self._tools.workspace.keep_only(self.spec.appuuid, kept)


def _heard(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (fault := task.exception()) is not None:
        log.error("an instance could not be ended", task=task.get_name(), exc_info=fault)


def _matches(replica: Replica, restart: Restart) -> bool:
    return restart.type in ("", replica.plan.process.type) and restart.instance in (
        "",
        replica.plan.name,
    )


def _newest_first(instances: Iterable[Instance]) -> tuple[Instance, ...]:
    return tuple(sorted(instances, key=lambda instance: instance.started, reverse=True))


def _waits(replica: Replica) -> str:
    return f"{replica.plan.process.type}: {replica.reason or replica.state}"
