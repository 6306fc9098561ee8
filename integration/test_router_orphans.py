"""nginx workers that nobody supervises any more (dependencies.md 1, pitfalls 5 and 6).

A killed master leaves workers that go on serving and hold the port. Its supervisor ends them; here
the supervisor and its keeper are killed in the same moment, and the next start has to.
"""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from integration.router_rig import eventually, plan, running

pytestmark = pytest.mark.server
ROOT = Path(__file__).parents[1]
PLATFORM = """
import asyncio, sys
from pathlib import Path
from deis_platform import logs
from integration.router_rig import plan, running
async def main():
    logs.set_up(level="error")
    folder, http, https = sys.argv[1:]
    async with running(plan(Path(folder), http=http, https=https)) as rig:
        nginx = rig.router.server.nginx
        print(nginx._keeper.pid, rig.master(), *rig.workers(), flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


def lives(pid: int) -> bool:
    """Whether it runs; a zombie does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@asynccontextmanager
async def platform(
    folder: Path, http: str, https: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, list[int]]]:
    """A router in a process of its own; gives it and the pids of keeper, master and workers."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PLATFORM, str(folder), http, https),
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    pids: list[int] = []
    try:
        pids += [int(word) for word in (await process.stdout.readline()).split()]
        assert len(pids) >= 3
        yield process, pids
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
        await eventually(lambda: not any(map(lives, pids)))


async def test_a_killed_router_takes_nginx_and_its_workers_with_it(tmp_path: Path) -> None:
    planned = plan(tmp_path / "router")
    async with platform(planned.folder, planned.layout.http, planned.layout.https) as (
        router,
        pids,
    ):
        router.kill()
        await eventually(lambda: not any(map(lives, pids)))
    async with running(planned) as rig:
        assert (await rig.get("x.localhost", "/healthz"))[0] == 200


async def test_workers_that_nobody_supervises_are_ended_by_the_next_start(tmp_path: Path) -> None:
    planned = plan(tmp_path / "router")
    async with platform(planned.folder, planned.layout.http, planned.layout.https) as (
        router,
        pids,
    ):
        keeper, master, *workers = pids
        router.send_signal(signal.SIGSTOP)  # it must not start its keeper or nginx again
        for pid in (keeper, master, router.pid):
            os.kill(pid, signal.SIGKILL)
        await eventually(lambda: not any(map(lives, (keeper, master, router.pid))))
        assert all(map(lives, workers)), "they go on: that is the pitfall"
        async with running(planned) as rig:
            assert (await rig.get("x.localhost", "/healthz"))[0] == 200
            assert not any(map(lives, workers))
            assert not set(workers) & set(rig.workers())


async def test_a_socket_that_a_killed_nginx_left_does_not_keep_the_next_from_starting(
    tmp_path: Path,
) -> None:
    planned = plan(tmp_path / "router")
    (planned.folder / "admin").mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(planned.folder / "admin" / "control.sock"))
    (planned.folder / "nginx.pid").write_text(f"{os.getpid()}\n")
    async with running(planned) as rig:
        assert rig.master() != os.getpid()
        assert (await rig.get("x.localhost", "/healthz"))[0] == 200
