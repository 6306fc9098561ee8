"""Core messages of a subject until stopped, through times without a bus."""

import asyncio
from collections.abc import AsyncIterator

from deis_bus import subjects
from deis_bus.errors import Transient
from deis_bus.ports import Bus, Received
from deis_platform.races import unless
from deis_platform.runner import wait_for_stop

PAUSE_SECONDS = 0.5


async def listen(bus: Bus, subject: str, stop: asyncio.Event) -> AsyncIterator[Received]:
    """Messages as they come; what was sent while the bus was away is lost, as always here."""
    while not stop.is_set():
        try:
            async with bus.subscribe(subject) as subscription:
                messages = aiter(subscription)
                while (message := await unless(stop, anext(messages, None))) is not None:
                    yield message
        except Transient:
            await wait_for_stop(stop, PAUSE_SECONDS)


async def losses(bus: Bus, stop: asyncio.Event) -> AsyncIterator[None]:
    """Each loss of the connection, soon after it: what was told meanwhile was not heard."""
    seen = bus.counts.disconnects
    while not await wait_for_stop(stop, PAUSE_SECONDS):
        if bus.counts.disconnects != seen:
            seen = bus.counts.disconnects
            yield


def subject_of(app: str, kind: str) -> str:
    """Events of an application, of a type, of both, or all; empty stands for any."""
    if kind:
        return subjects.event(app, kind) if app else f"deis.event.*.{kind}"
    return f"deis.event.{app}.>" if app else subjects.EVENTS
