"""Objects over HTTP, to and from `artifacts`: streamed, tried again while it is away.

Proxies of the environment are for package indexes, not for these, so no urllib here.
"""

import http.client
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, TypeVar

from deis_services.slugbuilder.errors import BuildError

TIMEOUT_SECONDS = 60.0
PAUSES = (0.2, 0.5, 1.0, 2.0, 4.0)
AWAY = (502, 503, 504)
CHUNK = 256 * 1024
T = TypeVar("T")


def fetch(url: str, token: str, path: Path) -> bool:
    """Store an object in a file; False when there is none. Raises BuildError."""

    def once() -> bool:
        with _answer("GET", url, token) as answer:
            if answer.status == 404:
                return False
            _expect(answer, url)
            with path.open("wb") as out:
                while chunk := answer.read(CHUNK):
                    out.write(chunk)
            if answer.length:  # the bytes that are missing: http.client is content without them
                raise ConnectionError("the answer was cut off")
            return True

    return _patiently(once, url)


def store(url: str, token: str, path: Path) -> None:
    """Put a file. Raises BuildError."""

    def once() -> None:
        with path.open("rb") as body, _answer("PUT", url, token, body) as answer:
            _expect(answer, url)
            answer.read()

    _patiently(once, url)


@contextmanager
def _answer(
    method: str, url: str, token: str, body: IO[bytes] | None = None
) -> Iterator[http.client.HTTPResponse]:
    parts = urllib.parse.urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    headers = {"Authorization": f"Bearer {token}"}
    if body is not None:
        headers["Content-Length"] = str(body.seek(0, 2))
        body.seek(0)
    host, port = parts.hostname or "", parts.port
    with closing(kind(host, port, timeout=TIMEOUT_SECONDS)) as connection:
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request(method, target, body=body, headers=headers)
        yield connection.getresponse()


def _expect(answer: http.client.HTTPResponse, url: str) -> None:
    if answer.status in AWAY:
        raise ConnectionError(f"{answer.status} {answer.reason}")
    if answer.status >= 300:
        raise BuildError(f"The object store answered {answer.status} for {_name(url)}")


def _patiently(once: Callable[[], T], url: str) -> T:
    fault: Exception | None = None
    for pause in (*PAUSES, 0.0):
        try:
            return once()
        except (OSError, http.client.HTTPException) as failed:
            fault = failed
            time.sleep(pause)
    raise BuildError(f"The object store is away ({_name(url)}): {fault}")


def _name(url: str) -> str:
    return urllib.parse.urlsplit(url).path.rsplit("/", 1)[-1]
