"""A slug over HTTP from `artifacts`, on the standard library: streamed, and tried again.

Proxies of the environment are the application's, not for this, so no urllib requests.
"""

import http.client
import sys
import time
import urllib.parse
from contextlib import closing

from deis_platform.slugs import BadSlug

TYPE_CHECKING = False  # importing typing would double the time of a start
if TYPE_CHECKING:
    from collections.abc import Callable

    from deis_platform.slugs import Source

    Take = Callable[[Source], None]

PATIENCE_SECONDS = 300.0
"""How long `artifacts` may be away; then the container ends, and Kubernetes starts it again."""
STALL_SECONDS = 30.0
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
REDIRECTS = 3
CHUNK = 64 * 1024
MOVED = (301, 302, 303, 307, 308)
NOWHERE = "The release names no address of its slug"
GONE = "The slug of this release is no longer in the object store: push again"
FORBIDDEN = "The slug of this release may not be fetched: deploy the release again"


class Away(Exception):
    """It could not be had for now; the text says why."""


class Body:
    """What arrives, counted; raises BadSlug past the limit and Away where it is cut off."""

    def __init__(self, answer: http.client.HTTPResponse, limit: int) -> None:
        self._answer = answer
        self._limit = limit
        self._expected = answer.length
        self.size = 0

    def read(self, size: int = -1) -> bytes:
        """The next bytes, as a file gives them."""
        try:
            chunk = self._answer.read(size)
        except (OSError, http.client.HTTPException) as fault:
            raise Away(f"the connection broke: {fault}") from fault
        self.size += len(chunk)
        if self.size > self._limit:
            raise BadSlug(f"The slug is larger than {self._limit} bytes")
        if not chunk and size and self._expected is not None and self.size < self._expected:
            raise Away("the answer was cut off")
        return chunk


def fetch(
    url: str, token: str, limit: int, take: "Take", patience: float = PATIENCE_SECONDS
) -> None:
    """Have `take` read the slug, over and over until it was whole. Raises BadSlug, Away."""
    until, pause = time.monotonic() + patience, FIRST_PAUSE
    said = ""
    while True:
        try:
            return once(url, token, limit, take)
        except Away as fault:
            if time.monotonic() + pause > until:
                raise
            if str(fault) != said:
                said = str(fault)
                sys.stderr.write(f"slugrunner: waiting for the slug: {said}\n")
                sys.stderr.flush()
        time.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)


def once(url: str, token: str, limit: int, take: "Take") -> None:
    """One try, redirects followed: another server is not shown the token."""
    origin = urllib.parse.urlsplit(url)[:2]
    for _ in range(REDIRECTS + 1):
        parts = urllib.parse.urlsplit(url)
        headers = {"Authorization": f"Bearer {token}"} if token and parts[:2] == origin else {}
        with closing(connection(parts)) as link:
            answer = asked(link, parts, headers)
            if answer.status not in MOVED:
                judge(answer.status)
                return taken(take, Body(answer, limit))
            url = urllib.parse.urljoin(url, answer.headers.get("Location", ""))
    raise BadSlug("The address of the slug leads in a circle")


def connection(parts: urllib.parse.SplitResult) -> http.client.HTTPConnection:
    """To the server of this address, not yet open. Raises BadSlug where it names none."""
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadSlug(NOWHERE)
    try:
        return kind(parts.hostname, parts.port, timeout=STALL_SECONDS)
    except ValueError:  # the port
        raise BadSlug(NOWHERE) from None


def asked(
    link: http.client.HTTPConnection, parts: urllib.parse.SplitResult, headers: dict[str, str]
) -> http.client.HTTPResponse:
    """The head of the answer. Raises Away, BadSlug."""
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        link.request("GET", target, headers=headers)
        return link.getresponse()
    except http.client.InvalidURL:
        raise BadSlug(NOWHERE) from None
    except (OSError, http.client.HTTPException) as fault:
        raise Away(f"artifacts is away: {str(fault) or type(fault).__name__}") from fault


def judge(status: int) -> None:
    """Raises BadSlug for an answer that stays, Away for one that may change."""
    if status in (404, 410):
        raise BadSlug(GONE)
    if status in (401, 403):
        raise BadSlug(FORBIDDEN)
    if status != 200:
        raise Away(f"artifacts answered {status}")


def taken(take: "Take", body: Body) -> None:
    """Read to its end, also past the end of the archive: it may have been cut off there."""
    take(body)
    while body.read(CHUNK):
        pass
