"""A whole gateway on free ports of a bus, and somebody who answers in the controller's place."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from deis_bus.api.table import ENDPOINTS
from deis_bus.clock import new_id, timestamp
from deis_bus.contracts.access import (
    ACCESS_CHECK,
    VISIBLE,
    AccessAnswer,
    AccessCheck,
    Visible,
    VisibleAnswer,
    VisibleApp,
)
from deis_bus.contracts.http import (
    OPERATION_READ,
    ApiAnswer,
    ApiCall,
    OperationRead,
    OperationState,
    method,
)
from deis_bus.envelope import Envelope
from deis_bus.errors import Refused
from deis_bus.ports import Bus, ServiceInfo
from deis_bus.rpc import Context, endpoints
from deis_bus.subjects import event
from deis_platform.crypto import Keyring
from deis_platform.objects import DirectoryStore
from deis_platform.runner import run_parts
from deis_platform.settings import load
from deis_services.gateway.service import Parts
from deis_services.gateway.settings import Settings

TOKEN = "t" * 40
LOCAL = {
    "DEIS_GATEWAY_ADDRESS": "127.0.0.1:0",
    "DEIS_ARTIFACTS_ADDRESS": "127.0.0.1:0",
    "DEIS_HEALTH_ADDRESS": "127.0.0.1:0",
}
Answerer = Callable[[ApiCall], Awaitable[ApiAnswer]]


def json(status: int, body: object) -> ApiAnswer:
    """An answer with a JSON body."""
    return ApiAnswer(status=status, body=msgspec.Raw(msgspec.json.encode(body)))


class Controller:
    """Answers what a test tells it to, and remembers what it was asked."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.calls: list[ApiCall] = []
        self.answers: dict[str, ApiAnswer | Answerer] = {}
        """By endpoint; `{}` for the others."""
        self.visible: dict[str, str] = {}
        """Identities of applications by name: what everybody may use."""
        self.there: set[str] = set()
        """Applications that exist beside them."""
        self.admin = False
        self.known = True
        """Whether the token is one."""
        self.operations: dict[str, OperationState] = {}
        self.reads = 0
        self.looks = 0

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Answer while the context lasts."""
        handlers: dict[Any, Any] = {method(e.name): self._answer for e in ENDPOINTS}
        handlers |= {ACCESS_CHECK: self._check, VISIBLE: self._visible, OPERATION_READ: self._read}
        info = ServiceInfo(name="controller", version="1.0.0")
        async with self.bus.serve(info, endpoints(handlers, _unexpected)):
            yield

    async def announce(self, app: str, kind: str, body: object = None, appuuid: str = "") -> int:
        """An event as the relay publishes it."""
        envelope = Envelope(
            id=new_id(),
            type=kind,
            source="controller",
            time=timestamp(),
            subject=app,
            appuuid=appuuid or self.visible.get(app, ""),
        )
        return await self.bus.publish(event(app, kind), envelope, msgspec.json.encode(body or {}))

    async def end(self, operation: str, answer: ApiAnswer) -> None:
        """An operation comes to its end, and that is told."""
        self.operations[operation] = OperationState(
            operation=operation, state="succeeded", answer=answer
        )
        await self.announce("blog", "operation.done", _done(operation))

    async def _answer(self, call: ApiCall, _: Context) -> ApiAnswer:
        self.calls.append(call)
        answer = self.answers.get(call.endpoint) or json(200, {})
        return answer if isinstance(answer, ApiAnswer) else await answer(call)

    async def _check(self, question: AccessCheck, _: Context) -> AccessAnswer:
        if not self.known or not question.token:
            raise Refused(401, "Invalid token.")
        if question.app and question.app not in self.visible:
            raise Refused(403 if question.app in self.there else 404, "no")
        return AccessAnswer(username="ada", appuuid=self.visible.get(question.app, ""))

    async def _visible(self, _question: Visible, _: Context) -> VisibleAnswer:
        self.looks += 1
        if not self.known:
            raise Refused(401, "Invalid token.")
        apps = tuple(VisibleApp(app, appuuid) for app, appuuid in self.visible.items())
        return VisibleAnswer(username="ada", admin=self.admin, apps=apps)

    async def _read(self, question: OperationRead, _: Context) -> OperationState:
        self.reads += 1
        found = self.operations.get(question.operation)
        if found is None:
            raise Refused(404, "No Operation matches the given query.")
        return found


class Running:
    """A gateway that serves."""

    def __init__(self, parts: Parts, http: aiohttp.ClientSession, keyring: Keyring) -> None:
        self.parts = parts
        self.http = http
        self.keyring = keyring
        self.stop = asyncio.Event()

    def url(self, path: str) -> str:
        """A URL of the API."""
        return f"http://{self.parts.api.address}{path}"

    def object(self, key: str) -> str:
        """The URL of an object."""
        return f"http://{self.parts.artifacts.address}/artifacts/{key}"

    def ask(self, method: str, path: str, **more: Any) -> Any:
        """A request with a token, as a context."""
        headers = {"Authorization": f"token {TOKEN}"} | more.pop("headers", {})
        return self.http.request(method, self.url(path), headers=headers, **more)


@asynccontextmanager
async def gateway(bus: Bus, folder: Path, **settings: str) -> AsyncIterator[Running]:
    """A gateway; `settings` are environment variables."""
    secret = folder / "master.key"
    environ = {"DEIS_OBJECTS_URL": f"file://{folder}/objects", "DEIS_SECRET_FILE": str(secret)}
    loaded = load(Settings, LOCAL | environ | settings)
    parts = Parts(loaded, bus, DirectoryStore(folder / "objects"))
    async with aiohttp.ClientSession() as http:
        running = Running(parts, http, Keyring.open(secret))
        task = asyncio.create_task(run_parts(parts.all, running.stop))
        try:
            for server in (parts.api, parts.artifacts, parts.health):
                await server.serving.wait()
            yield running
        finally:
            running.stop.set()
            await task


def _unexpected(subject: str, fault: Exception) -> None:
    raise AssertionError(f"{subject} broke: {fault!r}") from fault


def _done(operation: str) -> dict[str, object]:
    return {"operation": operation, "kind": "config.set", "state": "succeeded"}
