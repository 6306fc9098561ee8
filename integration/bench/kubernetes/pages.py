"""Asking the router for a page until it says what it should."""

import asyncio
import time

import aiohttp

GIVE_UP_SECONDS = 120.0
PAUSE_SECONDS = 0.004


async def says(session: aiohttp.ClientSession, address: str, host: str, text: str) -> float:
    """When (`time.monotonic`) the page first said this. Raises TimeoutError when it never does."""
    async with asyncio.timeout(GIVE_UP_SECONDS):
        while True:
            try:
                async with session.get(f"http://{address}/", headers={"Host": host}) as answer:
                    if answer.status == 200 and await answer.text() == text:
                        return time.monotonic()
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(PAUSE_SECONDS)
