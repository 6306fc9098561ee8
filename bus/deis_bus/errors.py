"""The error tree of the bus; the type says what the caller should do.

BusError
├── Transient            a dependency is away: try again, never bury
│   ├── Unavailable      the bus, or nobody who answers
│   └── DeadlineExceeded the answer did not come in time
├── Permanent            trying again will not help: bury
│   └── Undecodable      the bytes are not what their type says
└── Refused              a service answered a request with an error
"""


class BusError(Exception):
    """Root of everything the bus raises."""


class Transient(BusError):
    """A dependency is away; the same call may succeed later."""


class Unavailable(Transient):
    """The bus is not connected, or no service listens on the subject."""


class DeadlineExceeded(Transient):
    """No answer came before the request's deadline."""


class Permanent(BusError):
    """The message can never be handled; it is buried."""


class Undecodable(Permanent):
    """The payload does not decode into the type its header names."""


class Refused(BusError):
    """A service answered with an error: `code` is an HTTP status, `detail` is fit for users."""

    def __init__(self, code: int, detail: str, kind: str = "") -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.kind = kind
        """A stable word the caller may test, e.g. `busy` or `stale`; empty when there is none."""


class StreamClosed(BusError):
    """The other end of a byte stream is gone."""
