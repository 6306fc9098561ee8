"""Requests/s through the router with 10,000 routes, beside the same nginx with a static upstream.

    python -m integration.bench.requests          instances are ports, as on a laptop
    python -m integration.bench.requests pods     instances are addresses, as on Kubernetes

Both have one worker on core 0 and the same three instances (an nginx of their own); load and
instances share core 1. The two are measured in turn, so that a busy machine meets both.
"""

import asyncio
import contextlib
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

from deis_platform.embedded.ports import free_port
from deis_services.router.live import RIPE_SECONDS
from deis_services.router.nginx import worker_user
from integration.bench.figures import line
from integration.bench.load import WRK, Result, load
from integration.router_rig import Rig, children, eventually, plan, pods_plan, route, running

ROUTES = 10_000
RUNS = 5
SECONDS = 2.0
CONNECTIONS = 32
TICKS = os.sysconf("SC_CLK_TCK")
REACH = 0.8

HEAD = """daemon off; {user} worker_processes 1; pid nginx.pid; error_log stderr crit; pcre_jit on;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 1000000; """
INSTANCE = (
    'server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ return 200 "hello"; }} }} '
)
STATIC = """upstream app {{ {servers} keepalive 64; keepalive_requests 100000; }}
server {{ listen 127.0.0.1:{port} backlog=4096;
  location / {{ proxy_http_version 1.1; proxy_set_header Connection "";
    proxy_set_header Host $host; proxy_pass http://app; }} }} }}"""


def configured(folder: Path, text: str) -> None:
    """A folder with this configuration in it."""
    folder.mkdir(mode=0o711)
    user = f"user {worker_user()};" if worker_user() else ""
    (folder / "nginx.conf").write_text(HEAD.format(user=user) + text)


@contextlib.asynccontextmanager
async def bare_nginx(binary: Path, folder: Path, text: str) -> AsyncIterator[int]:
    """A plain nginx with this configuration; gives its worker."""
    configured(folder, text)
    process = await asyncio.create_subprocess_exec(
        binary, "-p", "./", "-e", "stderr", "-c", "nginx.conf", cwd=folder
    )
    try:
        await eventually(lambda: bool(children(process.pid)))
        yield children(process.pid)[0]
    finally:
        process.terminate()
        await process.wait()


def pin(pids: list[int], core: int) -> None:
    """Keep processes on a core, where there are two."""
    if (os.cpu_count() or 1) > 1:
        for pid in pids:
            os.sched_setaffinity(pid, {core})


def cpu_seconds(pids: list[int]) -> float:
    """CPU time of processes so far."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


async def measured(address: str, host: str, pids: list[int]) -> tuple[float, float, Result]:
    """Requests/s, CPU microseconds per request in these processes, and the run."""
    before = cpu_seconds(pids)
    result = await load(address, host, CONNECTIONS, SECONDS)
    used = cpu_seconds(pids) - before
    return result.rate, used / result.requests * 1e6, result


async def fill(rig: Rig, ports: list[int]) -> None:
    """10,000 applications with a port each as far as they go; `asked` has these ones."""
    rest = [port for port in rig.ports if port not in ports]
    for number in range(ROUTES - 1):
        rig.tell(f"app.a{number}", msgspec.json.encode(route(f"a{number}")))
        rig.tell(f"up.a{number}", _upstreams(f"a{number}", rest[number : number + 1]))
    rig.tell("app.asked", msgspec.json.encode(route("asked")))
    rig.tell("up.asked", _upstreams("asked", ports))
    await rig.applied(rig.revision)


def _upstreams(app: str, ports: list[int]) -> bytes:
    return _addressed(app, [f"127.0.0.1:{port}" for port in ports])


def _addressed(app: str, addresses: list[str]) -> bytes:
    return msgspec.json.encode(
        {"app": app, "appuuid": f"{app}-1", "generation": 1, "addresses": addresses}
    )


async def fill_pods(rig: Rig, ports: list[int]) -> None:
    """The same with addresses: 9,999 of the instances are nowhere."""
    for number in range(ROUTES - 1):
        address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}:5000"
        rig.tell(f"app.a{number}", msgspec.json.encode(route(f"a{number}")))
        rig.tell(f"up.a{number}", _addressed(f"a{number}", [address]))
    rig.tell("app.asked", msgspec.json.encode(route("asked")))
    rig.tell("up.asked", _upstreams("asked", ports))
    await rig.applied(rig.revision)
    await asyncio.sleep(2 * RIPE_SECONDS)


async def compare(folder: Path, workers: int, *, pods: bool = False) -> None:
    """Measure the two in turn and print the figures."""
    if pods:
        planned = pods_plan(folder / "router", workers=workers, files=4096)
        ports = [free_port() for _ in range(3)]
    else:
        planned = plan(folder / "router", workers=workers, ports=range(10_000, 20_000), files=4096)
        ports = list(planned.layout.ports[-3:])
    base_port = free_port()
    servers = " ".join(f"server 127.0.0.1:{port};" for port in ports)
    instances = "".join(INSTANCE.format(port=port) for port in ports) + "}"
    static = STATIC.format(servers=servers, port=base_port)
    async with (
        bare_nginx(planned.binary, folder / "instances", instances) as instance,
        bare_nginx(planned.binary, folder / "static", static) as base_worker,
        running(planned) as rig,
    ):
        await (fill_pods if pods else fill)(rig, ports)
        pin([instance, os.getpid()], 1)
        pin([base_worker, *(rig.workers() if workers == 1 else ())], 0)
        base_address = f"127.0.0.1:{base_port}"
        host = "asked.localhost"
        await load(base_address, host, CONNECTIONS, 1.0)
        await load(planned.layout.http, host, CONNECTIONS, 1.0)
        base, ours, failed = [], [], 0
        for _ in range(RUNS):
            base.append(await measured(base_address, host, [base_worker]))
            ours.append(await measured(planned.layout.http, host, rig.workers()))
            failed += base[-1][2].failed + ours[-1][2].failed
    note = f"{ROUTES} routes, {workers} worker, {CONNECTIONS} connections, {failed} failed; "
    note += "instances as pods; " if pods else ""
    note += "wrk" if WRK else "no wrk here, own generator in Python: it is the slower end"
    ratios = sorted(mine[0] / theirs[0] for mine, theirs in zip(ours, base, strict=True))
    line(
        "requests/s through the router", "1/s", [run[0] for run in ours],
        base=[run[0] for run in base], reach=f">= {REACH} of a static upstream",
        met=ratios[len(ratios) // 2] >= REACH, note=note,
    )  # fmt: skip
    line(
        "CPU per request in nginx", "us", [run[1] for run in ours],
        base=[run[1] for run in base], note=note,
    )  # fmt: skip


def main() -> None:
    """Measure; `requests 2` for two workers."""
    words = sys.argv[1:]
    workers = next((int(word) for word in words if word.isdigit()), 1)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        asyncio.run(compare(Path(folder), workers, pods="pods" in words))


if __name__ == "__main__":
    main()
