"""The embedded servers of one platform, or the outside ones that the settings name."""

import asyncio
from pathlib import Path

from deis_platform.embedded import binaries
from deis_platform.embedded.keeper import Keeper
from deis_platform.embedded.nats import Nats
from deis_platform.embedded.owners import postgres_owner
from deis_platform.embedded.postgres import Postgres
from deis_platform.embedded.secret_files import secret_file
from deis_platform.embedded.server import Server
from deis_services.platform_cli import bus_users
from deis_services.platform_cli.folder import DataFolder
from deis_services.platform_cli.options import Options
from deis_services.platform_cli.plan import Servers
from deis_services.platform_cli.room import Room


class Embedded:
    """NATS and PostgreSQL as children; `start` both, then run `parts`."""

    def __init__(self, options: Options, folder: DataFolder, keeper: Keeper) -> None:
        self._options = options
        self._folder = folder
        self._keeper = keeper
        self._nats: Nats | None = None
        self._postgres: Postgres | None = None
        self.parts: list[Server] = []

    async def start(self) -> None:
        """Start what is ours, in parallel. Raises ServerFailed, the others stopped again."""
        if not self._options.nats_url:
            binary = binaries.nats_server(self._options.nats_server)
            secrets = self._folder / "secrets"
            self._nats = Nats(
                self._folder / "nats", binary, lambda: bus_users.block(self._folder.path, secrets)
            )
            self._add(self._nats)
        if not self._options.database_url:
            self._postgres = Postgres(
                self._folder / "postgres",
                binaries.postgres(self._options.postgres_bin),
                self._password(),
                postgres_owner(self._options.postgres_user),
            )
            self._add(self._postgres)
        results = await asyncio.gather(
            *(server.start() for server in self.parts), return_exceptions=True
        )
        faults = [fault for fault in results if isinstance(fault, BaseException)]
        if faults:
            await self.stop()
            raise faults[0]

    async def stop(self) -> None:
        """Stop them in parallel."""
        await asyncio.gather(*(server.stop() for server in self.parts))

    @property
    def addresses(self) -> Servers:
        """What the services need to know; once `start` is through."""
        options = self._options
        nats, postgres = self._nats, self._postgres
        return Servers(
            nats_url=nats.url if nats else options.nats_url,
            nats_passwords=bus_users.password_files(self._folder / "secrets") if nats else {},
            database_url=postgres.url if postgres else options.database_url,
            database_password_file=str(self._password())
            if postgres
            else options.database_password_file,
            objects_url=options.objects_url or (self._folder / "objects").as_uri(),
        )

    def pids(self) -> dict[str, int]:
        """Process ids by server."""
        return {server.name: server.pid for server in self.parts}

    def watches(self) -> list[Room]:
        """What looks after them beside their own supervision."""
        name = self._nats.name if self._nats else ""
        return [Room(one, self._log_file(name)) for one in self.parts if one.name == name]

    def _add(self, program: Nats | Postgres) -> None:
        self.parts.append(Server(program, self._keeper, self._log_file(program.name)))

    def _log_file(self, name: str) -> Path:
        return self._folder / "logs" / f"{name}.log"

    def _password(self) -> Path:
        return secret_file(self._folder / "secrets", "postgres")
