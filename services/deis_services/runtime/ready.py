"""Whether an instance is ready: its probe, else a TCP connection to its port (DESIGN 6).

A process that takes no requests is ready once it has lived for `SETTLE_SECONDS`. Only a health
check over HTTP goes on being asked: a process that lives but does not answer gets no requests.
"""

import asyncio
import contextlib
from collections.abc import Callable

import aiohttp

from deis_bus.contracts.runtime import Probe
from deis_services.runtime.ports import HOST

SETTLE_SECONDS = 1.0
"""A process without requests that fails at its start does so within this time, mostly."""
FIRST_LOOK = 0.01
LONGEST_LOOK = 0.1
CONNECT_SECONDS = 1.0

Say = Callable[[str], None]


async def until_ready(port: int, probe: Probe | None, routable: bool, say: Say) -> None:
    """Return once the instance is ready. `say` hears, in words for the user, what is missing."""
    if probe is not None:
        await asyncio.sleep(probe.initial_delay_seconds)
    if probe is not None and probe.path:
        await _http(port, probe, say)
    elif probe is not None or routable:
        await _tcp(port, say)
    else:
        await asyncio.sleep(SETTLE_SECONDS)


async def _tcp(port: int, say: Say) -> None:
    pause = FIRST_LOOK
    while not await connects(port):
        say(f"nothing listens on its PORT ({port})")
        await asyncio.sleep(pause)
        pause = min(LONGEST_LOOK, pause * 1.5)


async def connects(port: int) -> bool:
    """Whether somebody accepts a connection there."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(HOST, port)
    except (OSError, TimeoutError):
        return False
    # Without a listener a connection within one machine may meet itself.
    itself = writer.get_extra_info("sockname") == writer.get_extra_info("peername")
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return not itself


async def until_unready(port: int, probe: Probe, say: Say) -> None:
    """Return once the health check has failed as often in a row as the probe says."""
    failures = 0
    async with _session(probe) as session:
        while failures < max(1, probe.failure_threshold):
            await asyncio.sleep(max(LONGEST_LOOK, probe.period_seconds))
            failures = 0 if await _healthy(session, port, probe.path, say) is None else failures + 1


async def _http(port: int, probe: Probe, say: Say) -> None:
    async with _session(probe) as session:
        while (found := await _healthy(session, port, probe.path, say)) is not None:
            # What does not listen yet is asked sooner than what answered that it is not ready.
            soon = LONGEST_LOOK if isinstance(found, str) else probe.period_seconds
            await asyncio.sleep(min(soon, probe.period_seconds))


def _session(probe: Probe) -> aiohttp.ClientSession:
    """Each question has a connection of its own: a kept one may be closed meanwhile."""
    timeout = aiohttp.ClientTimeout(total=probe.timeout_seconds)
    return aiohttp.ClientSession(
        timeout=timeout,
        auto_decompress=False,
        connector=aiohttp.TCPConnector(force_close=True),
        cookie_jar=aiohttp.DummyCookieJar(),
    )


async def _healthy(
    session: aiohttp.ClientSession, port: int, path: str, say: Say
) -> int | str | None:
    """None for 200 to 399, else the status or what happened, which `say` hears too."""
    found = await _status(session, port, path)
    if isinstance(found, int) and 200 <= found < 400:
        return None
    said = f"answered {found}" if isinstance(found, int) else found
    say(f"its health check GET {path} {said}")
    return found


async def _status(session: aiohttp.ClientSession, port: int, path: str) -> int | str:
    url = f"http://{HOST}:{port}/{path.lstrip('/')}"
    try:
        async with session.get(url, allow_redirects=False) as answer:
            return answer.status
    except TimeoutError:
        return "did not answer in time"
    except (aiohttp.ClientError, OSError, ValueError):
        return "got no answer"
