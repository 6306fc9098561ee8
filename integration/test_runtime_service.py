"""Releases on the runtime service: what nobody may notice when they go right, and is told when not."""

import asyncio
import dataclasses
import itertools
import os
import re
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import msgspec
import pytest

from deis_bus.contracts.runtime import AppRef, Artifact, Probe, Restart
from deis_bus.errors import Refused
from deis_services.runtime import routes
from integration.machine_rig import Machine, fetch, machine_in, states, web
from integration.runtime_rig import APPS
from integration.servers import until
from tests.behaviour.runtime import APP

pytestmark = pytest.mark.server


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    async with machine_in(tmp_path) as machine:
        yield machine


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
