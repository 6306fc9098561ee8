"""What a push shows: packet lines, framing and sentences of cli.md 9 (pure)."""

from deis_bus.contracts.push import PushState

COLUMN_ONE = b"\x1b[1G"
"""Moves the cursor over git's `remote: `, so that lines stand without it."""
MAX_LINE = 16 * 1024
STARTING = "Starting build... but first, coffee!"
COMPLETE = "Build complete."
LAUNCHING = "Launching App..."
ALIVE = "..."
BUSY = "Another git push is ongoing"
NO_SHELL = "There is no shell here, only git: git push deis main\n"
NO_ROOM = "The platform is nearly out of disk space, so it takes no pushes now (apps run on)"
AWAY = "The platform is starting or a part of it is away, try again in a moment"
EMPTY = "The pushed commit holds no files: there is nothing to build."
STOPPING = "The builder is stopping: the build goes on, deis builds:attach shows it."


def packet(text: str) -> bytes:
    """A pkt-line after which git says `fatal: remote error: <text>` (before any ref)."""
    payload = f"ERR {text}".encode()[:65_000]
    return f"{len(payload) + 4:04x}".encode() + payload


def done(app: str, version: int) -> list[str]:
    """The end of a push that was deployed."""
    return [
        f"Done, {app}:v{version} deployed to Workflow",
        "",
        "Use 'deis open' to view this application in your browser",
        "",
        "To learn more, use 'deis help' or visit https://deis.com/",
        "",
    ]


def already(app: str, version: int) -> list[str]:
    """A push of the commit that runs."""
    return [f"This commit is deployed already as {app}:v{version}: there is nothing to build.", ""]


def again(attempt: int) -> str:
    """Another attempt's output begins."""
    return f"The build was cut off, starting it again (attempt {attempt})"


def failed(state: PushState, *, told: bool) -> list[str]:
    """Why a push was not deployed; `told`: the build's own output has said so."""
    reason = state.reason or "nobody said why"
    if state.state == "superseded":
        return [f"Not deployed: {reason}", ""]
    if state.state == "closed":
        return [f"The push ended: {reason}", ""]
    if "build" in state.stages:
        return [f"The controller returned an error when publishing the release: {reason}", ""]
    return [] if told else [f"The build failed: {reason}", ""]


def too_large(limit: int) -> str:
    """A source past the bound."""
    return f"The pushed files are too many: packed they have more than {size(limit)}."


def size(count: int) -> str:
    """Bytes for people: 1 GB, 20 MB, 300 bytes."""
    for unit, name in ((1024**3, "GB"), (1024**2, "MB"), (1024, "KB")):
        if count >= unit:
            return f"{count / unit:.3g} {name}"
    return f"{count} bytes"


class Framing:
    """Turns bytes as they come into lines with the escape in front; an open line waits."""

    def __init__(self) -> None:
        self._open = b""

    def lines(self, data: bytes) -> bytes:
        """Whole lines so far; what is longer than 16 KB is cut into several."""
        *whole, self._open = (self._open + data).split(b"\n")
        pieces = whole
        while len(self._open) > MAX_LINE:
            pieces.append(self._open[:MAX_LINE])
            self._open = self._open[MAX_LINE:]
        return b"".join(map(_framed, pieces))

    def rest(self) -> bytes:
        """The open line, ended."""
        rest, self._open = self._open, b""
        return _framed(rest) if rest else b""


def _framed(line: bytes) -> bytes:
    return COLUMN_ONE + line + b"\n"
