"""The HTTP client: one request in, one decoded answer or one error out (cli.md 3)."""

import errno
import os
import re
import ssl
import urllib.request
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import aiohttp
import msgspec

from deis_cli import API_VERSION, VERSION
from deis_cli.core.models import Platform
from deis_cli.core.resolver import LocalResolver, is_local
from deis_cli.errors import AWAY, CliError, Lost, explain

T = TypeVar("T")
CONNECT_SECONDS = 10.0
Skew = Callable[[str], None]


class Reply(msgspec.Struct, frozen=True):
    """A successful answer."""

    status: int
    headers: Mapping[str, str]
    raw: bytes

    def decode(self, kind: type[T]) -> T:
        """The body as a typed value. Raises CliError when it is something else."""
        try:
            return msgspec.json.decode(self.raw, type=kind)
        except msgspec.MsgspecError as fault:
            raise CliError(f"The controller's answer is not understood: {fault}") from fault


class Api:
    """A controller, spoken to as somebody or (empty token) as nobody."""

    def __init__(
        self, controller: str, token: str = "", *, verify: bool = True, skew: Skew | None = None
    ) -> None:
        self.controller = controller.rstrip("/")
        self._token = token
        self._verify = verify
        self._skew = skew
        self._session: aiohttp.ClientSession | None = None
        self._ours: bool | None = None

    async def __aenter__(self) -> "Api":
        tls: ssl.SSLContext | bool = ssl.create_default_context() if self._verify else False
        secure = self.controller.startswith("https:")
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(resolver=LocalResolver(), ssl=tls if secure else True),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
            headers={"User-Agent": f"Deis Client v{VERSION}"},
            auto_decompress=True,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    @property
    def http(self) -> aiohttp.ClientSession:
        """The open session."""
        if self._session is None:
            raise RuntimeError("the client is not open")
        return self._session

    def url(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        """Absolute URL of a path whose parts are quoted already (see `part`)."""
        import yarl

        given = {key: str(value) for key, value in (query or {}).items() if value is not None}
        text = self.controller + path + (f"?{urlencode(given)}" if given else "")
        return yarl.URL(text, encoded=True)

    def headers(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Headers of every request."""
        headers = {"Content-Type": "application/json", **(more or {})}
        if self._token:
            headers["Authorization"] = f"token {self._token}"
        return headers

    def proxy(self) -> str | None:
        """The proxy of the environment; never for this machine (cli.md 1.5)."""
        target = urlsplit(self.controller)
        host = target.hostname or ""
        if is_local(host) or urllib.request.proxy_bypass(host):
            return None
        return urllib.request.getproxies().get(target.scheme)

    async def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """One request. Raises ApiError for a refusal and Lost when there was no answer."""
        reply = await self.ask(method, path, body, query=query, headers=headers)
        if reply.status >= 400:
            raise explain(reply.status, reply.raw)
        self._check_version(reply.headers)
        return reply

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """One request and its answer, whatever its status."""
        async with self.open(method, path, body, query=query, headers=headers) as answer:
            with _network(sent=True):
                raw = await answer.read()
            return Reply(answer.status, answer.headers, raw)

    @asynccontextmanager
    async def open(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer with its body still to be read, for streams."""
        data = None if body is None else msgspec.json.encode(body)
        with _network(sent=True):
            answer = await self.http.request(
                method,
                self.url(path, query),
                data=data,
                headers=self.headers(headers),
                proxy=self.proxy(),
                allow_redirects=False,
            )
        try:
            self._refuse_redirect(answer)
            yield answer
        finally:
            answer.release()

    def _refuse_redirect(self, answer: aiohttp.ClientResponse) -> None:
        if answer.status not in (301, 302, 303, 307, 308):
            return
        target = answer.headers.get("Location", "")
        where = urlsplit(target)
        if where.scheme == "https" and self.controller.startswith("http:"):
            raise CliError(f"The controller wants HTTPS: log in again with https://{where.netloc}")
        raise CliError(f"{self.controller} sends us elsewhere: {target}")

    def _check_version(self, headers: Mapping[str, str]) -> None:
        server = headers.get("DEIS_API_VERSION", "")
        if self._skew is not None and not understands(server):
            self._skew(server)

    async def ours(self) -> bool:
        """Whether the controller has what we added to the original API (DESIGN 5)."""
        if self._ours is None:
            self._ours = await self._told() is not None
        return self._ours

    async def platform(self) -> Platform:
        """What it says about itself; empty from an original controller."""
        return await self._told() or Platform()

    async def _told(self) -> Platform | None:
        reply = await self.ask("GET", "/v2/platform")
        if reply.status >= 500:
            # Away is not the same as original: who it is cannot be said now.
            raise Lost(f"the platform is away for the moment ({reply.status})", sent=True)
        return reply.decode(Platform) if reply.status == 200 else None

    async def get(self, path: str, kind: type[T], **query: Any) -> T:
        """GET and decode."""
        return (await self.send("GET", path, query=query)).decode(kind)


async def refuse(answer: aiohttp.ClientResponse) -> None:
    """Nothing for a success; raises Lost where the platform is away, else what was refused."""
    if answer.status in AWAY:
        raise Lost("the platform is away for the moment", sent=True)
    if answer.status >= 400:
        raise explain(answer.status, await answer.read())


def understands(server: str) -> bool:
    """Whether a server's API version suits this client: same major, minor not lower."""
    try:
        major, minor = (int(part) for part in server.split(".")[:2])
    except ValueError:
        return False
    own_major, own_minor = (int(part) for part in API_VERSION.split("."))
    return major == own_major and minor >= own_minor


def part(text: object) -> str:
    """A value as one part of a path."""
    return quote(str(text), safe="")


class _network:
    """Maps aiohttp's errors to Lost, in one place."""

    def __init__(self, *, sent: bool) -> None:
        self._sent = sent

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(fault, aiohttp.InvalidURL):
            raise CliError(f"This is no URL: {fault}") from fault
        if isinstance(fault, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
            raise Lost(_unreached(fault), sent=False) from fault
        if isinstance(fault, aiohttp.ClientError | TimeoutError | OSError):
            text = str(fault) or type(fault).__name__
            raise Lost(f"the connection was lost: {text}", sent=self._sent) from fault


def _unreached(fault: aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError) -> str:
    """Who could not be reached and why, in the system's own words."""
    if not isinstance(fault, aiohttp.ClientConnectorError):
        return str(fault) or "cannot connect"
    text = f"Cannot connect to {fault.host}:{fault.port}"
    if isinstance(fault, aiohttp.ClientConnectorCertificateError):
        why = getattr(fault.certificate_error, "verify_message", "") or str(fault)
        return f"{text}: {why}. A certificate of your own is let pass with `--ssl-verify=false`."
    reason = str(fault.os_error)
    # Several addresses were tried: said once when all answered alike.
    numbers = set(re.findall(r"\[Errno (\d+)\]", reason))
    if len(numbers) == 1:
        number = int(numbers.pop())
        running = " Is the platform running?" if number == errno.ECONNREFUSED else ""
        return f"{text}: {os.strerror(number)}.{running}"
    return f"{text}: {fault.os_error.strerror or reason}"
