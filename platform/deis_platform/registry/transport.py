"""Single requests to registries: bounded in time, size, redirects and attempts, and guarded.

Every connection is checked where it is made, by the address and not by the name, so that neither
a name that leads inside nor one that changes its mind does harm. Hosts that the operator lists
are not checked; they have connections of their own.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

from deis_bus.errors import Refused, Transient
from deis_platform.groups import RegistrySettings
from deis_platform.registry import addresses, faults
from deis_platform.registry.reference import Authority
from deis_platform.retry import delays
from deis_platform.settings import SettingsError

ATTEMPTS = 3
"""As api.md 25.1 has it."""
MAX_REDIRECTS = 3
MAX_BODY = 4 * 1024 * 1024
"""Manifests may have that much (OCI distribution specification); configurations have less."""
CONNECTIONS = 32
HEADERS = {"User-Agent": "deis-workflow", "Accept-Encoding": "identity"}
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_BUSY = 429
_NO_SUCH_NAME = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})


class Limits(NamedTuple):
    """Seconds."""

    connect: float = 5.0
    request: float = 15.0
    """One attempt, its redirects and the body included."""
    pause: float = 0.5
    """Before the second attempt; twice that before the third."""
    inspection: float = 60.0
    """All requests about one image."""


DEFAULTS = Limits()


class Answer(NamedTuple):
    """A whole answer."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes
    redirected: bool
    """It is not the host we asked that says so."""


class ForbiddenAddress(OSError):
    """We do not connect there. Always the same text: several of them are reported as one."""

    def __init__(self) -> None:
        super().__init__("forbidden address")


class Transport:
    """Made by `open_transport`."""

    def __init__(
        self,
        guarded: aiohttp.ClientSession,
        listed: aiohttp.ClientSession,
        insecure: frozenset[tuple[str, int]],
        limits: Limits,
    ) -> None:
        self._guarded = guarded
        self._listed = listed
        self._insecure = insecure
        self.limits = limits

    def is_insecure(self, host: str, port: int) -> bool:
        """Whether the operator says that this one speaks plain HTTP."""
        return (host, port or 80) in self._insecure

    async def ask(
        self,
        method: str,
        url: URL,
        headers: Mapping[str, str],
        *,
        plain: bool = False,
        redirects: int = MAX_REDIRECTS,
    ) -> Answer:
        """The answer below 500, whatever it says; tried three times.

        `headers` go to the host of `url` and not where it redirects to; `plain` allows to be
        redirected to HTTP. Raises Transient, Refused.
        """
        pauses = delays(self.limits.pause)
        for attempt in range(1, ATTEMPTS + 1):
            last = attempt == ATTEMPTS
            try:
                answer = await self._attempt(method, url, headers, plain, redirects)
            except Transient:
                if last:
                    raise
            else:
                if answer.status < 500 and (last or answer.status != _BUSY):
                    return answer
            if not last:
                await asyncio.sleep(next(pauses))
        raise faults.away(_shown(url))

    async def _attempt(
        self, method: str, url: URL, headers: Mapping[str, str], plain: bool, redirects: int
    ) -> Answer:
        """The first answer that is no redirect. Where it breaks, aiohttp connects a second time."""
        asked = url
        try:
            async with asyncio.timeout(self.limits.request):
                for hop in range(redirects + 1):
                    async with self._session_for(url).request(
                        method,
                        url,
                        headers=_only_accept(headers) if hop else headers,
                        allow_redirects=False,
                    ) as answer:
                        if answer.status not in _REDIRECTS:
                            return Answer(
                                answer.status, answer.headers, await _body(answer), hop > 0
                            )
                        url = _target(answer, plain)
        except (aiohttp.ClientError, OSError, TimeoutError) as fault:
            raise _fault_of(fault, _shown(url)) from None  # a fault may quote what was sent
        raise faults.nonsense(_shown(asked), "it redirects too often")

    def _session_for(self, url: URL) -> aiohttp.ClientSession:
        listed = (url.host or "", url.port or 0) in self._insecure
        return self._listed if listed else self._guarded


@contextlib.asynccontextmanager
async def open_transport(settings: RegistrySettings, limits: Limits) -> AsyncIterator[Transport]:
    """No connection is made yet. Raises SettingsError when the CA file cannot be read."""
    tls = await asyncio.to_thread(_tls, settings.ca_file)
    timeout = aiohttp.ClientTimeout(total=limits.request, sock_connect=limits.connect)
    async with (
        _session(tls, timeout, socket_factory=guarded_socket) as guarded,
        _session(tls, timeout) as listed,
    ):
        insecure = frozenset((one.host.lower(), one.port) for one in settings.insecure)
        yield Transport(guarded, listed, insecure, limits)


def guarded_socket(info: Any) -> socket.socket:
    """A socket for the connection that `info` describes. Raises ForbiddenAddress."""
    family, kind, protocol, _, address = info
    if addresses.forbidden(str(address[0])):
        raise ForbiddenAddress
    return socket.socket(family, kind, protocol)


def allowed(url: URL, *, plain: bool) -> bool:
    """Whether a URL that a registry gave may be asked at all."""
    schemes = {"https", "http"} if plain else {"https"}
    return url.scheme in schemes and bool(url.host)


def _session(
    tls: ssl.SSLContext, timeout: aiohttp.ClientTimeout, **options: Any
) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            ssl=tls, limit=CONNECTIONS, resolver=aiohttp.ThreadedResolver(), **options
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=HEADERS,
        timeout=timeout,
        # A small body that unpacks to a large one would pass the bound below.
        auto_decompress=False,
        trust_env=False,
    )


def _tls(ca_file: str) -> ssl.SSLContext:
    """The system's authorities, and those of the file."""
    context = ssl.create_default_context()
    if ca_file:
        try:
            context.load_verify_locations(cafile=ca_file)
        except OSError as fault:
            why = "no PEM" if isinstance(fault, ssl.SSLError) else fault.strerror
            raise SettingsError(f"DEIS_REGISTRY_CA_FILE: {ca_file} cannot be read: {why}") from None
    return context


def _only_accept(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in headers.items() if name == "Accept"}


def _target(answer: aiohttp.ClientResponse, plain: bool) -> URL:
    """Where a redirect leads. Raises Refused for what we do not follow."""
    try:
        url = answer.url.join(URL(answer.headers["Location"])).with_user(None)
    except (KeyError, ValueError):
        raise faults.nonsense(_shown(answer.url), "it redirects to no URL") from None
    if not allowed(url, plain=plain):
        raise faults.nonsense(_shown(answer.url), "it redirects to a URL without HTTPS")
    return url


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for piece in answer.content.iter_any():
        body += piece
        if len(body) > MAX_BODY:
            raise faults.nonsense(_shown(answer.url), f"it sends more than {MAX_BODY} bytes")
    return bytes(body)


def _fault_of(fault: Exception, host: str) -> Refused | Transient:
    """What trying again would not mend is refused."""
    if isinstance(fault, aiohttp.ClientConnectorCertificateError):
        return faults.unreachable(host, "its certificate is not trusted")
    if isinstance(fault, aiohttp.InvalidURL):
        return faults.nonsense(host, "it sends an address that is no URL")
    if isinstance(fault, aiohttp.ClientResponseError):
        return faults.nonsense(host, "it does not speak HTTP")
    cause = fault.os_error if isinstance(fault, aiohttp.ClientConnectorError) else fault
    if isinstance(cause, ForbiddenAddress):
        return faults.unreachable(host, "it is at an address that is closed to images")
    if isinstance(cause, socket.gaierror) and cause.errno in _NO_SUCH_NAME:
        return faults.unreachable(host, "no such host")
    if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError):
        return faults.unreachable(host, "it does not speak HTTPS")
    return faults.away(host)


def _shown(url: URL) -> str:
    """Host and port, the port only where it is not the scheme's own."""
    return str(Authority(url.host or "", 0 if url.is_default_port() else url.port or 0))
