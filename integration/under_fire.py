"""An application that is pushed to and configured while parts of its platform are killed.

The build and the new instance each wait at a gate, so that a kill is in the middle of them.
What was acknowledged must be there afterwards, and `truth.holds` must hold.
"""

import asyncio
import http.client
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from integration.person import Person, Printed
from integration.platform_up import Platform, start, stop, wait_ready
from integration.sample_app import commit, edition, registered, repository
from integration.servers import until
from integration.test_up_life import alive, family
from integration.test_wrong_pushes import executable, waits_for
from integration.traffic import traffic
from integration.truth import holds, leftovers, rows
from integration.victims import kill

APP = "sample-app"
WHOLE = "platform"
IN_THE_WAY = ("nginx", "router", "runtime", WHOLE)
"""Whose death requests do notice."""
CUTS_OFF = ("builder", WHOLE)
"""Whose death a waiting `git push` does not survive."""
WAITS = """import os, pathlib, time

gate = os.environ.get("GATE", "")
if gate:
    pathlib.Path(gate + ".waits").touch()
    for _ in range(1200):
        if os.path.exists(gate):
            break
        time.sleep(0.05)
"""
QUICK = {"DEIS_LEASE_SECONDS": "3", "DEIS_RESYNC_SECONDS": "3"}
"""So that a lost worker is noticed within the patience of a test."""


class UnderFire:
    """One platform, one person, one application."""

    def __init__(self, folder: Path, data: Path, options: tuple[str, ...]) -> None:
        self.platform: Platform
        self.person: Person
        self.edition = 0
        self.kept = {""}
        """The values that KEPT may have: one, or two after a change that nobody acknowledged."""
        self.counts = {1}
        """How many instances may be wanted, likewise."""
        self._folder = folder
        self._data = data
        self._options = options
        self._gates = 0

    async def up(self) -> None:
        """Start the platform, at the addresses it had before."""
        process = await start(self._data, *self._options, environ=QUICK)
        ready = await wait_ready(process, self._data)
        self.platform = Platform(data=self._data, process=process, ready=ready)
        ports = (("--port", "http"), ("--https-port", "https"), ("--ssh-port", "ssh"))
        same = [word for flag, name in ports for word in (flag, str(ready[f"{name}_port"]))]
        self._options = (*(word for word in self._options if word == "--processes"), *same)

    async def begin(self) -> None:
        """Somebody with a first release that serves."""
        await self.up()
        self.person = await registered(self.platform, self._folder / "home")
        await repository(self.person, self.files(), APP)
        await self.person.types("git", "push", "deis", "main", says=f"{APP}:v2 deployed")

    def files(self) -> dict[str, str]:
        """The present edition, whose processes wait at the gate that their environment names."""
        files = edition(self.edition)
        return files | {"server.py": WAITS + files["server.py"]}

    async def kill(self, name: str) -> None:
        """`kill -9`; the whole platform is started again."""
        if name != WHOLE:
            await kill(self.platform, name)
            return
        before = family(self.platform.process.pid)
        self.platform.process.kill()
        await self.platform.process.wait()
        await until(lambda: not alive(before), "no process is left behind")
        await until(lambda: not leftovers(self._data), "nothing is left that fled from it")
        await self.up()

    async def in_the_middle(self, name: str) -> None:
        """Kill it in the middle of a push, then its successor in the middle of a deploy."""
        if name in IN_THE_WAY:
            await self.push_and_kill(name)
            await self.configure_and_kill(name)
        else:
            host = f"{APP}.localhost"
            async with traffic(self.platform.port, host, 1) as seen:
                await self.push_and_kill(name)
                await self.configure_and_kill(name)
                assert not seen.failures, (name, seen.failures[:5])
        await self.holds()

    async def push_and_kill(self, name: str) -> None:
        """A push whose build has begun."""
        gate = self._gate()
        await self.next_edition(waits_for(gate))
        pushing = asyncio.create_task(self.push())
        await until(lambda: begun(gate), "the build begins", 60)
        await self.kill(name)
        gate.touch()
        done = await pushing
        assert done.code == 0 or name in CUTS_OFF, (name, done.output)
        await self.pushed(done)

    async def configure_and_kill(self, name: str) -> None:
        """A new configuration whose instance has started and is not ready."""
        gate = self._gate()
        value = gate.name
        changing = asyncio.create_task(self.configure(f"KEPT={value}", f"GATE={gate}"))
        await until(lambda: begun(gate) or changing.done(), "the deploy begins", 60)
        await self.kill(name)
        gate.touch()
        await self.configured(value, await changing)

    async def next_edition(self, script: str = "true") -> None:
        """Commit it; its build runs this first."""
        self.edition += 1
        hook = {"bin/pre-compile": f"#!/bin/bash\n{script}\n"}
        await commit(self.person, self.files() | hook)
        await executable(self.person, "bin/pre-compile")

    async def push(self) -> Printed:
        """A push, however it ends."""
        return await self.person.types("git", "push", "-f", "deis", "HEAD:main", code=None)

    async def pushed(self, done: Printed) -> None:
        """A push that was acknowledged is there; one that was cut off can be pushed again."""
        if done.code:
            await until(self._goes, "the cut-off push can be pushed again", 120)
        await until(self._serves, f"edition {self.edition} is served", 60)

    async def configure(self, *words: str) -> Printed:
        """A new configuration, however it ends."""
        return await self.person.types("deis", "config:set", *words, code=None)

    async def configured(self, value: str, done: Printed) -> None:
        """A value of KEPT that was acknowledged is there, else that one or the one before."""
        self.kept = {value} if done.code == 0 else self.kept | {value}
        await until(self._keeps, f"KEPT is one of {self.kept}", 60)

    async def scaled(self, count: int, done: Printed) -> None:
        """A count that was acknowledged is wanted, else that one or the one before."""
        self.counts = {count} if done.code == 0 else self.counts | {count}
        await until(self._wanted, f"{self.counts} instances are wanted", 60)

    async def holds(self) -> None:
        """What must be true once nothing is under way."""
        await holds(self.platform, self.person, APP)
        await until(self._keeps, f"KEPT is one of {self.kept}", 60)
        await until(self._serves, f"edition {self.edition} is served", 60)

    async def _wanted(self) -> bool:
        found = await rows(self.platform, "SELECT structure FROM apps")
        return json.loads(found[0]["structure"]).get("web") in self.counts

    async def _goes(self) -> bool:
        return (await self.push()).code == 0

    async def _serves(self) -> bool:
        try:
            page = await self.person.sees(f"{APP}.localhost", self.platform.port)
        except (OSError, http.client.HTTPException):
            return False  # nobody listens, or not to the end
        return page == (200, f"edition {self.edition}")

    async def _keeps(self) -> bool:
        shown = await self.person.types("deis", "config:list", "--oneline", code=None)
        words = shown.output.split()
        found = next((word[5:] for word in words if word.startswith("KEPT=")), "")
        return shown.code == 0 and found in self.kept

    def _gate(self) -> Path:
        self._gates += 1
        gate = self._folder / f"gate{self._gates}"
        gate.parent.chmod(0o777)
        return gate


def begun(gate: Path) -> bool:
    """Whether somebody has come to that gate."""
    return gate.with_name(f"{gate.name}.waits").exists()


@asynccontextmanager
async def under_fire(folder: Path, *options: str) -> AsyncIterator[UnderFire]:
    """Such a platform; at its end no process is left behind."""
    data = folder / "data"
    fire = UnderFire(folder, data, options)
    try:
        await fire.begin()
        yield fire
    except BaseException:
        print(fire.platform.log())
        raise
    finally:
        await stop(fire.platform.process)
    await until(lambda: leftovers(data) == [], "nothing is left behind")
