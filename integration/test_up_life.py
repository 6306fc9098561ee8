"""`deis-platform up` from start to end: what it leaves, what it keeps, how it dies.

These run the router alone where the services do not matter: servers, keeper and folders are the
same, and the acceptance scenario runs everything.
"""

import contextlib
import os
import signal
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import asyncpg
import psutil
import pytest

from integration.platform_up import Platform, platform_up, start, wait_ready
from integration.servers import until

pytestmark = [pytest.mark.server, pytest.mark.timeout(140)]
T = TypeVar("T")
ROUTER = {"DEIS_SERVICES": "router"}
WAYS = pytest.mark.parametrize("options", [(), ("--processes",)], ids=["one", "own"])


def family(pid: int) -> list[psutil.Process]:
    """A process and everything below it."""
    top = psutil.Process(pid)
    return [top, *top.children(recursive=True)]


def alive(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Those that still run; zombies do not."""
    return [process for process in processes if told(process, _runs) is True]


def _runs(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def told(process: psutil.Process, ask: Callable[[psutil.Process], T]) -> T | None:
    """What it says of itself; None when it has ended meanwhile, as nginx' first worker may."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return ask(process)
    return None


async def database(platform: Platform) -> asyncpg.Connection:
    """A connection to the platform's PostgreSQL."""
    password = (platform.data / "secrets" / "postgres").read_text()
    return await asyncpg.connect(platform.ready["database"], password=password, ssl=False)


@WAYS
async def test_ctrl_c_leaves_no_process_and_no_ready_file(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    async with platform_up(tmp_path / "data", *options, environ=ROUTER) as platform:
        processes = family(platform.process.pid)
        names = {told(process, psutil.Process.name) for process in processes}
        assert {"nats-server", "postgres", "nginx"} <= names
    assert platform.process.returncode == 0
    await until(lambda: alive(processes) == [], "everything has ended")
    assert not (tmp_path / "data" / "ready.json").exists()


@WAYS
async def test_a_killed_platform_leaves_no_process_and_starts_again(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    data = tmp_path / "data"
    process = await start(data, *options, environ=ROUTER)
    await wait_ready(process, data)
    processes = family(process.pid)
    process.kill()
    await process.wait()
    await until(lambda: alive(processes) == [], "everything has ended")
    async with platform_up(data, *options, environ=ROUTER):
        pass


async def test_a_second_ctrl_c_ends_at_once_and_leaves_no_process(tmp_path: Path) -> None:
    data = tmp_path / "data"
    process = await start(data, environ=ROUTER)
    ready = await wait_ready(process, data)
    processes = family(process.pid)
    os.kill(ready["pids"]["postgres"], signal.SIGSTOP)  # so that a stop would take long
    process.send_signal(signal.SIGINT)
    await until(lambda: not (data / "ready.json").exists(), "it is stopping")
    process.send_signal(signal.SIGINT)
    assert await process.wait() == 130
    await until(lambda: alive(processes) == [], "everything has ended")


async def test_a_warm_start_keeps_the_data(tmp_path: Path) -> None:
    async with platform_up(tmp_path / "data", environ=ROUTER) as platform:
        connection = await database(platform)
        await connection.execute("create table kept as select 7 as n")
        await connection.close()
        secrets = {
            path.name: path.read_text() for path in (tmp_path / "data" / "secrets").iterdir()
        }
    async with platform_up(tmp_path / "data", environ=ROUTER) as platform:
        connection = await database(platform)
        assert await connection.fetchval("select n from kept") == 7
        await connection.close()
        for name, text in secrets.items():
            assert (tmp_path / "data" / "secrets" / name).read_text() == text


@pytest.mark.parametrize("server", ["nats", "postgres"])
async def test_a_killed_server_comes_back(tmp_path: Path, server: str) -> None:
    async with platform_up(tmp_path / "data", environ=ROUTER) as platform:
        first = platform.ready["pids"][server]
        os.kill(first, signal.SIGKILL)
        name = {"nats": "nats-server", "postgres": "postgres"}[server]
        top = platform.process.pid
        await until(
            lambda: any(
                told(process, psutil.Process.name) == name
                for process in family(top)
                if process.pid != first and told(process, psutil.Process.ppid) == top
            ),
            "a new server",
        )


async def test_a_killed_service_process_comes_back(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with platform_up(data, "--processes", environ=ROUTER) as platform:
        os.kill(platform.ready["pids"]["router"], signal.SIGKILL)
        await until(lambda: platform.log().count("requests come in") == 2, "a new router")


async def test_two_platforms_side_by_side_do_not_meet(tmp_path: Path) -> None:
    async with (
        platform_up(tmp_path / "one", environ=ROUTER) as one,
        platform_up(tmp_path / "two", environ=ROUTER) as two,
    ):
        for name in ("http_port", "https_port", "ssh_port", "gateway", "nats", "database"):
            assert one.ready[name] != two.ready[name]
        processes = family(one.process.pid)
        one.process.kill()
        await one.process.wait()
        await until(lambda: alive(processes) == [], "the first has ended")
        connection = await database(two)
        assert await connection.fetchval("select 1") == 1
        await connection.close()
        assert len(alive(family(two.process.pid))) > 3


async def test_the_data_folder_is_closed_to_others(tmp_path: Path) -> None:
    async with platform_up(tmp_path / "data", environ=ROUTER) as platform:
        data = platform.data
        assert stat.S_IMODE(data.stat().st_mode) == (0o711 if os.geteuid() == 0 else 0o700)
        for name in ("secrets", "certificates", "logs", "objects", "nats", "postgres"):
            assert stat.S_IMODE((data / name).stat().st_mode) == 0o700, name
        for path in [*(data / "secrets").iterdir(), data / "nats" / "nats.conf"]:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
        assert stat.S_IMODE((data / "certificates" / "platform.key").stat().st_mode) == 0o600


async def test_no_secret_is_on_a_command_line_or_in_the_log(tmp_path: Path) -> None:
    async with platform_up(tmp_path / "data", "--processes", environ=ROUTER) as platform:
        processes = family(platform.process.pid)
        texts = [" ".join(told(process, psutil.Process.cmdline) or []) for process in processes]
        texts += [platform.log(), (tmp_path / "data" / "ready.json").read_text()]
        for path in (platform.data / "secrets").iterdir():
            secret = path.read_text().strip()
            assert not any(secret in text for text in texts), path.name


async def test_everything_listens_on_loopback(tmp_path: Path) -> None:
    async with platform_up(tmp_path / "data", environ=ROUTER) as platform:
        processes = alive(family(platform.process.pid))
        assert {host for process in processes for host in listening(process)} == {"127.0.0.1"}


def listening(process: psutil.Process) -> set[str]:
    """Where it listens."""
    connections = told(process, lambda one: one.net_connections("inet")) or []
    return {one.laddr.ip for one in connections if one.status == psutil.CONN_LISTEN}


async def test_it_says_what_to_type_next(tmp_path: Path) -> None:
    async with platform_up(tmp_path / "data", environ=ROUTER) as platform:
        said = platform.data.with_suffix(".out")
        await until(lambda: "git push deis" in said.read_text(), "the welcome")
        text = said.read_text()
        assert f"register http://deis.localhost:{platform.port}" in text
        assert f"ssh://git@localhost:{platform.ready['ssh_port']}/<app>.git" in text
        assert str(platform.data) in text
        assert ("run only code you trust" in text) == (os.geteuid() != 0)
    said.write_text("")
    async with platform_up(tmp_path / "data", environ=ROUTER) as platform:
        await until(lambda: "git push deis" in said.read_text(), "the welcome")
        assert f"login http://deis.localhost:{platform.port}" in said.read_text()
