"""Controllers as processes, and a runtime service made of the runtime in memory."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from deis_bus.contracts import runtime as contract
from deis_bus.ports import Bus, ServiceInfo
from deis_bus.rpc import Context, Empty, Handler, Method, endpoints
from deis_platform.runtime.memory import MemoryRuntime
from integration.servers import RunningNats, RunningPostgres

ROOT = Path(__file__).parent.parent


@asynccontextmanager
async def runtime_service(bus: Bus, runtime: MemoryRuntime) -> AsyncIterator[None]:
    """The runtime service's requests, answered by `runtime`."""

    def plain(answer: Callable[[Any], Awaitable[Any]]) -> Handler:
        async def answered(question: Any, _: Context) -> Any:
            return await answer(question) or Empty()

        return answered

    async def restarted(question: contract.Restart, _: Context) -> contract.Restarted:
        return contract.Restarted(await runtime.restart(question))

    async def stopped(question: contract.BuildStop, _: Context) -> Empty:
        await runtime.stop_build(question.id)
        return Empty()

    async def held(_question: Empty, _: Context) -> contract.HeldApps:
        return contract.HeldApps(await runtime.held(), epoch="1")

    handlers: dict[Method[Any, Any], Handler] = {
        contract.APPLY: plain(runtime.apply),
        contract.REMOVE: plain(runtime.remove),
        contract.STATUS: plain(runtime.status),
        contract.RUN: plain(runtime.run),
        contract.BUILD: plain(runtime.build),
        contract.RESTART: restarted,
        contract.BUILD_STOP: stopped,
        contract.HELD: held,
    }
    info = ServiceInfo(name="runtime", version="1.0.0")
    async with bus.serve(info, endpoints(handlers, _unexpected)):
        yield


def _unexpected(subject: str, fault: Exception) -> None:
    raise AssertionError(f"{subject} broke") from fault


class Processes:
    """Starts controllers; whatever still runs at the end is killed."""

    def __init__(self, folder: Path, nats: RunningNats, postgres: RunningPostgres) -> None:
        self._folder = folder
        self._environment = {
            "DEIS_NATS_URL": nats.url,
            "DEIS_DATABASE_URL": postgres.url,
            "DEIS_DATABASE_PASSWORD_FILE": str(postgres.password_file),
            "DEIS_SECRET_FILE": str(folder / "master.key"),
            "DEIS_OBJECTS_URL": f"file://{folder}/objects",
            "PATH": "/usr/bin:/bin",
            "PYTHONSAFEPATH": "1",
        }
        self._running: list[asyncio.subprocess.Process] = []

    async def start(self) -> asyncio.subprocess.Process:
        """One more replica."""
        with (self._folder / "controllers.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "deis_services.main", "run", "controller"),
                env=self._environment,
                cwd=self._folder,
                stdout=log,
                stderr=log,
            )
        self._running.append(process)
        return process

    def log(self) -> str:
        """What they have said so far."""
        return (self._folder / "controllers.log").read_text(encoding="utf-8")

    async def end(self) -> None:
        """Kill what still runs."""
        for process in self._running:
            if process.returncode is None:
                process.kill()
            await process.wait()
