"""How an operator's command reaches bus and database: the running platform's, or outside ones."""

import functools
import os
import shlex
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from deis_bus.errors import Transient, Unavailable
from deis_bus.ports import Bus
from deis_bus.streams import EVENTS
from deis_bus.users import OPERATOR
from deis_platform.buses import open_bus
from deis_platform.embedded.errors import ServerFailed
from deis_platform.groups import BusSettings, DatabaseSettings, ObjectsSettings
from deis_platform.retry import delays, retry
from deis_platform.settings import load
from deis_services.platform_cli import folder
from deis_services.platform_cli.options import Options, data_folder

T = TypeVar("T")
Faults = tuple[type[Exception], ...]

ANSWER_SECONDS = 5.0
"""How long a command waits for a bus that does not answer."""


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """Where things are; `ready` is empty while no platform runs on `data`."""

    data: Path
    options: Options
    ready: dict[str, Any]
    environ: Mapping[str, str]

    @property
    def embedded_nats(self) -> bool:
        """Whether the platform's NATS is its own, in its data folder."""
        return not self.options.nats_url and "nats" in self.ready.get("pids", {"nats": 0})

    @property
    def writes_users(self) -> bool:
        """Whether the users of NATS are ours to write: of the embedded one, or of the chart's."""
        return self.embedded_nats or bool(self.options.nats_pods)

    @property
    def embedded_postgres(self) -> bool:
        """The same for its PostgreSQL."""
        return not self.options.database_url and "postgres" in self.ready.get(
            "pids", {"postgres": 0}
        )

    @property
    def outside(self) -> tuple[str, ...]:
        """The servers that are somebody else's."""
        own = {"nats": self.embedded_nats, "postgres": self.embedded_postgres}
        return tuple(name for name, ours in own.items() if not ours)

    def bus(self) -> BusSettings:
        """As operator. Raises ServerFailed when there is no platform and no outside NATS."""
        if not self.embedded_nats:
            url = self.options.nats_url or str(self.ready["nats"])
            return load(BusSettings, {**self.environ, "DEIS_NATS_URL": url, **self._operator()})
        password = str(self.data / "secrets" / f"nats-{OPERATOR}")
        return BusSettings(url=str(self._running()["nats"]), user=OPERATOR, password_file=password)

    def _operator(self) -> dict[str, str]:
        """Where a service's environment also tells who the operator is: in its pod."""
        file = self.options.operator_password_file
        return {"DEIS_NATS_USER": OPERATOR, "DEIS_NATS_PASSWORD_FILE": file} if file else {}

    def database(self) -> DatabaseSettings:
        """Raises ServerFailed when there is no platform and no outside database."""
        if self.options.database_url:
            return load(DatabaseSettings, self.environ)
        ready = self._running()
        secret = str(self.data / "secrets" / "postgres") if self.embedded_postgres else ""
        password = secret or self.environ.get("DEIS_DATABASE_PASSWORD_FILE", "")
        return DatabaseSettings(url=str(ready["database"]), password_file=password)

    def bucket(self) -> ObjectsSettings | None:
        """The bucket of the running platform, else the one that the environment names; None where
        objects are files. Raises SettingsError."""
        told = {**self.environ, **self.ready.get("objects", {})}
        if not told.get("DEIS_OBJECTS_URL", "").startswith("s3:"):
            return None
        return load(ObjectsSettings, told)

    def command(self, *words: str) -> str:
        """A `deis-platform` command to type for this platform; in a pod there is no data folder."""
        where = [] if self.options.automations_secret else ["--data", str(self.data)]
        return shlex.join(["deis-platform", *words, *where])

    def _running(self) -> dict[str, Any]:
        if not self.ready:
            raise ServerFailed(
                f"no platform runs on {self.data}: start it with"
                f" `{self.command('up')}`, or name another folder with --data"
            )
        return self.ready


def reach(data: str | None, environ: Mapping[str, str] = os.environ) -> Reach:
    """Look where things are. Raises SettingsError for a wrong environment."""
    options = load(Options, environ)
    path = data_folder(data or options.data)
    try:
        ready = folder.running(path)
    except ServerFailed:
        ready = {}
    return Reach(data=path, options=options, ready=ready, environ=environ)


@asynccontextmanager
async def operator_bus(found: Reach) -> AsyncIterator[Bus]:
    """The bus as operator. Raises ServerFailed when it does not answer."""
    settings = found.bus()
    async with open_bus(settings, OPERATOR) as bus:
        await patiently(functools.partial(_there, bus), faults=(ServerFailed,))
        yield bus


async def patiently(call: Callable[[], Awaitable[T]], faults: Faults = (Transient,)) -> T:
    """What `call` gives, which may run twice: NATS ends its connections where its users change."""
    pauses = delays(0.05, ceiling=0.5)
    return await retry(call, seconds=ANSWER_SECONDS, faults=faults, pauses=pauses)


async def _there(bus: Bus) -> None:
    if not await bus.ready():
        raise ServerFailed("NATS does not answer: `deis-platform doctor` may tell why")
    try:
        await bus.stream_bounds(EVENTS.name)
    except Unavailable as fault:
        raise ServerFailed(
            f"NATS has no stream of events: the controller makes it ({fault})"
        ) from fault
