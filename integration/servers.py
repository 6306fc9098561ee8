"""Real servers on free ports as contexts, for tests and benchmarks."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from deis_platform.embedded import binaries
from deis_platform.embedded.keeper import Keeper
from deis_platform.embedded.nats import Nats
from deis_platform.embedded.owners import postgres_owner
from deis_platform.embedded.postgres import Postgres
from deis_platform.embedded.secret_files import secret_file
from deis_platform.embedded.server import Program, Server


class RunningNats(msgspec.Struct, frozen=True):
    """A NATS server."""

    url: str
    program: Nats
    server: Server

    @property
    def streams(self) -> Path:
        """Where it keeps its streams, a folder each."""
        configuration = Path(self.program.command()[-1])
        return configuration.parent / "store" / "jetstream" / "$G" / "streams"


class RunningPostgres(msgspec.Struct, frozen=True):
    """A PostgreSQL server with one empty database."""

    url: str
    password_file: Path
    program: Postgres
    server: Server


@asynccontextmanager
async def serving(program: Program, keeper: Keeper, folder: Path) -> AsyncIterator[Server]:
    """The program up and kept up, stopped at the end."""
    server = Server(program, keeper, folder / f"{program.name}.log")
    await server.start()
    stop = asyncio.Event()
    task = asyncio.create_task(server.run(stop))
    try:
        yield server
    finally:
        stop.set()
        await task


@asynccontextmanager
async def nats_server(folder: Path, users: str = "") -> AsyncIterator[RunningNats]:
    """NATS with its data in `folder`; `users` is the configuration's block of users."""
    program = Nats(folder / "nats", binaries.nats_server(), lambda: users)
    async with (
        Keeper(folder, "nats-keeper") as keeper,
        serving(program, keeper, folder) as server,
    ):
        yield RunningNats(program.url, program, server)


@asynccontextmanager
async def postgres_server(folder: Path) -> AsyncIterator[RunningPostgres]:
    """PostgreSQL with its data in `folder`."""
    password = secret_file(folder, "postgres-password")
    program = Postgres(folder / "postgres", binaries.postgres(), password, postgres_owner())
    await program.prepare()
    # What a kill leaves behind lies with the system; only a power cut would need the disk.
    with (program.cluster / "postgresql.conf").open("a") as settings:
        settings.write("fsync = off\n")
    async with (
        Keeper(folder, "postgres-keeper") as keeper,
        serving(program, keeper, folder) as server,
    ):
        yield RunningPostgres(program.url, password, program, server)


async def until(
    condition: Callable[[], bool | Awaitable[bool]], what: str, seconds: float = 60.0
) -> None:
    """Wait for a condition of the outside world; raises AssertionError when it never comes."""
    never = asyncio.Event()
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while True:
        answer = condition()
        if answer if isinstance(answer, bool) else await answer:
            return
        if loop.time() > end:
            raise AssertionError(f"never: {what}")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(never.wait(), 0.01)
