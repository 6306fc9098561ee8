"""One HTTP request of the API as one bus request, and its answer (DESIGN 4, Requests)."""

import msgspec

from deis_bus.rpc import Method

NOTHING = msgspec.Raw(b"")
"""No body. Empty bytes are no JSON, so it must never be written: `omit_defaults` leaves out
exactly this object, and `__post_init__` puts it wherever a body is empty."""


class ApiCall(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An API request. Sent to `deis.rpc.controller.<endpoint name>`."""

    endpoint: str
    """Name of an endpoint of the table (`deis_bus.api`)."""
    path: dict[str, str] = {}
    query: dict[str, str] = {}
    body: msgspec.Raw = NOTHING
    """The body as JSON that parses, whatever it was sent as; empty when there was none."""
    token: str = ""
    """Keyed hash of the token, never the token."""
    builder: bool = False
    """The right `X-Deis-Builder-Auth` was sent."""
    url: str = ""
    """Absolute URL of the request without its query, for the links of pages."""
    address: str = ""
    """Client address, for the limit of logins."""
    request_id: str = ""
    idempotency_key: str = ""
    respond_async: bool = False
    traceparent: str = ""
    stream: str = ""
    """A byte stream whose opener waits, where the endpoint streams."""

    def __post_init__(self) -> None:
        _no_empty_body(self)


class ApiAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer, or an operation to wait for (then `status` is 202)."""

    status: int
    body: msgspec.Raw = NOTHING
    """JSON, or text when `text`; empty for none."""
    text: str | None = None
    headers: dict[str, str] = {}
    operation: str = ""
    app: str = ""
    """Name of the application the operation belongs to, for its events."""

    def __post_init__(self) -> None:
        _no_empty_body(self)


def _no_empty_body(value: ApiCall | ApiAnswer) -> None:
    if not bytes(value.body):
        msgspec.structs.force_setattr(value, "body", NOTHING)


class OperationRead(msgspec.Struct, frozen=True):
    """The platform's own reading of an operation, for who holds its HTTP request open."""

    operation: str


class OperationState(msgspec.Struct, frozen=True, kw_only=True):
    """`queued`, `running`, `succeeded` or `failed`; the answer is there at the end."""

    operation: str
    state: str
    answer: ApiAnswer | None = None


OPERATION_READ = Method("controller", "operation.wait", OperationRead, OperationState)


def method(endpoint: str) -> Method[ApiCall, ApiAnswer]:
    """The bus request of an endpoint of the table."""
    return Method("controller", endpoint, ApiCall, ApiAnswer)
