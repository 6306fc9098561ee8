"""The runtime service when things go wrong, and what nobody may notice when they go right."""

import asyncio
import contextlib
import dataclasses
import itertools
import os
import re
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from deis_bus import rpc, subjects
from deis_bus.codec import encode
from deis_bus.contracts.push import APPS_ALIVE, AppsAlive, AppsAliveAnswer
from deis_bus.contracts.runtime import AppRef, AppSpec, AppStatus, Artifact, Probe, Process, Restart
from deis_bus.errors import Refused, Transient
from deis_bus.events.apps import AppDestroyed
from deis_bus.jetstream import JetStreamBus, connect
from deis_bus.ports import ServiceInfo, Subscription
from deis_bus.routes import Upstreams, upstreams_key
from deis_bus.streams import BUCKETS, ROUTES, STREAMS
from deis_platform.runtime.local import LocalRuntime
from deis_services.runtime import routes
from integration.runtime_rig import (
    APPS,
    Artifacts,
    Router,
    answering,
    following,
    service,
    settings,
    slug,
)
from integration.servers import RunningNats, nats_server, until
from tests.behaviour.bus import envelope
from tests.behaviour.runtime import APP

pytestmark = pytest.mark.server


class Machine:
    """A bus, artifacts, a router, and the folder of a runtime that may run or not."""

    def __init__(self, folder: Path, nats: RunningNats, bus: JetStreamBus, router: Router) -> None:
        self.nats = nats
        self.bus = bus
        self.router = router
        self.artifacts = Artifacts()
        self.runtime = LocalRuntime(bus)
        self.settings = settings(nats.url, folder)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The service, until the end of the context."""
        async with service(self.settings):
            await answering(self.runtime)
            yield

    def sample(self, name: str, **extra: str) -> Artifact:
        """One of the sample applications, with more files."""
        return self.artifacts.add(name, slug(APPS / name, extra))

    def spec(
        self, generation: int, artifact: Artifact, *processes: Process, **more: float
    ) -> AppSpec:
        """A release numbered like its generation."""
        return self.release(generation, generation, artifact, *processes, **more)

    def release(
        self, generation: int, release: int, artifact: Artifact, *processes: Process, **more: float
    ) -> AppSpec:
        """A spec; without processes one web server."""
        return AppSpec(
            app=APP.app,
            appuuid=APP.appuuid,
            generation=generation,
            release=release,
            artifact=artifact,
            environment={"WORKFLOW_RELEASE": f"v{release}"},
            processes=processes or (web(),),
            **more,  # type: ignore[arg-type]
        )

    async def deploy(self, spec: AppSpec) -> AppStatus:
        """Apply and wait until it is all there is."""

        async def applied() -> bool:
            with contextlib.suppress(Transient):
                await self.runtime.apply(spec)
                return True
            return False

        await until(applied, "the spec is taken")
        return await self.status(lambda s: s.settled and s.generation == spec.generation)

    async def status(self, condition: Callable[[AppStatus], bool]) -> AppStatus:
        """The first status that fulfils it; the bus may be away for a moment."""
        found: list[AppStatus] = []

        async def holds() -> bool:
            with contextlib.suppress(Transient):
                found[:] = [await self.runtime.status(APP)]
                return condition(found[0])
            return False

        try:
            await until(holds, "that status")
        except AssertionError:
            raise AssertionError(f"never: last was {found}") from None
        return found[0]

    def gate(self) -> tuple[Path, str]:
        """A file, and the command of a web server that ends at once while the file is away."""
        gate = self.settings.folder.parent / "gate"
        gate.touch()
        return gate, f"test -e {gate} && exec python3 server; exit 3"

    def processes(self) -> set[int]:
        """Everything that runs with a HOME in the runtime's folder."""
        home = b"HOME=" + bytes(self.settings.folder)
        return {int(p.name) for p in Path("/proc").iterdir() if _has(p, home)}

    @contextlib.asynccontextmanager
    async def lines(self) -> AsyncIterator[list[str]]:
        """The log lines that are shipped meanwhile."""
        lines: list[str] = []

        async def hear(heard: Subscription) -> None:
            async for batch in heard:
                assert batch.headers["appuuid"] == APP.appuuid
                lines.extend(batch.data.decode().split("\n"))

        async with self.bus.subscribe(subjects.log(APP.app)) as heard:
            hearing = asyncio.create_task(hear(heard))
            yield lines
            hearing.cancel()

    @contextlib.asynccontextmanager
    async def reports(self) -> AsyncIterator[list[tuple[str, dict[str, Any]]]]:
        """What is reported meanwhile: type and event."""
        told: list[tuple[str, dict[str, Any]]] = []

        async def hear(heard: Subscription) -> None:
            async for report in heard:
                assert report.headers["ce-appuuid"] == APP.appuuid
                told.append((report.headers["ce-type"], msgspec.json.decode(report.data)))

        async with self.bus.subscribe(subjects.REPORTS) as heard:
            hearing = asyncio.create_task(hear(heard))
            yield told
            hearing.cancel()


def _has(process: Path, home: bytes) -> bool:
    if not process.name.isdigit():
        return False
    try:
        return home in (process / "environ").read_bytes()
    except OSError:
        return False


def web(count: int = 1, command: str = "python3 server", grace: float = 5.0) -> Process:
    """The routable process type."""
    return Process(type="web", count=count, command=command, routable=True, grace_seconds=grace)


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    async with (
        nats_server(tmp_path) as nats,
        connect(nats.url, "controller") as bus,
        connect(nats.url, "router") as routers,
    ):
        await bus.ensure(STREAMS, BUCKETS)
        async with following(routers) as router:
            machine = Machine(tmp_path, nats, bus, router)
            async with machine.artifacts.serving():
                yield machine
                assert machine.processes() == set(), "left behind"


def states(told: list[tuple[str, dict[str, Any]]]) -> list[str]:
    """The states that were reported, in order."""
    return [event["state"] for kind, event in told if kind == "instance.changed"]


async def fetch(address: str, path: str = "/") -> str:
    """The page of an instance, over a connection of its own."""
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session,
        session.get(f"http://{address}{path}") as answer,
    ):
        answer.raise_for_status()
        return await answer.text()


async def test_no_request_fails_while_one_instance_is_deployed_scaled_and_restarted(
    machine: Machine,
) -> None:
    failures: list[str] = []
    served = 0

    async def fault_of(address: str) -> str:
        nonlocal served
        try:
            await fetch(address)
        except (aiohttp.ClientError, OSError) as fault:
            return f"{address}: {fault!r}"
        served += 1
        return ""

    async def visit() -> None:
        while True:
            addresses = machine.router.addresses()
            if not addresses:
                failures.append("nobody is there")
            for address in addresses:
                if await fault_of(address):
                    # Once more, as a router does, to where the table points now.
                    again = await fault_of(next(iter(machine.router.addresses()), "nobody"))
                    failures.extend([again] if again else [])
            await asyncio.sleep(0)

    worker = machine.sample("worker")
    async with machine.running():
        await machine.deploy(machine.spec(1, worker))
        visitor = asyncio.create_task(visit())
        for generation in range(2, 5):
            await machine.deploy(machine.spec(generation, worker))
            await machine.runtime.restart(Restart(app=APP.app, appuuid=APP.appuuid))
        await machine.deploy(machine.release(5, 4, worker, web(3)))
        await machine.deploy(machine.release(6, 4, worker, web(1)))
        await machine.deploy(machine.release(7, 3, worker, web(1)))
        visitor.cancel()
        await asyncio.wait({visitor})
    assert failures == []
    assert served > 10


async def test_an_old_instance_lives_until_the_router_has_dropped_it(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "CONFIRM_SECONDS", 60.0)
    worker = machine.sample("worker")
    async with machine.running():
        old = (await machine.deploy(machine.spec(1, worker))).instances[0]
        machine.router.reporting.clear()
        await machine.runtime.apply(machine.spec(2, worker))
        await until(lambda: old.address not in machine.router.addresses(), "the switch")
        status = await machine.runtime.status(APP)
        assert not status.serving
        assert old.name in {i.name for i in status.instances if i.state == "terminating"}
        assert await fetch(old.address) == "ok\n"
        machine.router.reporting.set()
        status = await machine.status(lambda s: s.settled)
        assert [i.release for i in status.instances] == [2]
        assert set(status.stages) == {"fetch", "start", "switch"}


async def test_a_router_that_never_reports_is_not_waited_for_for_ever(machine: Machine) -> None:
    worker = machine.sample("worker")
    async with machine.running():
        await machine.deploy(machine.spec(1, worker))
        machine.router.reporting.clear()
        await machine.deploy(machine.spec(2, worker))
        machine.router.reporting.set()


async def test_a_crashed_instance_leaves_the_routes_and_comes_back(machine: Machine) -> None:
    gate, command = machine.gate()
    async with machine.reports() as told, machine.running():
        worker = machine.sample("worker")
        before = (await machine.deploy(machine.spec(1, worker, web(1, command)))).instances[0]
        gate.unlink()  # it stays down until we have seen all of it
        for pid in machine.processes():
            os.kill(pid, signal.SIGKILL)
        status = await machine.status(lambda s: s.instances[0].state == "error")
        assert status.instances[0].reason in ("was ended by signal 9", "ended with exit code 3")
        await until(lambda: machine.router.addresses() == (), "out of the routes")
        await until(lambda: "error" in states(told), "the report of it")
        gate.touch()
        status = await machine.status(lambda s: s.settled)
        assert status.instances[0].name == before.name
        assert status.failure == ""
        assert machine.router.addresses() == (status.instances[0].address,)
        await until(lambda: states(told)[-1] == "up", "the last report")
        told_of = (state for state in states(told) if state in ("up", "error"))
        assert [state for state, _ in itertools.groupby(told_of)] == ["up", "error", "up"]
    crashed = [event for kind, event in told if kind == "instance.crashed"]
    assert (crashed[0]["exit_code"], crashed[0]["restarts"]) == (137, 1)
    assert status.instances[0].restarts == len(crashed)


async def test_a_release_that_crashes_says_why_and_the_old_one_serves(machine: Machine) -> None:
    async with machine.reports() as told, machine.running():
        old = (await machine.deploy(machine.spec(1, machine.sample("worker")))).instances[0]
        await machine.runtime.apply(machine.spec(2, machine.sample("crasher"), web(1, "exit 3")))
        status = await machine.status(lambda s: bool(s.failure))
        assert status.failure == "web crashed 3 times: it ended with exit code 3"
        assert machine.router.addresses() == (old.address,)
        status = await machine.status(lambda s: len(s.instances) == 1)
        assert status.instances[0].name == old.name
        failed = "web crashed 3 times: it ended with exit code 3"
        await until(lambda: any(e.get("reason") == failed for _, e in told), "the report of it")


async def test_a_first_release_that_crashes_goes_on_trying(machine: Machine) -> None:
    gate, command = machine.gate()
    gate.unlink()
    async with machine.running():
        await machine.runtime.apply(machine.spec(1, machine.sample("worker"), web(1, command)))
        status = await machine.status(lambda s: bool(s.failure))
        assert not status.serving
        gate.touch()
        status = await machine.status(lambda s: s.settled)
        assert status.failure == ""


async def test_a_slug_that_is_not_there_fails_and_one_that_is_late_does_not(
    machine: Machine,
) -> None:
    async with machine.running():
        gone = Artifact(
            slug="slugs/x/y.tgz", url=f"{machine.artifacts.url}/artifacts/no", token="t"
        )
        await machine.runtime.apply(machine.spec(1, gone))
        status = await machine.status(lambda s: bool(s.failure))
        assert status.failure.startswith("web: ")
        machine.artifacts.away = True
        await machine.runtime.apply(machine.spec(2, machine.sample("worker")))
        status = await machine.status(lambda _: machine.artifacts.refused > 1)
        assert "fetched" in status.instances[0].reason
        machine.artifacts.away = False
        status = await machine.status(lambda s: s.settled)
        assert status.failure == ""


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


async def test_lines_come_as_the_logger_wants_them(machine: Machine) -> None:
    command = "echo one; echo two >&2; printf three; exit 4"
    async with machine.lines() as lines, machine.running():
        await machine.runtime.apply(machine.spec(1, machine.sample("worker"), web(1, command)))
        await until(lambda: any("failed" in line for line in lines), "the end")
        name = (await machine.runtime.status(APP)).instances[0].name.rpartition("-")[2]
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00"
    for text in ("one", "two", "three"):
        form = rf"{stamp} blog\[web\.v1\.{name}\]: {text}"
        assert sum(re.fullmatch(form, line) is not None for line in lines) >= 3, lines
    crash = rf"{stamp} deis\[runtime\]: WARNING web\.v1\.{name} ended with exit code 4, .*"
    assert sum(re.fullmatch(crash, line) is not None for line in lines) >= 3
    failure = rf"{stamp} deis\[runtime\]: ERROR release v1 failed: .*"
    assert sum(re.fullmatch(failure, line) is not None for line in lines) == 1


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


async def test_the_service_announces_itself(machine: Machine) -> None:
    async with machine.running():

        async def announced() -> bool:
            found = [c for c in await machine.bus.discover() if c.name == "runtime"]
            return bool(found) and set(found[0].metadata) == {"started", "host", "pid"}

        await until(announced, "the runtime among the services")


async def test_what_no_runtime_could_run_is_refused_at_once(machine: Machine) -> None:
    async with machine.running():
        with pytest.raises(Refused, match="either a slug or an image") as refused:
            await machine.runtime.apply(machine.spec(1, Artifact()))
        assert refused.value.code == 400
        with pytest.raises(Refused, match="identity"):
            await machine.runtime.remove(AppRef(app=APP.app, appuuid="../.."))
        assert await machine.runtime.held() == ()


async def test_images_come_from_a_file_and_any_other_is_refused(
    machine: Machine, tmp_path: Path
) -> None:
    shutil.copytree(APPS / "worker", tmp_path / "page")  # where applications' users may look
    images = {"images": {"example/page": {"folder": "page", "command": "python3 server"}}}
    listed = tmp_path / "images.json"
    listed.write_bytes(msgspec.json.encode(images))
    machine.settings = dataclasses.replace(machine.settings, images=str(listed))
    async with machine.running():
        await machine.runtime.apply(machine.spec(1, Artifact(image="busybox"), web(1, "")))
        status = await machine.status(lambda s: bool(s.failure))
        assert "busybox" in status.failure
        status = await machine.deploy(machine.spec(2, Artifact(image="example/page"), web(1, "")))
        assert await fetch(status.instances[0].address) == "ok\n"


async def test_hooks_run_beside_the_process(machine: Machine) -> None:
    process = msgspec.structs.replace(
        web(),
        post_start="echo began > $TMPDIR/hook",
        pre_stop='echo "$(cat $TMPDIR/hook) and ended"',
    )
    failing = msgspec.structs.replace(web(), post_start="exit 9")
    worker = machine.sample("worker")
    async with machine.lines() as lines, machine.running():
        await machine.deploy(machine.spec(1, worker, process))
        await machine.runtime.apply(machine.spec(2, worker, failing))
        status = await machine.status(lambda s: bool(s.failure))
        assert status.failure == "web crashed 3 times: it was ended by signal 9"
        assert (await machine.deploy(machine.spec(3, worker))).serving
        await until(lambda: any("]: began and ended" in line for line in lines), "the last words")
        assert sum("hook ended with exit code 9" in line for line in lines) == 3


async def test_a_port_that_somebody_took_meanwhile_is_left_to_them(machine: Machine) -> None:
    gate, command = machine.gate()
    async with machine.running():
        worker = machine.sample("worker")
        before = (await machine.deploy(machine.spec(1, worker, web(1, command)))).instances[0]
        port = int(before.address.rpartition(":")[2])
        gate.unlink()  # its port stays free until we have it
        for pid in machine.processes():
            os.kill(pid, signal.SIGKILL)
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            await until(lambda: _bound(other, port), "the port of the dead instance")
            other.listen(1)
            gate.touch()
            status = await machine.status(lambda s: s.settled)
            assert status.instances[0].name == before.name
            assert status.instances[0].address != before.address
            assert machine.router.addresses() == (status.instances[0].address,)


def _bound(other: socket.socket, port: int) -> bool:
    try:
        other.bind(("127.0.0.1", port))
    except OSError:
        return False
    return True


UNWELL = """
import os
from http.server import BaseHTTPRequestHandler, HTTPServer

class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        ill = os.path.exists(os.environ["TMPDIR"] + "/ill")
        if self.path == "/ill":
            open(os.environ["TMPDIR"] + "/ill", "w").close()
        self.send_response(503 if ill and self.path == "/health" else 200)
        self.end_headers()
        self.wfile.write(os.environ["TMPDIR"].encode())

HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Page).serve_forever()
"""


async def test_what_fails_its_health_check_gets_no_requests_until_it_is_well(
    machine: Machine,
) -> None:
    probe = Probe(path="/health", period_seconds=0.1, failure_threshold=2)
    process = msgspec.structs.replace(web(1, "python3 unwell"), probe=probe)
    artifact = machine.sample("worker", unwell=UNWELL)
    async with machine.running():
        address = (await machine.deploy(machine.spec(1, artifact, process))).instances[0].address
        folder = Path(await fetch(address, "/ill"))
        await until(lambda: machine.router.addresses() == (), "out of the routes")
        status = await machine.status(lambda s: s.instances[0].state == "starting")
        assert status.instances[0].reason == "its health check GET /health answered 503"
        (folder / "ill").unlink()
        status = await machine.status(lambda s: s.settled)
        assert machine.router.addresses() == (address,)
        assert status.instances[0].restarts == 0


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
