"""Typed requests: a `Method` names a subject and the structs that go in and out.

The caller's deadline travels with the request and the service refuses what comes too late:
while the bus is away a client times out and *still sends the buffered bytes later*.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, TypeVar

import msgspec

from deis_bus import subjects
from deis_bus.clock import new_id
from deis_bus.errors import DeadlineExceeded, Refused, Transient, Undecodable
from deis_bus.ports import Answer, Bus, Endpoint, Received

Q = TypeVar("Q", bound=msgspec.Struct)
A = TypeVar("A")

DEADLINE = "deis-deadline"
REQUEST_ID = "deis-request-id"
TRACE = "traceparent"
DEFAULT_SECONDS = 30.0


class Method(Generic[Q, A]):
    """A request somebody answers: `Method("controller", "push.open", PushOpen, PushOpened)`."""

    def __init__(self, service: str, name: str, question: type[Q], answer: type[A]) -> None:
        self.service = service
        self.name = name
        self.question = question
        self.answer = answer
        self.subject = subjects.rpc(service, name)
        self.encode = msgspec.json.Encoder().encode
        self.decode_question = msgspec.json.Decoder(question).decode
        self.decode_answer = msgspec.json.Decoder(answer).decode


class Empty(msgspec.Struct, frozen=True):
    """A request or an answer that says nothing."""


async def call(
    bus: Bus,
    method: Method[Q, A],
    question: Q,
    *,
    seconds: float = DEFAULT_SECONDS,
    request_id: str = "",
    traceparent: str = "",
) -> A:
    """Ask and wait for the answer.

    Raises Refused (the service said no: code and detail), Unavailable (nobody there),
    DeadlineExceeded (no answer in time), Undecodable (an answer that is not of its type).
    """
    headers = {
        DEADLINE: str(int((time.time() + seconds) * 1000)),
        REQUEST_ID: request_id or new_id(),
    }
    if traceparent:
        headers[TRACE] = traceparent
    answer = await bus.request(method.subject, method.encode(question), headers, seconds)
    if answer.code:
        if answer.code == 503:
            raise Transient(answer.detail)
        raise Refused(answer.code, answer.detail, answer.kind)
    try:
        return method.decode_answer(answer.data)
    except msgspec.MsgspecError as fault:
        raise Undecodable(f"the answer of {method.subject}: {fault}") from fault


class Context(msgspec.Struct, frozen=True):
    """What travels with a request beside its payload."""

    request_id: str
    traceparent: str
    deadline: float
    """Unix time after which nobody waits for the answer."""


Handler = Callable[[Any, Context], Awaitable[Any]]
Unexpected = Callable[[str, Exception], None]


def endpoints(
    handlers: Mapping[Method[Any, Any], Handler], unexpected: Unexpected
) -> dict[str, Endpoint]:
    """Endpoints for `Bus.serve`: decode, refuse what is late, map errors once.

    Refused goes to the caller as it is, Transient becomes 503; anything else is a bug:
    `unexpected(subject, fault)` hears of it and the caller gets a 500 without details.
    """
    return {
        method.subject: _endpoint(method, handler, unexpected)
        for method, handler in handlers.items()
    }


def _endpoint(method: Method[Any, Any], handler: Handler, unexpected: Unexpected) -> Endpoint:
    async def answer(received: Received) -> Answer:
        context = _context(received.headers)
        if context.deadline and time.time() > context.deadline:
            return Answer(b"", 504, "the request came after its deadline", "late")
        try:
            question = method.decode_question(received.data)
        except (msgspec.MsgspecError, RecursionError) as fault:
            return Answer(b"", 400, str(fault), "undecodable")
        try:
            return Answer(method.encode(await handler(question, context)))
        except Refused as fault:
            return Answer(b"", fault.code, fault.detail, fault.kind)
        except DeadlineExceeded as fault:
            return Answer(b"", 503, str(fault) or "a dependency did not answer in time", "away")
        except Transient as fault:
            return Answer(b"", 503, str(fault) or "a dependency is away", "away")
        except Exception as fault:  # noqa: BLE001 - the one place where a bug becomes an answer
            unexpected(method.subject, fault)
            return Answer(b"", 500, "Server Error", "bug")

    return answer


def _context(headers: Mapping[str, str]) -> Context:
    try:
        deadline = int(headers.get(DEADLINE, "0")) / 1000
    except ValueError:
        deadline = 0.0
    return Context(headers.get(REQUEST_ID, ""), headers.get(TRACE, ""), deadline)
