"""Shows a queued push to its client: the build's output from the first line, then the outcome."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from deis_bus import subjects
from deis_bus.contracts import buildlog
from deis_bus.contracts.push import FINAL, PUSH_READ, PushOpened, PushRead, PushState
from deis_bus.errors import Refused, Transient
from deis_bus.ports import Bus, Received
from deis_bus.rpc import call
from deis_bus.streams import BUILDLOGS
from deis_services.builder import render

LOOK_SECONDS = 3.0
"""How often the push is read where no event tells of it."""
READ_SECONDS = 10.0
LAST_SECONDS = 2.0
"""How long the end of the output may come after the outcome."""
Show = Callable[[bytes], Awaitable[None]]


class Screen:
    """Lines to the client, and `...` after a silence."""

    def __init__(self, show: Show, alive_seconds: float) -> None:
        self._show = show
        self._alive_seconds = alive_seconds
        self._framing = render.Framing()
        self._turn = asyncio.Lock()
        self._spoke = asyncio.get_running_loop().time()

    async def output(self, data: bytes) -> None:
        """Bytes of the build."""
        await self._say(self._framing.lines(data))

    async def lines(self, *texts: str) -> None:
        """Lines of ours, after whatever the build left open."""
        rest = self._framing.rest()
        await self._say(rest + self._framing.lines("".join(f"{t}\n" for t in texts).encode()))

    async def keep_alive(self, why: Callable[[], Awaitable[str]]) -> None:
        """For ever: a line whenever nothing was said for long, with what is waited for."""
        while True:
            silent = asyncio.get_running_loop().time() - self._spoke
            if silent >= self._alive_seconds:
                await self.lines(f"{render.ALIVE} {await why()}".rstrip())
                silent = 0.0
            await asyncio.sleep(self._alive_seconds - silent)

    async def _say(self, data: bytes) -> None:
        if data:
            async with self._turn:
                await self._show(data)
            self._spoke = asyncio.get_running_loop().time()


class Follower:
    """Follows one push to its end."""

    def __init__(self, bus: Bus, push: PushOpened, screen: Screen) -> None:
        self._bus = bus
        self._push = push
        self._screen = screen
        self._attempt = 0
        self._nudge = asyncio.Event()
        self._ended = asyncio.Event()
        self._end = ""
        """How the newest attempt's output ended: `done`, `failed`, empty while it goes on."""

    async def outcome(self, stop: asyncio.Event) -> bool:
        """Show everything; whether it was deployed. Ends early, with a sentence, on `stop`."""
        await self._screen.lines(render.STARTING)
        parts = (self._output(), self._screen.keep_alive(self._why), self._events())
        tasks = [asyncio.create_task(part) for part in parts]
        final = asyncio.create_task(self._final())
        stopping = asyncio.create_task(stop.wait())
        everything: tuple[asyncio.Task[Any], ...] = (final, stopping, *tasks)
        try:
            await asyncio.wait(everything, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()  # a client that is gone, or a fault of ours
            state = final.result() if final.done() else None
            if state is not None:
                await self._last_lines(state)
        finally:
            for one in everything:
                one.cancel()
            await asyncio.wait(everything)
        return await self._close(state)

    async def _close(self, state: PushState | None) -> bool:
        if state is None:
            await self._screen.lines(render.STOPPING)
            return False
        if state.state == "released":
            await self._screen.lines(*render.done(state.app, state.version))
            return True
        await self._screen.lines(*render.failed(state, told=self._end == "failed"))
        return False

    async def _last_lines(self, state: PushState) -> None:
        """The output's end may come a moment after the outcome."""
        if state.attempt and not self._ended.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_SECONDS):
                    await self._ended.wait()

    async def _output(self) -> None:
        subject = subjects.buildlog(self._push.app, self._push.push)
        while True:
            try:
                async with contextlib.aclosing(
                    self._bus.replay(BUILDLOGS.name, (subject,))
                ) as messages:
                    async for message in messages:
                        await self._take(message)
            except Transient:
                await asyncio.sleep(LOOK_SECONDS)

    async def _take(self, message: Received) -> None:
        text = message.headers.get(buildlog.ATTEMPT, "0")
        attempt = int(text) if text.isascii() and text.isdigit() else 0
        if message.headers.get(buildlog.APPUUID) != self._push.appuuid or attempt < self._attempt:
            return
        if attempt > self._attempt:
            if self._attempt:
                await self._screen.lines(render.again(attempt))
            self._attempt, self._end = attempt, ""
            self._ended.clear()
        if message.data:
            await self._screen.output(message.data)
        if buildlog.END in message.headers:
            self._end = message.headers[buildlog.END]
            if self._end == "done":
                await self._screen.lines(render.COMPLETE, render.LAUNCHING)
            else:
                await self._screen.lines()
            self._ended.set()
            self._nudge.set()

    async def _events(self) -> None:
        """Whatever happens to the application is a reason to look."""
        while True:
            try:
                async with self._bus.subscribe(f"deis.event.{self._push.app}.>") as events:
                    async for _ in events:
                        self._nudge.set()
            except Transient:
                await asyncio.sleep(LOOK_SECONDS)

    async def _final(self) -> PushState:
        async for state in self._states():
            if state.state in FINAL:
                return state
        raise TypeError("states never end")

    async def _states(self) -> AsyncIterator[PushState]:
        while True:
            self._nudge.clear()
            with contextlib.suppress(Transient):
                yield await self._read()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._nudge.wait()

    async def _why(self) -> str:
        with contextlib.suppress(Transient):
            return (await self._read(why=True)).waiting
        return ""

    async def _read(self, *, why: bool = False) -> PushState:
        asked = PushRead(self._push.push, why)
        try:
            return await call(self._bus, PUSH_READ, asked, seconds=READ_SECONDS)
        except Refused as fault:
            # The row goes with its application.
            gone = fault.code == 404
            return PushState(
                push=self._push.push,
                number=self._push.number,
                app=self._push.app,
                appuuid=self._push.appuuid,
                state="closed" if gone else "failed",
                reason="the application was destroyed" if gone else fault.detail,
            )
