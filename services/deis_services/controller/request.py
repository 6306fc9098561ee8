"""One API request on its way through the controller, and what a handler is."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from deis_bus.api.table import Endpoint
from deis_bus.contracts.http import ApiAnswer, ApiCall
from deis_bus.events import Event
from deis_bus.subjects import PLATFORM
from deis_platform.database import Transaction
from deis_platform.events import announce
from deis_services.controller.callers import Caller
from deis_services.controller.deps import Deps
from deis_services.controller.model import App, User
from deis_services.controller.problem import Problem, missing, unauthorized


@dataclass(slots=True, kw_only=True)
class Request:
    """What a handler works with; `tx` is the request's one transaction."""

    deps: Deps
    call: ApiCall
    endpoint: Endpoint
    caller: Caller
    tx: Transaction
    prepared: Any = None
    """What the handler's `before` gave."""
    lines: list[tuple[App, str]] = field(default_factory=list)
    """Lines for applications' logs, sent once the transaction has committed."""
    nudges: list[str] = field(default_factory=list)
    """Identities of applications the reconciler should look at after the commit."""

    @property
    def user(self) -> User:
        """The caller's account; authorization has seen to it that there is one."""
        if self.caller.user is None:
            raise unauthorized()
        return self.caller.user

    @property
    def app(self) -> App:
        """The application of the path."""
        if self.caller.app is None:
            raise missing("App")
        return self.caller.app

    @property
    def body(self) -> dict[str, Any]:
        """The body as an object; an empty one for no body. Raises Problem 400."""
        return body_of(self.call)

    async def announce(self, event: Event, app: App | None = None) -> None:
        """Tell of a change in the same transaction; without an application, of the platform."""
        await announce(
            self.tx,
            app=app.id if app else PLATFORM,
            appuuid=app.uuid if app else "",
            event=event,
            actor=self.caller.user.username if self.caller.user else "",
            traceparent=self.call.traceparent,
            correlation=self.call.request_id,
        )

    def changed(self, app: App, line: str = "") -> None:
        """After the commit: wake the reconciler, and put a line into the application's log."""
        self.nudges.append(app.uuid)
        if line:
            self.lines.append((app, line))


Within = Callable[[Request], Awaitable[Any]]
Before = Callable[[Deps, ApiCall, Caller], Awaitable[Any]]
After = Callable[[Request, Any], Awaitable[ApiAnswer]]


class Handler(msgspec.Struct, frozen=True):
    """How an endpoint is answered: `within` the transaction; `before` and `after` outside it.

    `before` is for what is slow and needs no rows (hashing a password): it runs after
    authorization. `after` is for other services: it gets what `within` gave and answers.
    """

    within: Within
    before: Before | None = None
    after: After | None = None


def body_of(call: ApiCall) -> dict[str, Any]:
    """A request's body as an object; raises Problem 400 for anything else (api.md 1.3)."""
    raw = bytes(call.body)
    if not raw.strip():
        return {}
    try:
        body = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, RecursionError) as fault:
        raise Problem(400, {"detail": f"JSON parse error - {fault}"}) from fault
    if not isinstance(body, dict):
        text = f"Invalid data. Expected a dictionary, but got {type(body).__name__}."
        raise Problem(400, {"non_field_errors": [text]})
    return body


def answer(status: int, body: object = None) -> ApiAnswer:
    """An answer with a JSON body; None for an empty one."""
    raw = b"" if body is None else msgspec.json.encode(body)
    return ApiAnswer(status=status, body=msgspec.Raw(raw))
