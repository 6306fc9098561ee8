"""`kill -9` in the middle of a push and of a deploy, of every server and service (DESIGN 1).

Afterwards: no acknowledged write lost, nothing running twice, each release number used once, every
committed event on the stream, and the cut-off push can be pushed again.
"""

import asyncio
import os
import signal
from pathlib import Path

import psutil
import pytest

from integration.person import Person, Printed
from integration.platform_up import Platform, platform_up, start, wait_ready
from integration.sample_app import commit, edition, registered, repository
from integration.servers import until
from integration.test_up_life import alive, family
from integration.test_wrong_pushes import executable, waits_for
from integration.truth import holds, rows

pytestmark = [pytest.mark.server, pytest.mark.timeout(420)]

APP = "sample-app"
VICTIMS = (
    "nats", "postgres", "nginx",
    "controller", "gateway", "builder", "runtime", "router", "logger", "manager",
)  # fmt: skip


def victim(platform: Platform, name: str) -> int:
    """The process to kill: the newest of that name below the platform."""
    if name == "nginx":
        return tops(platform, "nginx")[0]
    return int(platform.ready["pids"][name])


async def gated(folder: Path, person: Person, number: int) -> Path:
    """The next commit, whose build waits for the file that is given."""
    gate = folder / f"gate{number}"
    script = f"#!/bin/bash\n{waits_for(gate)}\n"
    await commit(person, edition(number) | {"bin/pre-compile": script})
    await executable(person, "bin/pre-compile")
    return gate


def begun(gate: Path) -> bool:
    """Whether the build has come to its gate."""
    return gate.with_name(f"{gate.name}.waits").exists()


async def push(person: Person) -> Printed:
    """A push, however it ends."""
    return await person.types("git", "push", "-f", "deis", "HEAD:main", code=None)


async def pushed_in_the_end(person: Person) -> None:
    """The same commit again, until it is released: an attempt that was cut off may still be open."""

    async def goes() -> bool:
        return (await push(person)).code == 0

    await until(goes, "the cut-off push can be pushed again", 120)


async def serves(person: Person, platform: Platform, text: str) -> bool:
    """Whether the page says this."""
    return await person.sees(f"{APP}.localhost", platform.port) == (200, text)


@pytest.mark.parametrize("name", VICTIMS)
async def test_killed_in_the_middle_of_a_push_and_of_a_deploy(tmp_path: Path, name: str) -> None:
    async with platform_up(tmp_path / "data", "--processes", environ=QUICK) as platform:
        person = await registered(platform, tmp_path / "home")
        await repository(person, edition(0), APP)
        await person.types("git", "push", "deis", "main", says=f"{APP}:v2 deployed")
        gate = await gated(tmp_path, person, 1)
        pushing = asyncio.create_task(push(person))
        await until(lambda: begun(gate), "the build begins")
        os.kill(victim(platform, name), signal.SIGKILL)
        gate.touch()
        await pushing
        await pushed_in_the_end(person)
        await until(lambda: serves(person, platform, "edition 1"), "the new page", 60)
        await holds(platform, person, APP)
        await configured_under_fire(platform, person, name)
        await holds(platform, person, APP)


async def configured_under_fire(platform: Platform, person: Person, name: str) -> None:
    """Kill it again (its successor) while a new configuration is deployed."""
    newest = await rows(platform, "SELECT max(version) AS n FROM releases")
    changing = asyncio.create_task(person.types("deis", "config:set", "GREETING=kept", code=None))
    wanted = int(newest[0]["n"]) + 1

    async def released() -> bool:
        found = await rows(platform, "SELECT 1 FROM releases WHERE version = $1", wanted)
        return bool(found) or changing.done()

    await until(released, "the release is made", 60)
    for pid in successors(platform, name):
        os.kill(pid, signal.SIGKILL)
    done = await changing
    if done.code == 0:  # acknowledged: it is there for good
        await until(lambda: _is_set(person), "the acknowledged value is there", 60)


def successors(platform: Platform, name: str) -> list[int]:
    """What runs now under that name; the one of ready.json was killed."""
    words = {"nats": "nats-server", "postgres": "postgres", "nginx": "nginx"}
    if name in words:
        return tops(platform, words[name])
    return [one.pid for one in alive(family(platform.process.pid)) if _runs(one, name)][:1]


def tops(platform: Platform, program: str) -> list[int]:
    """Processes of that program whose parent is another one: not its workers."""
    names = {one.pid: one.name() for one in alive(family(platform.process.pid))}
    ours = [one for one in alive(family(platform.process.pid)) if one.name() == program]
    return [one.pid for one in ours if names.get(one.ppid()) != program]


def _runs(process: psutil.Process, name: str) -> bool:
    try:
        return process.cmdline()[-2:] == ["run", name]
    except psutil.Error:
        return False


async def _is_set(person: Person) -> bool:
    shown = await person.types("deis", "config:list", code=None)
    return "GREETING" in shown.output and "kept" in shown.output


@pytest.mark.parametrize("moment", ["push", "deploy"])
async def test_the_whole_platform_killed(tmp_path: Path, moment: str) -> None:
    data = tmp_path / "data"
    process = await start(data, environ=QUICK)
    platform = Platform(data=data, process=process, ready=await wait_ready(process, data))
    ports = {name: str(platform.ready[f"{name}_port"]) for name in ("http", "https", "ssh")}
    person = await registered(platform, tmp_path / "home")
    await repository(person, edition(0), APP)
    await person.types("git", "push", "deis", "main", says=f"{APP}:v2 deployed")
    gate = await gated(tmp_path, person, 1)
    doing = asyncio.create_task(push(person))
    await until(lambda: begun(gate), "the build begins")
    if moment == "deploy":
        gate.touch()
        await until(lambda: _deploying(platform), "the deploy begins")
    family_before = family(process.pid)
    process.kill()
    await process.wait()
    gate.touch()
    await doing
    await until(lambda: alive(family_before) == [], "no process is left behind")
    same = ("--port", ports["http"], "--https-port", ports["https"], "--ssh-port", ports["ssh"])
    async with platform_up(data, *same, environ=QUICK) as again:
        await until(lambda: _a_page(person, again), "the application serves", 60)
        await pushed_in_the_end(person)
        await until(lambda: serves(person, again, "edition 1"), "the new page", 60)
        await holds(again, person, APP)


async def _deploying(platform: Platform) -> bool:
    found = await rows(platform, "SELECT 1 FROM releases WHERE version = 3")
    return bool(found)


async def _a_page(person: Person, platform: Platform) -> bool:
    status, _ = await person.sees(f"{APP}.localhost", platform.port)
    return status == 200


QUICK = {"DEIS_LEASE_SECONDS": "3", "DEIS_RESYNC_SECONDS": "3"}
"""So that a lost worker is noticed within the patience of a test."""
