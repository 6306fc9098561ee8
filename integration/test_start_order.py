"""Services may start in any order, before their servers too (DESIGN 9): each waits for what it needs."""

import asyncio
import contextlib
import http.client
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from deis_services.platform_cli import certificate, probe
from deis_services.platform_cli.folder import opened
from deis_services.platform_cli.options import Options
from deis_services.platform_cli.plan import Plan, Servers, environments, make
from deis_services.platform_cli.services import SERVICES
from integration.person import Person
from integration.platform_up import Platform
from integration.sample_app import NAME, edition, registered, repository
from integration.servers import nats_server, postgres_server, until

pytestmark = [pytest.mark.server, pytest.mark.timeout(240)]

SERVERS = "the servers"
ORDERS = {
    "servers last": (*SERVICES, SERVERS),
    "servers between": (*SERVICES[3:], SERVERS, *SERVICES[:3]),
    "backwards": (SERVERS, *reversed(SERVICES)),
}


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
async def test_services_start_in_any_order(tmp_path: Path, order: tuple[str, ...]) -> None:
    place = tmp_path / "servers"
    place.mkdir(mode=0o711)
    place.chmod(0o711)
    open_ports = Options(port=0, https_port=0, ssh_port=0)
    with make(open_ports, tmp_path / "data") as plan, opened(plan.data):
        certificates = plan.data / "certificates"
        certificate.ensure(
            certificates / "platform.crt", certificates / "platform.key", plan.domain
        )
        async with contextlib.AsyncExitStack() as stack:
            told = await known_addresses(plan, place)
            for name in order:
                if name == SERVERS:
                    await stack.enter_async_context(postgres_server(place))
                    await stack.enter_async_context(nats_server(place))
                else:
                    await stack.enter_async_context(service(name, told[name], tmp_path))
            await serves(plan, tmp_path)


async def known_addresses(plan: Plan, place: Path) -> dict[str, dict[str, str]]:
    """The environment of each service; servers keep their addresses over a restart."""
    async with postgres_server(place) as postgres, nats_server(place) as nats:
        servers = Servers(
            nats_url=nats.url,
            nats_passwords={},
            database_url=postgres.url,
            database_password_file=str(postgres.password_file),
            objects_url=(plan.data / "objects").as_uri(),
        )
    base = {"PATH": os.environ["PATH"], "PYTHONSAFEPATH": "1"}
    return environments(plan, servers, Options(), base)


@contextlib.asynccontextmanager
async def service(name: str, environ: Mapping[str, str], folder: Path) -> AsyncIterator[None]:
    """`deis-platform run NAME` as a process of its own."""
    with (folder / f"{name}.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "deis_services.main", "run", name),
            env=environ,
            stdout=log,
            stderr=log,
        )
    try:
        # So that the order is one: the next starts once this one has said something.
        await until(lambda: bool((folder / f"{name}.log").stat().st_size), f"{name} has started")
        yield
        assert process.returncode is None, (folder / f"{name}.log").read_text()[-2000:]
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await process.wait()


async def serves(plan: Plan, folder: Path) -> None:
    """The main job, in short."""
    ready = {
        "api": plan.api_url,
        "git": plan.git_url,
        "http_port": plan.http_port,
        "gateway": f"http://127.0.0.1:{plan.gateway_port}",
    }
    platform = Platform(data=plan.data, process=None, ready=ready)
    await until(lambda: _answers(platform, folder), "a user can register", 60)
    async with asyncio.timeout(60):
        await probe.until_listening(plan.host, plan.ssh_port)
    person = await registered(platform, folder / "home")
    await repository(person, edition(0))
    await person.types("git", "push", "deis", "main", says=f"{NAME}:v2 deployed")
    assert await person.sees(f"{NAME}.localhost", plan.http_port) == (200, "edition 0")


async def _answers(platform: Platform, folder: Path) -> bool:
    try:
        status, _ = await Person(folder / "nobody").sees("deis.localhost", platform.port, "/v2/")
    except (OSError, http.client.HTTPException):
        return False  # nobody listens, or not to the end
    return status == 401
