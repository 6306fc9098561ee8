"""Every subject as a function, with build and parse (DESIGN 4).

The families never overlap. An application's name is one token: names hold only `a-z0-9-`.
`_` stands for the platform itself.
"""

PLATFORM = "_"
EVENTS = "deis.event.>"
REPORTS = "deis.report.>"
RPC = "deis.rpc.>"
LOGS = "deis.log.*"
BUILDLOGS = "deis.buildlog.>"
STREAMS = "deis.stream.>"
DEAD = "deis.dead.>"


def event(app: str, kind: str) -> str:
    """Subject of a fact, e.g. `deis.event.blog.release.created`."""
    return f"deis.event.{_token(app)}.{kind}"


def report(app: str, kind: str) -> str:
    """Subject of what a service saw or did, for the controller."""
    return f"deis.report.{_token(app)}.{kind}"


def rpc(service: str, method: str) -> str:
    """Subject of a request: `rpc("controller", "push.open")`."""
    return f"deis.rpc.{_token(service)}.{method}"


def log(app: str) -> str:
    """Subject of an application's log batches."""
    return f"deis.log.{_token(app)}"


def buildlog(app: str, build: str) -> str:
    """Subject of one build's output."""
    return f"deis.buildlog.{_token(app)}.{_token(build)}"


def stream(stream_id: str, side: str) -> str:
    """Subject on which the given side (`opener` or `acceptor`) of a byte stream *receives*."""
    return f"deis.stream.{_token(stream_id)}.{side}"


def dead(subject: str) -> str:
    """Where a buried message of `subject` goes."""
    return "deis.dead." + subject.removeprefix("deis.")


def event_parts(subject: str) -> tuple[str, str]:
    """Application and type of an event or report subject; raises ValueError for any other."""
    parts = subject.split(".", 3)
    if len(parts) != 4 or parts[0] != "deis" or parts[1] not in ("event", "report"):
        raise ValueError(f"not an event or report subject: {subject}")
    return parts[2], parts[3]


def matches(pattern: str, subject: str) -> bool:
    """Whether a subject falls under a pattern: `*` is one token, `>` at the end one or more."""
    wanted, given = pattern.split("."), subject.split(".")
    for place, part in enumerate(wanted):
        if part == ">":
            return len(given) > place
        if place >= len(given) or part not in ("*", given[place]):
            return False
    return len(wanted) == len(given)


def _token(text: str) -> str:
    if not text or any(c in text for c in ".*> \t\r\n"):
        raise ValueError(f"not a subject token: {text!r}")
    return text
