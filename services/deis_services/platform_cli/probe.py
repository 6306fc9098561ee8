"""Whether the platform answers: what a person would try first."""

import asyncio
import contextlib

PAUSES = (0.01, 0.25)


async def http_status(host: str, port: int, name: str, path: str) -> int:
    """Status of a GET; 0 when nobody answers."""
    try:
        async with asyncio.timeout(5.0):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                request = f"GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n"
                writer.write(request.encode())
                words = (await reader.readline()).split()
                return int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except (OSError, TimeoutError):
        return 0


async def until_it_answers(host: str, port: int, name: str, path: str) -> None:
    """Wait until a GET through the router gets anything but an error of ours."""
    pause, longest = PAUSES
    while not 200 <= await http_status(host, port, name, path) < 500:
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, longest)


async def until_listening(host: str, port: int) -> None:
    """Wait until somebody accepts connections there."""
    pause, longest = PAUSES
    while True:
        try:
            _, writer = await asyncio.open_connection(host, port)
        except OSError:
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, longest)
            continue
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return
