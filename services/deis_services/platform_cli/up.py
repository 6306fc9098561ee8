"""`deis-platform up`: servers, services, and their end, in the foreground.

Start: servers in parallel, beside them the imports of the services; migrations; services as
restarting parts. End: services, then the router, then the servers. A second Ctrl-C ends at once;
the keeper then kills what is left.
"""

import asyncio
import contextlib
import gc
import os
import signal
import sys
import time
from collections.abc import Mapping
from importlib.metadata import version
from typing import TextIO, cast

from deis_platform import logs
from deis_platform.embedded.errors import ServerFailed
from deis_platform.embedded.keeper import Keeper
from deis_platform.logs import get_logger
from deis_platform.runner import Part, new_loop, restarting, run_parts
from deis_services.platform_cli import certificate, checks, probe, schema, screen
from deis_services.platform_cli.automation_end import AutomationsEnd
from deis_services.platform_cli.folder import DataFolder, opened
from deis_services.platform_cli.logfile import PlatformLog
from deis_services.platform_cli.options import Options, data_folder
from deis_services.platform_cli.parts import InProcess, OwnProcess
from deis_services.platform_cli.plan import (
    Plan,
    environments,
    make,
    objects_environment,
    own_environment,
)
from deis_services.platform_cli.reach import Reach
from deis_services.platform_cli.servers import Embedded
from deis_services.platform_cli.services import SERVICES, Door

log = get_logger(__name__)

SERVICES_GRACE = 30.0
ROUTER_GRACE = 15.0
SERVERS_GRACE = 25.0
INTERRUPTED = 130


def up(options: Options, environ: Mapping[str, str], door: Door) -> int:
    """Run the platform until a signal; the exit code. `door` imports a service by name."""
    started = time.monotonic()
    data = data_folder(options.data)
    wrong = [*checks.problems(options, data), *checks.objects(environ)]
    for line in wrong:
        screen.complain(line)
    if wrong:
        return 1
    try:
        with (
            opened(data) as folder,
            contextlib.closing(PlatformLog(folder.log_file, sys.stderr)) as stream,
        ):
            logs.set_up(level=options.log_level, stream=cast("TextIO", stream))
            with make(options, data) as plan, asyncio.Runner(loop_factory=new_loop) as runner:
                platform = Up(options, plan, folder, environ, door)
                runner.run(platform.run(started))
    except ServerFailed as fault:
        screen.complain(str(fault))
        return 1
    return 0


class Up:
    """One run of the platform."""

    def __init__(
        self,
        options: Options,
        plan: Plan,
        folder: DataFolder,
        environ: Mapping[str, str],
        door: Door,
    ) -> None:
        self._options = options
        self._plan = plan
        self._folder = folder
        self._environ = own_environment(environ)
        self._door = door
        self._names = options.services or SERVICES
        """All services, or those that DEIS_SERVICES names."""
        self._processes: list[OwnProcess] = []

    async def run(self, started: float) -> None:
        """Until SIGINT or SIGTERM. Raises ServerFailed when a server does not start."""
        stop = self._signals()
        async with Keeper(self._folder.path) as keeper:
            servers = Embedded(self._options, self._folder, keeper)
            try:
                await self._prepare(servers)
                await self._serve(servers, keeper, stop, started)
            finally:
                self._folder.withdraw()
                await servers.stop()

    async def _prepare(self, servers: Embedded) -> None:
        """Servers start while one thread imports what the services need.

        One thread, and nothing here imports meanwhile: two that meet in a circle of imports end
        in Python's deadlock error.
        """
        imports = asyncio.create_task(asyncio.to_thread(self._import_all))
        try:
            await servers.start()
        finally:
            await imports
        await schema.migrate(servers.addresses)

    def _import_all(self) -> None:
        for name in () if self._options.processes else self._names:
            try:
                self._door(name)
            except Exception as fault:  # noqa: BLE001 - one service must not stop the others
                log.warning("service cannot be imported", service=name, fault=repr(fault))
        self._certificate()

    def _certificate(self) -> None:
        if not self._options.certificate:
            place = self._folder / "certificates"
            certificate.ensure(place / "platform.crt", place / "platform.key", self._plan.domain)

    async def _serve(
        self, servers: Embedded, keeper: Keeper, stop: asyncio.Event, started: float
    ) -> None:
        parts = self._parts(servers, keeper)
        first = [part for part in parts if part.name != "router"]
        first.append(self._automations(servers))
        first += [restarting(watch) for watch in servers.watches()]
        last = [part for part in parts if part.name == "router"]
        ends = [asyncio.Event(), asyncio.Event(), asyncio.Event()]
        async with asyncio.TaskGroup() as group:
            stages = [
                group.create_task(run_parts(first, ends[0], SERVICES_GRACE)),
                group.create_task(run_parts(last, ends[1], ROUTER_GRACE)),
                group.create_task(run_parts(servers.parts, ends[2], SERVERS_GRACE)),
            ]
            ready = group.create_task(self._announce(servers, keeper, started))
            await stop.wait()
            ready.cancel()
            self._folder.withdraw()
            log.info("stopping")
            for end, stage in zip(ends, stages, strict=True):
                end.set()
                await stage

    def _parts(self, servers: Embedded, keeper: Keeper) -> list[Part]:
        told = environments(self._plan, servers.addresses, self._options, self._environ)
        if not self._options.processes:
            return [restarting(InProcess(name, told[name], self._door)) for name in self._names]
        self._processes = [
            OwnProcess(name, told[name], keeper, self._folder.log_file) for name in self._names
        ]
        return [restarting(process) for process in self._processes]

    def _automations(self, servers: Embedded) -> Part:
        """Automations end with their applications; the users of the bus are ours to write."""
        ready = {"nats": servers.addresses.nats_url, "pids": servers.pids()}
        found = Reach(
            data=self._plan.data, options=self._options, ready=ready, environ=self._environ
        )
        return restarting(AutomationsEnd(found))

    async def _announce(self, servers: Embedded, keeper: Keeper, started: float) -> None:
        """Once everything answers: ready.json, and the addresses on the terminal."""
        plan = self._plan
        if "router" in self._names:
            name, path = plan.host, "/healthz"  # without a gateway, of the router itself
            if "gateway" in self._names:
                name, path = f"deis.{plan.domain}", "/v2/"
            await probe.until_it_answers(plan.host, plan.http_port, name, path)
        if "builder" in self._names:
            await probe.until_listening(plan.host, plan.ssh_port)
        gc.collect()
        gc.freeze()
        self._folder.announce(self._ready(servers, keeper))
        seconds = time.monotonic() - started
        log.info("ready", seconds=round(seconds, 3))
        first = self._folder.first
        screen.say(screen.welcome(plan, version("deis-workflow"), seconds, first=first))

    def _ready(self, servers: Embedded, keeper: Keeper) -> dict[str, object]:
        plan, addresses = self._plan, servers.addresses
        processes = {process.name: process.pid for process in self._processes}
        return {
            "version": version("deis-workflow"),
            "api": plan.api_url,
            "git": plan.git_url,
            "host": plan.host,
            "domain": plan.domain,
            "http_port": plan.http_port,
            "https_port": plan.https_port,
            "ssh_port": plan.ssh_port,
            "gateway": f"http://127.0.0.1:{plan.gateway_port}",
            "nats": addresses.nats_url,
            "database": addresses.database_url,
            "objects": objects_environment(addresses, self._environ),
            "data": str(plan.data),
            "services": list(self._names),
            "pid": os.getpid(),
            "pids": {"keeper": keeper.pid, **servers.pids(), **processes},
        }

    def _signals(self) -> asyncio.Event:
        """Set by the first signal; the second ends the process at once."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()

        def on_signal() -> None:
            if stop.is_set():
                self._folder.withdraw()
                os._exit(INTERRUPTED)  # the keepers kill what is left
            stop.set()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, on_signal)
        return stop
