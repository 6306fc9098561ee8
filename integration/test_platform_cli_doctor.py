"""The doctor on real evidence: each fault is made, named, and comes with a command."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from deis_bus.streams import Durable
from integration.platform_cli_rig import bury, bus_as, controller, info, typed
from integration.platform_up import platform_up
from tests.behaviour.bus import one

pytestmark = [pytest.mark.server, pytest.mark.timeout(120)]
BARE = {"DEIS_SERVICES": "manager"}
REPORT = "deis.report.blog.build.done"


async def doctor(
    data: Path, environ: dict[str, str] | None = None, code: int = 1
) -> list[dict[str, str]]:
    """Its findings."""
    environ = {"DEIS_PORT": "0", "DEIS_HTTPS_PORT": "0", "DEIS_SSH_PORT": "0"} | (environ or {})
    answer = await typed(data, "doctor", "-o", "json", environ=environ)
    assert answer.code == code, answer.text
    found: list[dict[str, str]] = json.loads(answer.text)
    return found


def about(findings: list[dict[str, str]], component: str) -> dict[str, str]:
    """The only finding about a component."""
    [finding] = [finding for finding in findings if finding["component"] == component]
    return finding


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of 8 MB."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


async def test_a_platform_that_is_down(tmp_path: Path) -> None:
    data = tmp_path / "data"
    [finding] = await doctor(data, {"DEIS_MIN_FREE_DISK": "0"})
    assert finding["component"] == "platform"
    assert finding["command"] == f"deis-platform up --data {data}"
    shown = await typed(data, "doctor", environ={"DEIS_MIN_FREE_DISK": "0"})
    assert shown.text.splitlines()[0].split() == ["COMPONENT", "PROBLEM", "EVIDENCE", "TYPE"]


async def test_a_missing_git(tmp_path: Path) -> None:
    findings = await doctor(tmp_path / "data", {"PATH": str(tmp_path / "nothing")})
    builder = [finding for finding in findings if finding["component"] == "builder"]
    assert [finding["problem"] for finding in builder] == [
        "git is missing",
        "ssh-keygen is missing",
    ]
    assert builder[0]["command"] == "apt-get install git"


@pytest.mark.root
async def test_a_disk_that_is_nearly_full(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        finding = about(await doctor(disk / "data"), "data folder")
        assert finding["problem"] == "the disk is nearly full, pushes are refused"
        assert finding["evidence"] == "8 MB free, 1024 MB wanted"


async def test_free_space_below_the_setting(tmp_path: Path) -> None:
    findings = await doctor(tmp_path / "data", {"DEIS_MIN_FREE_DISK": "900000TB"})
    assert "wanted" in about(findings, "data folder")["evidence"]


async def test_a_wrong_setting_is_named(tmp_path: Path) -> None:
    answer = await typed(tmp_path / "data", "doctor", environ={"DEIS_MIN_FREE_DISK": "much"})
    assert answer.code == 2
    assert "DEIS_MIN_FREE_DISK: expected a size such as 512MB" in answer.text
    assert "Traceback" not in answer.text


async def test_a_taken_port_and_who_has_it(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        findings = await doctor(tmp_path / "data", {"DEIS_SSH_PORT": str(port)})
    finding = about(findings, "builder")
    assert finding["problem"] == f"port {port} is taken by another program"
    assert f"(process {os.getpid()})" in finding["evidence"]
    assert finding["command"].startswith(f"deis-platform up --ssh-port {port + 1} ")


async def test_dead_letters_old_and_missing_components(tmp_path: Path) -> None:
    data = tmp_path / "data"
    environ = {"DEIS_MIN_FREE_DISK": "0"}
    mine = version("deis-workflow")
    async with platform_up(data, environ=BARE) as platform:
        assert about(await doctor(data, environ | {"DEIS_COMPONENTS": "gateway"}), "gateway")
        async with controller(platform, {}) as bus, bus_as(platform, "gateway") as gateway:
            async with gateway.serve(info("gateway", "0.0.1", pid="7", host="box"), {}):
                wanted = {"DEIS_COMPONENTS": "gateway,manager"}
                [old] = await doctor(data, environ | wanted)
                assert old["problem"] == f"version 0.0.1 runs, {mine} is installed"
                assert old["evidence"].endswith("process 7 on box")
                assert old["command"] == "kill 7"
            await bury(bus, REPORT, {"ce-type": "build.done"}, "KeyError: 'sha'")
            [dead] = await doctor(data, environ)
            assert (dead["component"], dead["problem"]) == ("controller", "1 dead letter")
            assert "KeyError: 'sha'" in dead["evidence"]
            await dead_letters(data, bus)
            assert await doctor(data, environ, code=0) == []
            shown = await typed(data, "doctor", environ=environ)
            assert (shown.code, shown.text) == (0, "Everything is as it should be.\n")


async def dead_letters(data: Path, bus: Any) -> None:
    """`dead list`, `retry` and `drop`, with one letter there."""
    listed = await typed(data, "dead", "list")
    head, row = listed.text.splitlines()
    assert head.split() == ["NUMBER", "BURIED", "BY", "APP", "EVENT", "TRIES", "REASON"]
    assert row.endswith("KeyError: 'sha'")
    absent = await typed(data, "dead", "retry", "99")
    assert absent.code == 1
    assert "there is no dead letter 99" in absent.text
    retried = await typed(data, "dead", "retry", "--all")
    assert (retried.code, retried.text) == (0, "1 dead letter published again.\n")
    reports = await bus.inbox(Durable(name="controller", stream="REPORTS", filters=(REPORT,)))
    again = await one(reports.messages())
    assert (again.subject, again.data) == (REPORT, b"{}")
    await again.done()
    assert (await typed(data, "dead", "list")).text == "There are no dead letters.\n"
    await bury(bus, REPORT, {}, "again")
    [letter] = json.loads((await typed(data, "dead", "list", "-o", "json")).text)
    assert letter["reason"] == "again"
    dropped = await typed(data, "dead", "drop", str(letter["sequence"]))
    assert (dropped.code, dropped.text) == (0, "1 dead letter deleted.\n")
    neither = await typed(data, "dead", "drop")
    assert neither.code == 2


async def test_servers_that_hang_and_migrations(tmp_path: Path) -> None:
    data = tmp_path / "data"
    environ = {"DEIS_MIN_FREE_DISK": "0"}
    async with platform_up(data, environ=BARE) as platform:
        assert (await typed(data, "migrate")).text == "Up to date.\n"
        assert (await typed(data, "events", "rebuild")).text.startswith("0 events ")
        pid = platform.ready["pids"]["nats"]
        os.kill(pid, signal.SIGSTOP)
        try:
            finding = about(await doctor(data, environ), "nats")
        finally:
            os.kill(pid, signal.SIGCONT)
        assert finding["problem"] == "it does not answer"
        assert finding["command"].endswith("/logs/nats.log")


def test_help_is_fast_because_it_imports_little() -> None:
    program = "import sys, deis_services.main as m; m.parser(); print(*sys.modules)"
    printed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    heavy = {"nats", "asyncpg", "aiohttp", "structlog", "cryptography", "msgspec"}
    assert heavy & set(printed) == set()
