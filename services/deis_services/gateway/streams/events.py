"""The caller's events as server-sent events from a cursor on (DESIGN 4, 5).

`GET /v2/events`: `since` (or `Last-Event-ID`) is a cursor `<epoch>-<sequence>`, `beginning` or
`now`; `type`, `app`; `follow=false` ends at the present end.
"""

import asyncio
import contextlib
import re

import msgspec
from aiohttp import web

from deis_bus.contracts.http import ApiCall
from deis_bus.envelope import from_headers
from deis_bus.errors import Refused, Transient
from deis_bus.events.apps import AppDestroyed
from deis_bus.ports import Bus, Received
from deis_bus.streams import EVENTS
from deis_bus.subjects import PLATFORM
from deis_services.gateway.answers import Problem, of_answer, problem
from deis_services.gateway.rights import Rights, subject_of
from deis_services.gateway.streams.base import Pump, Sender, Streams, first

KEEP_ALIVE_SECONDS = 15.0
MAX_DENIED = 10_000
_TYPE = re.compile(r"[a-z]+\.[a-z]+")
_NO = ("0", "false", "no")


class Cursor(msgspec.Struct, frozen=True):
    """Where a reader is: the epoch of the stream and the last sequence that was seen."""

    epoch: str
    sequence: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.sequence}"


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
    with streams:
        sight = Sight(streams.rights, call.token, plan.app)
        await sight.look()
        sender = Sender(request, "text/event-stream; charset=utf-8", Deis_Stream="events")
        await sender.open()
        if request.method != "HEAD":
            await first(_relay(streams.bus, plan, sight, sender), sight.keep())
        return await sender.close()


async def _plan(bus: Bus, request: web.Request, call: ApiCall) -> Plan:
    kind, app = call.query.get("type", ""), call.query.get("app", "")
    if kind and not _TYPE.fullmatch(kind):
        raise problem(400, "type is the name of an event type, like release.created")
    follow = call.query.get("follow", "true").lower() not in _NO
    since = request.headers.get("Last-Event-ID") or call.query.get("since", "")
    epoch = await bus.stream_epoch(EVENTS.name)
    oldest, last = await bus.stream_bounds(EVENTS.name)
    start = _start(since or ("now" if follow else "beginning"), epoch, oldest, last)
    return Plan(epoch=epoch, start=start, last=last, follow=follow, app=app, kind=kind)


def _start(since: str, epoch: str, oldest: int, last: int) -> int:
    """The first sequence behind a cursor. Raises Problem 400 or 410 (DESIGN 4)."""
    if since == "beginning":
        return oldest
    if since == "now":
        return last + 1
    given, dash, text = since.rpartition("-")
    if not dash or not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise problem(400, "since is a cursor, `beginning` or `now`")
    if given != epoch or not oldest <= int(text) + 1 <= last + 1:
        cursor = str(Cursor(epoch, oldest - 1))
        text = "These events are no longer kept; the oldest cursor goes on from the beginning."
        raise Problem(410, {"detail": text, "cursor": cursor})
    return int(text) + 1


class Sight:
    """Which applications the caller sees, kept up to date while the stream is open."""

    def __init__(self, rights: Rights, token: str, app: str) -> None:
        self._rights = rights
        self._token = token
        self._app = app
        self._admin = False
        self._seen: frozenset[str] = frozenset()
        self._only = ""
        self._denied: set[str] = set()

    async def look(self) -> None:
        """Ask anew. Raises Problem when nothing may be seen (any more)."""
        try:
            now = await self._rights.visible(self._token)
        except Refused as fault:
            raise problem(fault.code, fault.detail) from fault
        self._denied.clear()
        self._admin = now.admin
        self._seen = frozenset(app.appuuid for app in now.apps)
        if not self._app:
            return
        found = next((app.appuuid for app in now.apps if app.app == self._app), "")
        if not found or self._only not in ("", found):
            raise problem(404, "No App matches the given query.")
        self._only = found

    async def keep(self) -> None:
        """Return when the right to look is gone; an outage revokes nothing."""
        while True:
            await self._rights.news()
            try:
                await self.look()
            except Problem:
                return
            except Transient:
                await asyncio.sleep(1.0)

    async def shows(self, app: str, appuuid: str) -> bool:
        """Whether an event of this identity is the caller's."""
        if self._only:
            return appuuid == self._only
        if self._admin:
            return True
        if app == PLATFORM or not appuuid:
            return False
        if appuuid not in self._seen and appuuid not in self._denied:
            await self._new(appuuid)
        return appuuid in self._seen

    async def _new(self, appuuid: str) -> None:
        """An application that is not known yet: it may just have been made, or shared."""
        with contextlib.suppress(Problem, Transient):
            await self.look()
        if appuuid not in self._seen and len(self._denied) < MAX_DENIED:
            self._denied.add(appuuid)


async def _relay(bus: Bus, plan: Plan, sight: Sight, sender: Sender) -> None:
    if not plan.follow and plan.start > plan.last:
        return
    # To know the present end, everything must be read: a filtered reader never meets it.
    subject = subject_of(plan.app, plan.kind) if plan.follow else subject_of("", "")
    pump = Pump(bus.replay(EVENTS.name, (subject,), plan.start))
    try:
        while True:
            message = await pump.next(KEEP_ALIVE_SECONDS)
            if message is None:
                await sender.send(b": still here\n\n")
                continue
            told = _told(message, plan)
            if told is not None and await sight.shows(told.app, told.appuuid):
                await sender.send(_frame(told))
                if plan.app and told.type == AppDestroyed.TYPE:
                    return
            if not plan.follow and message.sequence >= plan.last:
                return
    finally:
        await pump.close()


def _told(message: Received, plan: Plan) -> Told | None:
    """The event of a message that the request asks for."""
    try:
        envelope = from_headers(message.headers)
    except ValueError:
        return None
    if plan.kind not in ("", envelope.type) or plan.app not in ("", envelope.subject):
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
    data = msgspec.json.encode(told)
    return f"id: {told.cursor}\nevent: {told.type}\ndata: ".encode() + data + b"\n\n"
