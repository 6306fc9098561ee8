"""Load for a server: wrk where the machine has it, else a small generator of our own.

python -m integration.bench.load HOST:PORT PATH CONNECTIONS SECONDS HEADER…
"""

import asyncio
import json
import re
import shutil
import sys
import time
from collections.abc import Mapping
from typing import cast

import msgspec

WRK = shutil.which("wrk") or ""


class Result(msgspec.Struct, frozen=True):
    """What a run did."""

    requests: int
    seconds: float
    failed: int
    p50_ms: float
    p99_ms: float

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds


async def load(
    address: str,
    host: str,
    connections: int = 32,
    seconds: float = 2.0,
    *,
    path: str = "/",
    headers: Mapping[str, str] | None = None,
) -> Result:
    """GET over kept connections, as fast as it goes, from a process of its own."""
    fields = [f"{name}: {value}" for name, value in {"Host": host, **(headers or {})}.items()]
    if not WRK:
        own = ("-m", "integration.bench.load", address, path, str(connections), str(seconds))
        text = await _output(sys.executable, *own, *fields)
        return msgspec.json.decode(text, type=Result)
    text = await _output(
        *(WRK, "-t1", f"-c{connections}", f"-d{seconds:g}s", "--latency"),
        *(part for field in fields for part in ("-H", field)),
        f"http://{address}{path}",
    )
    done = re.search(r"(\d+) requests in ([\d.]+)s", text)
    if done is None:
        raise ValueError(f"wrk said: {text}")
    bad = sum(int(n) for n in re.findall(r"(?:Non-2xx or 3xx responses:|timeout) (\d+)", text))
    bad += sum(int(n) for n in re.findall(r"(?:connect|read|write) (\d+)", text))
    times = [_milliseconds(text, percent) for percent in (50, 99)]
    return Result(int(done[1]), float(done[2]), bad, *times)


def _milliseconds(text: str, percent: int) -> float:
    found = re.search(rf"^ +{percent}% +([\d.]+)(us|ms|s)$", text, re.MULTILINE)
    if found is None:
        raise ValueError(f"wrk said: {text}")
    return float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[found[2]]


async def _output(*argv: str) -> str:
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    if process.returncode != 0:
        raise ValueError(f"{argv[0]} ended with {process.returncode}")
    return out.decode()


class _Client(asyncio.Protocol):
    """One kept connection: the next request follows the answer to the last."""

    def __init__(self, request: bytes, until: float) -> None:
        self._request = request
        self._until = until
        self._buffer = b""
        self.requests = 0
        self.failed = 0
        self.times: list[float] = []
        self._asked = 0.0
        self.closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        at = head.lower().find(b"content-length: ")
        length = int(head[at + 16 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(body) < length:
            return
        self._buffer = b""
        self.requests += 1
        self.times.append(time.perf_counter() - self._asked)
        self.failed += not head.startswith(b"HTTP/1.1 200")
        if time.monotonic() < self._until:
            self._ask()
        else:
            self._transport.close()

    def _ask(self) -> None:
        self._asked = time.perf_counter()
        self._transport.write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:
        self.failed += exc is not None
        self.closed.set_result(None)


async def _generate(
    address: str, path: str, connections: int, seconds: float, fields: list[str]
) -> Result:
    name, _, port = address.rpartition(":")
    request = "\r\n".join([f"GET {path} HTTP/1.1", *fields, "", ""]).encode()
    loop = asyncio.get_running_loop()
    start = time.monotonic()
    clients = []
    for _ in range(connections):
        _, client = await loop.create_connection(
            lambda: _Client(request, start + seconds), name, int(port)
        )
        clients.append(client)
    await asyncio.gather(*(client.closed for client in clients))
    times = sorted(taken * 1000 for client in clients for taken in client.times)
    return Result(
        len(times),
        time.monotonic() - start,
        sum(client.failed for client in clients),
        times[len(times) // 2],
        times[len(times) * 99 // 100],
    )


def main() -> None:
    """The generator as a program."""
    import uvloop

    address, path, connections, seconds, *fields = sys.argv[1:]
    result = uvloop.run(_generate(address, path, int(connections), float(seconds), fields))
    sys.stdout.write(json.dumps(msgspec.structs.asdict(result)))


if __name__ == "__main__":
    main()
