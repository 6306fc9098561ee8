"""Logs: the newest lines, and every new one through broken connections (cli.md 6.1, 13)."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

import aiohttp

from deis_cli.core.apps import path
from deis_cli.core.client import Api
from deis_cli.core.resume import Resume
from deis_cli.errors import AWAY, FAILURE, NOT_FOUND, ApiError, CliError, Lost, explain

FOLLOWS = "Deis-Stream"
"""Header by which our gateway says that it follows; an original controller answers and ends."""
AGAIN_LINES = 1000
QUIET_SECONDS = 1.0
"""After which the lines that are given once more are taken for complete."""
NONE = "There are currently no log messages."


def nothing(fault: ApiError | None = None) -> CliError:
    """Why there are no lines, beginning with the words scripts look for."""
    if fault is None:
        return CliError(f"{NONE} The application has printed nothing yet; is it deployed?")
    if fault.status == 404:
        return CliError(f"{NONE} There is no such application: {fault}", NOT_FOUND)
    if fault.status >= 500:
        return CliError(f"{NONE} The platform's log service does not answer.", FAILURE)
    return CliError(f"{NONE} {fault}", fault.code)


async def tail(api: Api, app: str, lines: int = 0) -> str:
    """The newest lines; 0 takes the platform's number. Raises CliError when there are none."""
    query = {"log_lines": lines} if lines > 0 else {}
    try:
        reply = await api.send("GET", path(app, "logs"), query=query)
    except ApiError as fault:
        raise nothing(fault) from fault
    text = reply.raw.decode(errors="replace")
    if len(text) < 3:
        raise nothing()
    return text


async def follow(api: Api, app: str, lines: int, note: Callable[[str], None]) -> AsyncIterator[str]:
    """Lines, then every new one, until cancelled; a line that came before is not given again."""
    seen: deque[str] = deque(maxlen=AGAIN_LINES)
    pause = 0.2
    while True:
        wanted = AGAIN_LINES if seen else lines
        try:
            async with _opened(api, app, wanted) as answer:
                async for line in _new(answer, seen):
                    seen.append(line)
                    pause = 0.2
                    yield line
                if FOLLOWS not in answer.headers:
                    note("This controller cannot follow logs.")
                    return
        except (Lost, aiohttp.ClientError) as fault:
            note(f"{fault}; connecting again")
        await asyncio.sleep(pause)
        pause = min(pause * 2, 5.0)


class _opened:
    """The answer that follows; refusals are errors, an absent platform is Lost."""

    def __init__(self, api: Api, app: str, lines: int) -> None:
        query = {"follow": "true", "log_lines": lines or None}
        self._context = api.open("GET", path(app, "logs"), query=query)

    async def __aenter__(self) -> aiohttp.ClientResponse:
        answer = await self._context.__aenter__()
        if answer.status in AWAY:
            await self._context.__aexit__(None, None, None)
            raise Lost("the platform is away for the moment", sent=True)
        if answer.status >= 400:
            raw = await answer.read()
            await self._context.__aexit__(None, None, None)
            raise nothing(explain(answer.status, raw))
        return answer

    async def __aexit__(self, *ended: object) -> None:
        await self._context.__aexit__(None, None, None)


async def _new(answer: aiohttp.ClientResponse, seen: deque[str]) -> AsyncIterator[str]:
    """Lines of the answer behind the last one that was seen before."""
    resume = Resume(seen)
    while True:
        reading = asyncio.ensure_future(answer.content.readline())
        try:
            # Not wait_for: that would lose what of the line is here already.
            await asyncio.wait({reading}, timeout=QUIET_SECONDS if resume.searching else None)
            if not reading.done():
                for line in resume.give_up():
                    yield line
            raw = await reading
        finally:
            reading.cancel()
        if not raw:
            break
        for line in resume.take(raw.decode(errors="replace").rstrip("\r\n")):
            yield line
    for line in resume.give_up():
        yield line
