"""One `git push`, from the first byte to the outcome (DESIGN 5, A push, 1, 2 and 6)."""

import asyncio
import contextlib
import uuid
from pathlib import Path

import structlog

from deis_bus.clock import new_trace
from deis_bus.contracts.push import (
    PUSH_CLOSE,
    PUSH_OPEN,
    PushClose,
    PushOpen,
    PushOpened,
    PushRenew,
    PushState,
)
from deis_bus.errors import Refused, Transient
from deis_bus.ports import Bus
from deis_bus.rpc import call
from deis_platform.objects import ObjectStore
from deis_services.builder import lease, render
from deis_services.builder.follow import Follower, Screen
from deis_services.builder.gitprocess import GitProcess
from deis_services.builder.hook import Hook, HookGone
from deis_services.builder.intake import Intake, NotTaken
from deis_services.builder.repositories import Held, Repositories
from deis_services.builder.session import GitSession
from deis_services.builder.settings import Settings

log = structlog.get_logger(__name__)

OPEN_SECONDS = 20.0
CLOSE_SECONDS = 5.0


class Receiver:
    """What every push needs."""

    def __init__(
        self, bus: Bus, objects: ObjectStore, repositories: Repositories, settings: Settings
    ) -> None:
        self.bus = bus
        self.objects = objects
        self.repositories = repositories
        self.settings = settings
        self.hooks = repositories.folder / "hooks"

    async def open(self, fingerprint: str, app: str, holder: str) -> PushOpened:
        """Take the application's push row; a trace begins here. Raises Refused and Transient."""
        if not await self.objects.has_room():
            raise Refused(507, render.NO_ROOM)
        asked = PushOpen(fingerprint=fingerprint, app=app, holder=holder)
        return await call(self.bus, PUSH_OPEN, asked, seconds=OPEN_SECONDS, traceparent=new_trace())

    async def receive(self, session: GitSession, app: str, stop: asyncio.Event) -> int:
        """Serve a push; gives the exit code. Raises Refused and Transient before git has begun."""
        holder = f"ssh-{uuid.uuid4()}"
        opened = await self.open(session.fingerprint, app, holder)
        push = Push(self, session, opened, holder, stop)
        with structlog.contextvars.bound_contextvars(app=opened.app, push=opened.push):
            try:
                async with self.repositories.receiving(opened.appuuid) as path:
                    return await push.run(path)
            except Held:
                push.reason = "the repository is in use"
                raise Refused(409, render.BUSY) from None
            finally:
                await push.close()


class Push:
    """One push row and the git that serves it."""

    def __init__(
        self,
        receiver: Receiver,
        session: GitSession,
        opened: PushOpened,
        holder: str,
        stop: asyncio.Event,
    ) -> None:
        self.reason = "nothing was pushed"
        """Why the row is closed, if it is."""
        self._receiver = receiver
        self._session = session
        self._opened = opened
        self._holder = holder
        self._stop = stop
        self._intake = Intake(
            receiver.bus,
            receiver.objects,
            receiver.repositories,
            opened,
            holder,
            receiver.settings.archive_seconds,
        )
        self._deployed = False
        self._asked = False

    async def run(self, path: Path) -> int:
        """git until it ends; the exit code says whether the push was deployed."""
        hook = Hook()
        try:
            git = await GitProcess.start(
                self._session, self._argv(path), self._environment(hook), hook.inherited
            )
        except BaseException:
            hook.close()
            raise
        finally:
            hook.started()
        tasks = [
            asyncio.create_task(self._answer(hook, path)),
            asyncio.create_task(self._guard(git)),
        ]
        try:
            code = await git.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await git.end()
            hook.close()
            git.close()
        for task in tasks:
            if not task.cancelled():
                task.result()
        if self._asked:
            return 0 if self._deployed else 1
        return code if code >= 0 else 1

    async def close(self) -> None:
        """Nothing came of it: the row is free again, or its lease runs out."""
        if self._intake.queued:
            return
        asked = PushClose(push=self._opened.push, holder=self._holder, reason=self.reason)
        with contextlib.suppress(Transient, Refused):
            await call(self._receiver.bus, PUSH_CLOSE, asked, seconds=CLOSE_SECONDS)

    def _argv(self, path: Path) -> tuple[str, ...]:
        given = {
            "core.hooksPath": str(self._receiver.hooks),
            "transfer.fsckObjects": "true",
            "receive.maxInputSize": str(self._opened.max_pack_bytes),
            "receive.denyDeletes": "true",
            "receive.denyCurrentBranch": "ignore",
            "receive.advertisePushOptions": "false",
            "gc.autoDetach": "false",
            "maintenance.autoDetach": "false",
        }
        options = [word for name, value in given.items() for word in ("-c", f"{name}={value}")]
        return (self._receiver.repositories.git.program, *options, "receive-pack", str(path))

    def _environment(self, hook: Hook) -> dict[str, str]:
        repositories = self._receiver.repositories
        return repositories.git.environment(repositories.folder) | hook.environment

    async def _guard(self, git: GitProcess) -> None:
        """End what stalls, is lost or is no longer ours, until the push is handed over."""
        held = PushRenew(push=self._opened.push, holder=self._holder)
        bus, seconds = self._receiver.bus, self._opened.lease_seconds
        limit = self._receiver.settings.stall_seconds
        waits = {
            asyncio.create_task(lease.keep(bus, held, seconds)): "its lease was lost",
            asyncio.create_task(self._session.gone.wait()): "the connection was lost",
            asyncio.create_task(self._session.stalled(limit)): "the client stalled",
            asyncio.create_task(self._stop.wait()): "the builder is stopping",
        }
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if not self._intake.handing_over:
                self.reason = waits[done.pop()]
                log.info("the push is given up", reason=self.reason)
                await git.end()
                return
            await self._session.gone.wait()
            await git.swallow()
        finally:
            for task in waits:
                task.cancel()
            await asyncio.wait(waits)

    async def _answer(self, hook: Hook, path: Path) -> None:
        """Wait for the hook, decide, follow, let it end."""
        with contextlib.suppress(HookGone):
            said = await hook.said()
            self._asked = self._session.at_work = True
            screen = Screen(hook.show, self._receiver.settings.alive_seconds)
            try:
                state = await self._intake.take(said, path)
            except NotTaken as fault:
                self.reason = str(fault)
                await screen.lines(str(fault), "")
            else:
                self._deployed = await self._follow(state, screen)
            finally:
                hook.end(0 if self._deployed else 1)

    async def _follow(self, state: PushState, screen: Screen) -> bool:
        if state.state == "released":
            await screen.lines(*render.already(state.app, state.version))
            return True
        return await Follower(self._receiver.bus, self._opened, screen).outcome(self._stop)
