"""Answering requests as a NATS micro-service (the services API, version 1).

`nats micro ls|info|stats` find it. The protocol's three questions are answered here and not by
nats-py's own service class, which is bound to one client for life and would time only the
hand-over of a request, not its handling.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from urllib.parse import quote, unquote

import msgspec
from nats.aio.msg import Msg

from deis_bus.clock import new_id, timestamp
from deis_bus.errors import Permanent, Transient
from deis_bus.jetstream.link import Callback, Link, Listener
from deis_bus.jetstream.reader import received
from deis_bus.ports import TOO_LARGE, Answer, Endpoint, ServiceInfo

log = logging.getLogger(__name__)

AT_ONCE = 256
"""Requests of one service handled at a time; more wait in the subscription."""
GRACE_SECONDS = 5.0
CODE = "Nats-Service-Error-Code"
DETAIL = "Nats-Service-Error"
KIND = "deis-error-kind"
QUEUE = "q"
_PLAIN = " !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~"


class Served(msgspec.Struct):
    """An endpoint and what became of its requests."""

    subject: str
    endpoint: Endpoint
    requests: int = 0
    errors: int = 0
    nanoseconds: int = 0


class MicroService:
    """One instance of a service on the bus."""

    def __init__(self, link: Link, info: ServiceInfo, endpoints: Mapping[str, Endpoint]) -> None:
        self._link = link
        self._info = info
        self._id = new_id()
        self._started = timestamp()
        self._served = [Served(subject, endpoint) for subject, endpoint in endpoints.items()]
        self._listeners: list[Listener] = []
        self._free = asyncio.Semaphore(AT_ONCE)
        self._running: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen; requests are taken from here on, or from the moment the bus is there."""
        for served in self._served:
            await self._listen(served.subject, self._taker(served), QUEUE)
        for verb, answer in (("PING", self._ping), ("INFO", self._about), ("STATS", self._stats)):
            for name in ("", f".{self._info.name}", f".{self._info.name}.{self._id}"):
                await self._listen(f"$SRV.{verb}{name}", _answering(self._link, answer))
        if self._link.connected.is_set():
            await self._link.flush()

    async def stop(self) -> None:
        """Take no more; let running requests end within 5 s, then cancel them."""
        await self._link.drain(self._listeners)
        self._listeners.clear()
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=GRACE_SECONDS)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)

    async def _listen(self, subject: str, callback: Callback, queue: str = "") -> None:
        self._listeners.append(await self._link.listen(subject, callback, queue))

    def _taker(self, served: Served) -> Callback:
        async def take(message: Msg) -> None:
            # Callbacks are serial per subscription: hand over, with a bound.
            await self._free.acquire()
            task = asyncio.create_task(self._handle(served, message))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

        return take

    async def _handle(self, served: Served, message: Msg) -> None:
        began = time.perf_counter_ns()
        try:
            answer = await served.endpoint(received(message))
            served.requests += 1
            served.errors += bool(answer.code)
            served.nanoseconds += time.perf_counter_ns() - began
            if message.reply:
                await self._reply(message, answer)
        except Transient:
            # The caller hears of the lost connection himself.
            self._link.counts.errors += 1
        finally:
            self._free.release()

    async def _reply(self, message: Msg, answer: Answer) -> None:
        try:
            await self._link.send(message.reply, answer.data, error_headers(answer))
        except Permanent as fault:
            # Else the caller would wait for it until its deadline.
            log.warning("the answer of %s: %s", message.subject, fault)
            await self._link.send(message.reply, b"", error_headers(TOO_LARGE))

    def _ping(self) -> dict[str, object]:
        return self._identity("ping")

    def _about(self) -> dict[str, object]:
        listed = [
            {"name": _word(s.subject), "subject": s.subject, "queue_group": QUEUE, "metadata": {}}
            for s in self._served
        ]
        about = {"description": self._info.description, "endpoints": listed}
        return self._identity("info") | about

    def _stats(self) -> dict[str, object]:
        listed = [
            {
                "name": _word(s.subject),
                "subject": s.subject,
                "queue_group": QUEUE,
                "num_requests": s.requests,
                "num_errors": s.errors,
                "last_error": "",
                "processing_time": s.nanoseconds,
                "average_processing_time": s.nanoseconds // max(1, s.requests),
            }
            for s in self._served
        ]
        return self._identity("stats") | {"started": self._started, "endpoints": listed}

    def _identity(self, kind: str) -> dict[str, object]:
        return {
            "type": f"io.nats.micro.v1.{kind}_response",
            "name": self._info.name,
            "id": self._id,
            "version": self._info.version,
            "metadata": dict(self._info.metadata),
        }


def error_headers(answer: Answer) -> dict[str, str] | None:
    """A refusal as the services API writes it; a header holds one line of ASCII."""
    if not answer.code:
        return None
    headers = {CODE: str(answer.code), DETAIL: _line(answer.detail) or "-"}
    if answer.kind:
        headers[KIND] = _line(answer.kind)
    return headers


def answer_of(message: Msg) -> Answer:
    """The other way round."""
    headers = message.headers or {}
    code = headers.get(CODE, "")
    if not code.isdigit():
        return Answer(message.data)
    detail = headers.get(DETAIL, "-")
    return Answer(
        message.data,
        int(code),
        "" if detail == "-" else unquote(detail),
        unquote(headers.get(KIND, "")),
    )


def _line(text: str) -> str:
    """One line of ASCII that stays readable; spaces at its ends would be cut off."""
    line = quote(text, safe=_PLAIN)
    inner = line.strip()
    if inner == line:
        return line
    return quote(text, safe=_PLAIN.replace(" ", ""))


def _answering(link: Link, answer: Callable[[], dict[str, object]]) -> Callback:
    async def tell(message: Msg) -> None:
        if message.reply:
            await link.send(message.reply, msgspec.json.encode(answer()))

    return tell


def _word(subject: str) -> str:
    return subject.removeprefix("deis.rpc.").replace(".", "-")
