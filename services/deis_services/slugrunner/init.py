"""`/runner/init` of the stack image: gets the slug into /app, then becomes the process.

`init start TYPE` or `init COMMAND…` (components.md 3.5). In this order: what is in /app already is
used, else the slug of SLUG_URL is fetched, else a gzip tar is read from standard input. SLUG_TOKEN,
SLUG_URL and SLUG_LIMIT_BYTES are taken out of the environment; the application never has them.

Exit codes: 1 where the slug may never run, 75 where it could not be had in time; a sentence is on
standard error. Built for a read-only root file system with volumes at /app and /tmp.
"""

import _signal  # type: ignore[import-not-found]  # `signal` itself takes 4 ms to import
import os
import sys

from deis_services.slugrunner import runner

TYPE_CHECKING = False  # importing typing would double the time of a start
if TYPE_CHECKING:
    from collections.abc import MutableMapping, Sequence
    from typing import NoReturn

    from deis_platform.slugs import Source

APP = "/app"
UNPACKING = ".deis-unpacking"
"""Lies in the folder while the slug in it is not whole."""
LIMIT_BYTES = 1024**3
REFUSED, LATER = 1, 75


def main(words: "Sequence[str]", folder: str = APP) -> None:
    """Never returns."""
    # The first process of a container ignores SIGTERM unless it says otherwise.
    _signal.signal(_signal.SIGTERM, lambda *_: sys.exit(143))
    os.umask(0o022)
    url, token, limit = take(os.environ)
    try:
        os.chdir(folder)
        if not filled(folder):
            fill(folder, url, token, limit)
    except OSError as fault:
        say_and_exit(f"The slug cannot be unpacked: {fault.strerror or fault}", LATER)
    runner.main(words)


def take(environ: "MutableMapping[str, str]") -> tuple[str, str, int]:
    """URL, token and the largest slug in bytes, out of the environment."""
    url, token = environ.pop("SLUG_URL", ""), environ.pop("SLUG_TOKEN", "")
    limit = environ.pop("SLUG_LIMIT_BYTES", "")
    return url, token, int(limit) if limit.isdecimal() else LIMIT_BYTES


def filled(folder: str) -> bool:
    """Whether a whole slug is there: baked into the image, or of this pod's container before."""
    names = os.listdir(folder)
    return bool(names) and UNPACKING not in names


def fill(folder: str, url: str, token: str, limit: int) -> None:
    """Unpack the slug; ends the process where there is none to be had. Raises OSError."""
    # Imported only where there is something to do: they take longer than Python's own start.
    from deis_platform.slugs import BadSlug
    from deis_services.slugrunner.fetch import Away, fetch

    mark = os.path.join(folder, UNPACKING)
    with open(mark, "wb"):
        pass
    try:
        if url:
            fetch(url, token, limit, lambda source: afresh(folder, source))
        elif sys.stdin is None or sys.stdin.isatty():
            say_and_exit("There is no slug: SLUG_URL is empty", REFUSED)
        else:
            afresh(folder, sys.stdin.buffer)
    except BadSlug as fault:
        say_and_exit(str(fault), REFUSED)
    except Away as fault:
        say_and_exit(f"The slug could not be fetched: {fault}", LATER)
    os.unlink(mark)


def afresh(folder: str, source: "Source") -> None:
    """Unpack into the folder; what an earlier try left is removed. Raises BadSlug, OSError."""
    import shutil

    from deis_platform.slugs import unpack

    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        elif entry.name != UNPACKING:
            os.unlink(entry.path)
    unpack(source, folder)


def say_and_exit(text: str, code: int) -> "NoReturn":
    """Tell the reader of the application's log, then end."""
    sys.stderr.write(f"slugrunner: {text}\n")
    sys.exit(code)
