"""HTTP to the API server: two sessions, time limits, the token, and faults mapped once.

Short calls have connections of their own: watches, followed logs and web sockets each hold one for
minutes, and a hundred followed builds must not starve a write.
"""

import asyncio
import contextlib
import random
import socket
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any, TypeVar

import aiohttp
import msgspec

from deis_bus.errors import Refused, Transient
from deis_platform.kubernetes.access import Access
from deis_platform.kubernetes.faults import Busy, Forbidden, Unauthorized, fault_of
from deis_platform.kubernetes.tokens import Credential, Unreadable
from deis_platform.retry import delays

R = TypeVar("R")
Headers = dict[str, str]

CALL_SECONDS = 15.0
"""For a whole call: connection, answer, and the pauses the API server asks for."""
OPEN_SECONDS = 15.0
CONNECT_SECONDS = 5.0
CLOSE_SECONDS = 2.0
"""For the other end of a web socket to say goodbye."""
CALLS = 64
"""Connections at once; more calls wait for one, within their time."""
STREAMS = 1024
"""Connections at once; one more than that is Transient."""
MAX_BODY = 64 * 1024 * 1024
MAX_REFUSAL = 64 * 1024
MAX_FRAME = 8 * 1024 * 1024
STREAM_BUFFER = 64 * 1024
"""Bytes read ahead of who reads a stream slowly, per stream (aiohttp holds up to twice that)."""
STARTING_SECONDS = 15.0
"""So long after the last connection that was lost a refused right is not believed: an API server
that starts may say that it is ready, or not let us ask, before it knows our rights."""
MIN_PAUSE = 0.1
CHANNELS = "v5.channel.k8s.io"
JSON = "application/json"
_LOST = (aiohttp.ClientError, OSError, TimeoutError)
_KEEPALIVE = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
"""A machine that vanished is noticed within half a minute, on streams that are silent too. No
TCP_USER_TIMEOUT: it would end an attach to a program that does not read its input."""


class Transport:
    """Made by `open_transport`."""

    def __init__(
        self, calls: aiohttp.ClientSession, streams: aiohttp.ClientSession, way: Access
    ) -> None:
        self._calls = calls
        self._streams = streams
        self._way = way
        self._lost_at = float("-inf")
        """When a connection was lost or not had, by the loop's clock."""
        self._where: dict[str, Any] = {"ssl": way.tls or True, "server_hostname": way.hostname}

    async def call(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        body: object = None,
        content: str = JSON,
        accept: str = JSON,
    ) -> bytes:
        """The body of the answer. Raises Refused or Transient, after at most CALL_SECONDS."""
        data = None if body is None else msgspec.json.encode(body)
        named = {"Accept": accept} | ({} if body is None else {"Content-Type": content})

        async def ask(who: Headers) -> bytes:
            sent = {"params": params, "data": data, "headers": named | who}
            async with await self._opened(self._calls, method, path, sent) as answer:
                return await _whole(answer, MAX_BODY)

        with self._noted():
            async with asyncio.timeout(CALL_SECONDS) as limit:
                return await _patiently(lambda: self._as_us(ask), limit, method)

    @contextlib.asynccontextmanager
    async def stream(
        self, path: str, params: Mapping[str, str], *, silent: float | None, accept: str = JSON
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Chunks of a body as they come; `silent` seconds without one are a fault.

        The answer's head comes at once, that of a followed log before its first byte too. Raises
        Refused or Transient, while iterating too.
        """
        limits = aiohttp.ClientTimeout(connect=CONNECT_SECONDS, sock_read=silent)

        async def ask(who: Headers) -> aiohttp.ClientResponse:
            sent = {"params": params, "headers": {"Accept": accept} | who, "timeout": limits}
            return await self._opened(self._streams, "GET", path, sent)

        with self._noted():
            async with asyncio.timeout(OPEN_SECONDS):
                answer = await self._as_us(ask)
        async with answer:
            try:
                yield _chunks(answer)
            finally:
                # A body left before its end: TLS would say goodbye for up to 30 s, on a loop that
                # may be closed by then.
                left = answer.connection
                if left is not None and left.transport is not None:
                    left.transport.abort()

    async def socket(self, path: str, params: Mapping[str, str]) -> aiohttp.ClientWebSocketResponse:
        """A web socket of CHANNELS; the caller closes it. Raises Refused or Transient."""
        with self._noted():
            async with asyncio.timeout(OPEN_SECONDS):
                return await self._as_us(lambda who: self._upgraded(path, params, who))

    async def _upgraded(
        self, path: str, params: Mapping[str, str], who: Headers
    ) -> aiohttp.ClientWebSocketResponse:
        # Without aiohttp's heartbeat: it ends a socket whose reader is slow, for the answer to its
        # ping then waits in line. The kernel's keepalive does the same work.
        try:
            channel: aiohttp.ClientWebSocketResponse = await self._streams.ws_connect(
                self._way.server + path,
                params=params,
                headers=who,
                protocols=(CHANNELS,),
                max_msg_size=MAX_FRAME,
                timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_SECONDS),
                **self._where,
            )
        except aiohttp.WSServerHandshakeError as fault:
            # `from None`: the fault carries the request's headers, and so the token.
            raise fault_of(fault.status, b"") from None
        if channel.protocol != CHANNELS:
            await channel.close()
            raise Refused(501, f"the API server does not speak {CHANNELS}")
        return channel

    async def _as_us(self, ask: Callable[[Headers], Awaitable[R]]) -> R:
        """Asked with our token; once more where a right was refused, for an API server that has
        just started knows nobody's rights yet. Raises Transient as long as it is not ready, or was
        away a moment ago."""
        try:
            return await self._named(ask)
        except Forbidden as fault:
            if fault.kind != "forbidden":
                raise
            if self._was_away() or not await self._named(self._ready):
                raise Transient(f"the API server is starting: {fault.detail}") from None
        return await self._named(ask)

    @contextlib.contextmanager
    def _noted(self) -> Iterator[None]:
        """Lost connections become Transient, and are remembered."""
        try:
            yield
        except _LOST as fault:
            self._lost_at = asyncio.get_running_loop().time()
            raise Transient(f"the API server is away: {_name(fault)}") from None

    def _was_away(self) -> bool:
        return asyncio.get_running_loop().time() - self._lost_at < STARTING_SECONDS

    async def _ready(self, who: Headers) -> bool:
        """Whether it says so; who may not ask that is told what is true."""
        try:
            async with await self._opened(self._calls, "GET", "/readyz", {"headers": who}):
                return True
        except (Transient, Refused) as fault:
            return isinstance(fault, Refused)

    async def _named(self, ask: Callable[[Headers], Awaitable[R]]) -> R:
        """Asked with our token; once more with a newer one where it was refused."""
        try:
            held = await self._way.token.now()
            try:
                return await ask(_headers(held))
            except Unauthorized:
                newer = await self._way.token.instead_of(held)
                if newer.token == held.token:
                    raise
            return await ask(_headers(newer))
        except Unreadable as fault:
            raise Transient(f"no token for the API server: {fault}") from None

    async def _opened(
        self, session: aiohttp.ClientSession, method: str, path: str, sent: dict[str, Any]
    ) -> aiohttp.ClientResponse:
        """A successful answer, its body to come."""
        url = self._way.server + path
        answer = await session.request(method, url, allow_redirects=False, **sent, **self._where)
        if answer.status < 300:
            return answer
        async with answer:
            told = b""
            with contextlib.suppress(aiohttp.ClientError, Transient):  # the status says enough
                told = await _whole(answer, MAX_REFUSAL)
            raise fault_of(answer.status, told, answer.headers.get("Retry-After"))


@contextlib.asynccontextmanager
async def open_transport(way: Access) -> AsyncIterator[Transport]:
    """Both sessions; nothing is asked yet. At the end every connection is closed."""
    limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
    sockets = _Sockets()
    try:
        async with (
            aiohttp.ClientSession(connector=sockets.connector(CALLS), timeout=limits) as calls,
            aiohttp.ClientSession(
                connector=sockets.connector(STREAMS), timeout=limits, read_bufsize=STREAM_BUFFER
            ) as streams,
        ):
            yield Transport(calls, streams, way)
    finally:
        await sockets.closed()


class _Sockets:
    """The connections there are. A session that is closed does not wait for those that it has
    let go: TLS says goodbye on them a moment longer."""

    def __init__(self) -> None:
        self._made: weakref.WeakSet[socket.socket] = weakref.WeakSet()

    def connector(self, limit: int) -> aiohttp.TCPConnector:
        """For so many at once."""
        return aiohttp.TCPConnector(limit=limit, keepalive_timeout=30, socket_factory=self._socket)

    async def closed(self) -> None:
        """Wait for their end, bounded."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                for pause in delays(0.005, ceiling=0.1):
                    if all(made.fileno() < 0 for made in self._made):
                        return
                    await asyncio.sleep(pause)

    def _socket(self, address: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, _, _ = address
        made = socket.socket(family, kind, protocol)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE.items():
            if hasattr(socket, name):  # not every system has each
                made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        self._made.add(made)
        return made


async def _patiently(
    ask: Callable[[], Awaitable[bytes]], limit: asyncio.Timeout, method: str
) -> bytes:
    """Asked again when the API server says so and there is time left.

    A POST only after a 429: after another fault the object may be there.
    """
    clock = asyncio.get_running_loop()
    while True:
        try:
            return await ask()
        except Busy as busy:
            # All who were sent away at once shall not come back at once.
            pause = max(busy.seconds, MIN_PAUSE) * random.uniform(1, 1.25)  # noqa: S311
            late = clock.time() + pause >= (limit.when() or 0)
            if late or (method == "POST" and busy.status != 429):
                raise
        await asyncio.sleep(pause)


def _name(fault: BaseException) -> str:
    if isinstance(fault, TimeoutError):
        return "no answer in time"
    if isinstance(fault, aiohttp.ClientConnectorCertificateError):
        return f"its certificate is not trusted ({fault.certificate_error})"
    return str(fault) if isinstance(fault, aiohttp.ClientConnectorError) else type(fault).__name__


async def _chunks(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.content.iter_any():
            yield chunk
    except _LOST as fault:
        raise Transient(f"the API server went away: {_name(fault)}") from None


async def _whole(answer: aiohttp.ClientResponse, limit: int) -> bytes:
    """A body that is not longer than that."""
    parts, size = [], 0
    async for chunk in answer.content.iter_any():
        parts.append(chunk)
        size += len(chunk)
        if size > limit:
            raise Transient("the API server's answer is too long")
    return b"".join(parts)


def _headers(credential: Credential) -> Headers:
    # `identity`: a packed answer costs both sides more than the local network does.
    headers = {"Accept-Encoding": "identity", "User-Agent": "deis-workflow"}
    if credential.token:
        headers["Authorization"] = f"Bearer {credential.token}"
    return headers
