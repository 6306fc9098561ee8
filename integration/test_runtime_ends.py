"""What the runtime service ends, loses or never had: nothing of it is left, nothing else goes."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from deis_bus import rpc, subjects
from deis_bus.codec import encode
from deis_bus.contracts.push import APPS_ALIVE, AppsAlive, AppsAliveAnswer
from deis_bus.contracts.runtime import AppRef
from deis_bus.events.apps import AppDestroyed
from deis_bus.ports import ServiceInfo
from deis_bus.routes import Upstreams, upstreams_key
from deis_bus.streams import ROUTES
from integration.machine_rig import Machine, fetch, machine_in, web
from integration.runtime_rig import answering
from integration.servers import until
from tests.behaviour.bus import envelope
from tests.behaviour.runtime import APP

pytestmark = pytest.mark.server


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    async with machine_in(tmp_path) as machine:
        yield machine


async def test_what_ignores_sigterm_and_what_forks_leaves_nothing(machine: Machine) -> None:
    async with machine.running():
        await machine.deploy(machine.spec(1, machine.sample("forker")))
        forked = machine.processes()
        assert len(forked) >= 2
        await machine.deploy(machine.spec(2, machine.sample("stubborn"), web(grace=0.2)))
        assert not forked & machine.processes()
        stubborn = machine.processes()
        await machine.deploy(machine.spec(3, machine.sample("worker")))
        assert not stubborn & machine.processes()
        await machine.runtime.remove(APP)
        assert machine.processes() == set()
        assert machine.router.up == {}
        assert not (machine.settings.folder / "apps" / APP.appuuid).exists()


async def test_a_service_that_stops_leaves_no_process_and_no_route(machine: Machine) -> None:
    async with machine.running():
        await machine.deploy(machine.spec(1, machine.sample("stubborn"), web(2)))
        assert len(machine.processes()) == 2
    assert machine.processes() == set()

    async def unrouted() -> bool:
        return await machine.bus.keys(ROUTES).get(upstreams_key(APP.app)) is None

    await until(unrouted, "the route is gone")  # the service waits a second for the answer, no more
    async with machine.running():
        assert await machine.runtime.held() == ()
        await machine.deploy(machine.spec(1, machine.sample("worker")))


async def test_routes_of_an_earlier_runtime_are_gone_before_anything_runs(
    machine: Machine,
) -> None:
    stale = Upstreams(app="shop", appuuid="u-9", generation=4, addresses=("127.0.0.1:9",))
    await machine.bus.keys(ROUTES).put(upstreams_key("shop"), msgspec.json.encode(stale))
    async with machine.running():
        assert await machine.bus.keys(ROUTES).get(upstreams_key("shop")) is None


async def test_without_the_bus_applications_run_and_come_back(machine: Machine) -> None:
    worker = machine.sample("worker")
    async with machine.running():
        before = (await machine.deploy(machine.spec(1, worker, web(2)))).instances
        machine.nats.server.signal(signal.SIGSTOP)
        try:
            assert await fetch(before[0].address) == "ok\n"
            pids = machine.processes()
            os.kill(min(pids), signal.SIGKILL)
            await until(lambda: len(machine.processes() - pids) == 1, "a new process")
        finally:
            machine.nats.server.signal(signal.SIGCONT)
        await answering(machine.runtime)
        status = await machine.status(lambda s: s.settled)
        assert {i.name for i in status.instances} == {i.name for i in before}
        os.kill(machine.nats.server.pid, signal.SIGKILL)
        await until(machine.bus.ready, "the bus is back")
        await answering(machine.runtime)
        status = await machine.deploy(machine.spec(2, worker))
        assert machine.router.addresses() == (status.instances[0].address,)


async def test_lost_routes_are_written_again(machine: Machine) -> None:
    async with machine.running():
        status = await machine.deploy(machine.spec(1, machine.sample("worker")))
        await machine.bus.keys(ROUTES).delete(upstreams_key(APP.app))
        await until(lambda: machine.router.addresses() == (), "lost")
        os.kill(machine.nats.server.pid, signal.SIGKILL)
        await until(
            lambda: machine.router.addresses() == (status.instances[0].address,), "written again"
        )


async def test_an_app_destroyed_meanwhile_leaves_no_folder(machine: Machine) -> None:
    worker = machine.sample("worker")
    folder = machine.settings.folder / "apps"
    async with machine.running():
        await machine.deploy(machine.spec(1, worker))
    kept = AppRef(app="kept", appuuid="2d0f1b9c-0a38-4a1f-8a55-fb4d2c5f3e11")
    (folder / kept.appuuid).mkdir()
    assert {path.name for path in folder.iterdir()} == {APP.appuuid, kept.appuuid}
    gone = envelope("app.destroyed", subject=APP.app, appuuid=APP.appuuid)
    subject = subjects.event(APP.app, "app.destroyed")
    await machine.bus.publish(subject, gone, encode(AppDestroyed(owner="ann")))
    async with machine.running():
        await until(lambda: not (folder / APP.appuuid).exists(), "the event was handled")
        assert (folder / kept.appuuid).exists()


async def test_what_the_controller_does_not_know_is_cleaned_up_at_start(machine: Machine) -> None:
    worker = machine.sample("worker")
    folder = machine.settings.folder / "apps"
    async with machine.running():
        await machine.deploy(machine.spec(1, worker))
    alive = "2d0f1b9c-0a38-4a1f-8a55-fb4d2c5f3e11"
    (folder / alive).mkdir()

    async def answer(question: AppsAlive, _: rpc.Context) -> AppsAliveAnswer:
        return AppsAliveAnswer(tuple({*question.appuuids} & {alive}))

    def unexpected(subject: str, fault: Exception) -> None:
        raise AssertionError(f"{subject}: {fault}")

    info = ServiceInfo(name="controller", version="1.0.0")
    endpoints = rpc.endpoints({APPS_ALIVE: answer}, unexpected)
    async with machine.bus.serve(info, endpoints), machine.running():
        await until(lambda: not (folder / APP.appuuid).exists(), "it was asked for")
        assert (folder / alive).exists()


async def test_a_name_with_a_new_owner_ends_what_the_old_one_ran(machine: Machine) -> None:
    worker = machine.sample("worker")
    other = "2d0f1b9c-0a38-4a1f-8a55-fb4d2c5f3e11"
    async with machine.running():
        old = (await machine.deploy(machine.spec(9, worker))).instances[0]
        taken = msgspec.structs.replace(machine.spec(1, worker), appuuid=other)
        await machine.runtime.apply(taken)

        async def replaced() -> bool:
            status = await machine.runtime.status(AppRef(app=APP.app, appuuid=other))
            return status.settled and (await machine.runtime.status(APP)).generation == 0

        await until(replaced, "only the new owner's")
        addresses = machine.router.addresses()
        assert len(addresses) == 1
        assert addresses[0] != old.address
        assert machine.router.up[APP.app].appuuid == other
        assert await fetch(addresses[0]) == "ok\n"


async def test_a_removal_does_not_go_on_beside_the_next_runtime(machine: Machine) -> None:
    stubborn = machine.sample("stubborn")
    other = "2d0f1b9c-0a38-4a1f-8a55-fb4d2c5f3e11"
    async with machine.running():
        await machine.deploy(machine.spec(9, stubborn, web(grace=3.0)))
        taken = msgspec.structs.replace(machine.spec(1, stubborn), appuuid=other)
        await machine.runtime.apply(taken)
    assert not [t for t in asyncio.all_tasks() if t.get_name() == f"remove {APP.app}"]


async def test_a_killed_runtime_leaves_nothing_and_starts_anew(machine: Machine) -> None:
    given = machine.settings
    environment = {
        "PATH": os.environ["PATH"],
        "DEIS_NATS_URL": machine.nats.url,
        "DEIS_RUNTIME_FOLDER": str(given.folder),
        "DEIS_RUNTIME_PORTS": f"{given.ports[0]}-{given.ports[-1]}",
    }
    command = (sys.executable, "-P", "-m", "deis_services.runtime")
    runtime = await asyncio.create_subprocess_exec(*command, env=environment)
    try:
        await answering(machine.runtime)
        await machine.deploy(machine.spec(7, machine.sample("forker")))
        assert len(machine.processes()) >= 2
    finally:
        runtime.kill()
        await runtime.wait()
    await until(lambda: machine.processes() == set(), "the keeper ended everything")
    async with machine.running():
        status = await machine.deploy(machine.spec(1, machine.sample("worker")))
        assert machine.router.addresses() == (status.instances[0].address,)
