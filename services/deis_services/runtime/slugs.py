"""A slug from `artifacts` to a folder: fetched, unpacked beside its place, then renamed into it."""

import asyncio
import secrets
import sys
from pathlib import Path

import aiohttp

from deis_bus.contracts.runtime import Artifact
from deis_bus.errors import Refused, Transient
from deis_platform import process
from deis_platform import slugs as unpacking
from deis_platform.retry import retry
from deis_platform.trees import remove_tree

CHUNK = 256 * 1024
FETCH_SECONDS = 30.0
"""How long `artifacts` may be away before the caller is told so."""
STALL = aiohttp.ClientTimeout(total=None, sock_connect=5.0, sock_read=30.0)
EXTRACT_SECONDS = 300.0
PART = ".part"
GONE = "The slug of this release is no longer in the object store: push again"


async def fetch_and_extract(artifact: Artifact, place: Path, limit_bytes: int) -> None:
    """Make the folder `place`, whole or not at all.

    Raises Refused 400 for a slug that is gone or may not run, Transient while `artifacts` or this
    machine's disk cannot give it.
    """
    part = part_of(place)
    archive = part.with_suffix(".tgz" + PART)
    try:
        await retry(lambda: _fetch(artifact, archive, limit_bytes), seconds=FETCH_SECONDS)
        await _extract(archive, part)
        part.rename(place)
    except OSError as fault:
        raise Transient(f"the slug cannot be stored: {fault.strerror}") from fault
    finally:
        await asyncio.to_thread(remove_tree, archive)
        await asyncio.to_thread(remove_tree, part)


def part_of(place: Path) -> Path:
    """A new name beside it for what is not whole; the next start removes what has one."""
    return place.with_name(f".{place.name}.{secrets.token_hex(4)}{PART}")


async def _fetch(artifact: Artifact, archive: Path, limit_bytes: int) -> None:
    headers = {"Authorization": f"Bearer {artifact.token}"} if artifact.token else {}
    try:
        async with (
            aiohttp.ClientSession(timeout=STALL) as session,
            session.get(artifact.url, headers=headers) as answer,
        ):
            _judge(answer.status)
            await _store(answer.content, archive, limit_bytes)
    except aiohttp.InvalidURL as fault:
        raise Refused(400, "The release names no address of its slug") from fault
    except (aiohttp.ClientError, TimeoutError) as fault:
        raise Transient(f"artifacts is away: {str(fault) or type(fault).__name__}") from fault


def _judge(status: int) -> None:
    if status in (404, 410):
        raise Refused(400, GONE)
    if status in (401, 403):
        raise Refused(400, "The slug of this release may not be fetched: deploy the release again")
    if status != 200:
        raise Transient(f"artifacts answered {status}")


async def _store(content: aiohttp.StreamReader, archive: Path, limit_bytes: int) -> None:
    size = 0
    with archive.open("wb") as out:
        async for chunk in content.iter_chunked(CHUNK):
            size += len(chunk)
            if size > limit_bytes:
                raise Refused(400, f"The slug is larger than {limit_bytes} bytes")
            await asyncio.to_thread(out.write, chunk)


async def _extract(archive: Path, folder: Path) -> None:
    argv = (sys.executable, "-I", "-S", "-E", unpacking.__file__, archive, folder)
    try:
        done = await process.run(argv, env={}, seconds=EXTRACT_SECONDS)
    except process.ProcessError as fault:
        raise Refused(400, f"The slug cannot be unpacked: {fault}") from fault
    if done.returncode == 0:
        return
    said = printable(done.stdout) or f"The slug cannot be unpacked (code {done.returncode})"
    if done.returncode == unpacking.LATER:
        raise Transient(said)
    raise Refused(400, said)


def printable(raw: bytes) -> str:
    """The words of a child, bounded, on one line."""
    text = " ".join(raw[:400].decode("utf-8", "replace").split())
    return "".join(letter for letter in text if letter.isprintable())
