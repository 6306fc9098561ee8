"""The caller's events as server-sent events from a cursor on (DESIGN 4, 5).

`GET /v2/events`: `since` (or `Last-Event-ID`) is a cursor `<epoch>-<sequence>`, `beginning` or
`now`; `type`, `app`; `follow=false` ends at the present end.
"""

import contextlib
import re

import msgspec
from aiohttp import web

from deis_bus import cursors
from deis_bus.contracts.http import ApiCall
from deis_bus.cursors import Cursor
from deis_bus.envelope import from_headers
from deis_bus.errors import Transient
from deis_bus.events.apps import AppDestroyed
from deis_bus.ports import Bus, Received
from deis_bus.streams import EVENTS
from deis_services.gateway.answers import Problem, of_answer, problem
from deis_services.gateway.listen import subject_of
from deis_services.gateway.streams.open_streams import Cut, Streams
from deis_services.gateway.streams.pump import Pump
from deis_services.gateway.streams.sender import Sender
from deis_services.gateway.streams.sight import Sight

KEEP_ALIVE_SECONDS = 15.0
PAGE = 500
_TYPE = re.compile(r"[a-z]+\.[a-z]+")
_APP = re.compile(r"[a-z0-9-]+")
_NO = ("0", "false", "no")
_BREAKS = bytes.maketrans(b"\r\n", b"  ")


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """An event as it is told over HTTP."""

    id: str
    type: str
    time: str
    source: str
    app: str
    appuuid: str
    actor: str
    cursor: str
    correlationid: str
    traceparent: str
    data: msgspec.Raw


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a request asks for."""

    epoch: str
    start: int
    """First sequence to send."""
    last: int
    """The stream's end when the request came."""
    follow: bool
    app: str
    kind: str


async def events(streams: Streams, request: web.Request, call: ApiCall) -> web.StreamResponse:
    """`GET /v2/events`."""
    answer = await streams.calls.ask(call)
    if answer.status != 200:
        return of_answer(answer)
    plan = await _plan(streams.bus, request, call)
    with streams.room(call):
        sight = Sight(streams.rights, call.token, plan.app)
        await sight.look()
        sender = Sender(request, "text/event-stream; charset=utf-8", Deis_Stream="events")
        await sender.open()
        if request.method != "HEAD":
            relay = _Relay(streams.bus, plan, sight, sender)
            await streams.whole(relay.run(), sight.keep())
        return await sender.close()


async def _plan(bus: Bus, request: web.Request, call: ApiCall) -> Plan:
    """What is asked for. Raises Problem 400, and 410 for a place that is not there any more."""
    kind, app = call.query.get("type", ""), call.query.get("app", "")
    if kind and not _TYPE.fullmatch(kind):
        raise problem(400, "type is the name of an event type, like release.created")
    if app and not _APP.fullmatch(app):
        raise problem(400, "app is the name of an application")
    follow = call.query.get("follow", "true").lower() not in _NO
    since = request.headers.get("Last-Event-ID") or call.query.get("since", "")
    epoch = await bus.stream_epoch(EVENTS.name)
    bounds = await bus.stream_bounds(EVENTS.name)
    try:
        start = cursors.start(
            since or (cursors.NOW if follow else cursors.BEGINNING), epoch, bounds
        )
    except cursors.BadCursor as fault:
        raise problem(400, f"since: {fault}") from fault
    except cursors.Gone as fault:
        raise Problem(410, {"detail": str(fault), "cursor": str(fault.oldest)}) from fault
    return Plan(epoch=epoch, start=start, last=bounds[1], follow=follow, app=app, kind=kind)


class _Relay:
    """From the stream to the client."""

    def __init__(self, bus: Bus, plan: Plan, sight: Sight, sender: Sender) -> None:
        self._bus = bus
        self._plan = plan
        self._sight = sight
        self._sender = sender
        self._subject = subject_of(plan.app, plan.kind)

    async def run(self) -> None:
        """To the present end, or for ever. Raises Cut where the stream was made anew."""
        if self._plan.follow:
            await self._follow()
        else:
            await self._present()

    async def _present(self) -> None:
        start = self._plan.start
        while start <= self._plan.last:
            page = await self._bus.read(EVENTS.name, (self._subject,), start, PAGE)
            for message in page:
                if message.sequence > self._plan.last:
                    return
                await self._tell(message)
            if len(page) < PAGE:
                return
            start = page[-1].sequence + 1

    async def _follow(self) -> None:
        plan, last = self._plan, self._plan.start - 1
        # Where it begins: who is cut off before the first event goes on from here.
        await self._sender.send(f"id: {Cursor(plan.epoch, last)}\n\n".encode())
        pump = Pump(self._bus.replay(EVENTS.name, (self._subject,), plan.start))
        try:
            while True:
                message = await pump.next(KEEP_ALIVE_SECONDS)
                if message is None:
                    await self._same_epoch()
                    await self._sender.send(b": still here\n\n")
                    continue
                if message.sequence <= last:
                    raise Cut("the stream of events was made anew")
                last = message.sequence
                if await self._tell(message) == AppDestroyed.TYPE and plan.app:
                    return
        finally:
            await pump.close()

    async def _same_epoch(self) -> None:
        with contextlib.suppress(Transient):
            if await self._bus.stream_epoch(EVENTS.name) != self._plan.epoch:
                raise Cut("the stream of events was made anew")

    async def _tell(self, message: Received) -> str:
        """Send what is the caller's; gives its type, empty for what is not."""
        told = _told(message, self._plan)
        if told is None or not await self._sight.shows(told.app, told.appuuid, told.type):
            return ""
        await self._sender.send(_frame(told))
        return told.type


def _told(message: Received, plan: Plan) -> Told | None:
    """The event of a message; None for what is no event."""
    try:
        envelope = from_headers(message.headers)
    except ValueError:
        return None
    return Told(
        id=envelope.id,
        type=envelope.type,
        time=envelope.time,
        source=envelope.source,
        app=envelope.subject,
        appuuid=envelope.appuuid,
        actor=envelope.actor,
        cursor=str(Cursor(plan.epoch, message.sequence)),
        correlationid=envelope.correlationid,
        traceparent=envelope.traceparent,
        data=msgspec.Raw(message.data or b"{}"),
    )


def _frame(told: Told) -> bytes:
    # Line breaks of JSON stand between its words only.
    data = msgspec.json.encode(told).translate(_BREAKS)
    return f"id: {told.cursor}\nevent: {told.type}\ndata: ".encode() + data + b"\n\n"
