"""`kill -9` of every component in the middle of a push and of a deploy, on the cluster (DESIGN 1).

Within a minute all is as it should be: every component ready, nothing doubled, each release number
used once, what was acknowledged is there, what was cut off can be done again.
"""

import asyncio
import json
from pathlib import Path

import pytest

from integration.kubernetes.platform import ClusterPlatform, Gate
from integration.kubernetes.sample import destroyed, pushed
from integration.kubernetes.victims import BUILD_POD, POD_VICTIMS, all_ready, kill, rows
from integration.person import Person, Printed
from integration.sample_app import commit, edition
from integration.servers import until

pytestmark = [pytest.mark.kubernetes, pytest.mark.server, pytest.mark.timeout(900)]

APP = "crow"
WAITS = """import os, time, urllib.request

gate = os.environ.get("GATE", "")
for _ in range(600 if gate else 0):
    try:
        urllib.request.urlopen(gate, timeout=5)
        break
    except OSError:
        time.sleep(0.1)
"""


class Fire:
    """One person with one application whose builds and instances wait at gates."""

    def __init__(self, platform: ClusterPlatform, person: Person) -> None:
        self.platform = platform
        self.person = person
        self.edition = 0
        self._gates = 0

    def gate(self) -> Gate:
        """A new one."""
        self._gates += 1
        return self.platform.gate(f"{APP}-{self._gates}")

    async def push_and_kill(self, name: str) -> None:
        """It dies while a build runs; at the end the edition serves, pushed once or twice."""
        gate = self.gate()
        self.edition += 1
        hook = {"bin/pre-compile": f"#!/bin/bash\n{gate.script}\n"}
        await commit(self.person, files(self.edition) | hook)
        (self.person.folder / "bin" / "pre-compile").chmod(0o755)
        await self.person.types("git", "add", ".")
        await self.person.types("git", "commit", "-q", "--amend", "--no-edit")
        pushing = asyncio.create_task(self.push())
        await until(gate.reached, "the build begins", 60)
        await kill(self.platform, name)
        gate.open()
        if (await pushing).code:
            await until(self._goes, "the cut-off push can be pushed again", 120)
        await until(self._serves, f"edition {self.edition} is served", 90)

    async def configure_and_kill(self, name: str) -> None:
        """It dies while a new instance starts; the value is there if it was acknowledged."""
        gate = self.gate()
        words = (f"KEPT={gate.name}", f"GATE={gate.url}")
        changing = asyncio.create_task(self.person.types("deis", "config:set", *words, code=None))
        await until(lambda: gate.reached() or changing.done(), "the deploy begins", 90)
        await kill(self.platform, name)
        gate.open()
        done = await changing
        if done.code == 0:
            shown = await self.person.types("deis", "config:list", "--oneline")
            assert words[0] in shown.output
        await until(self._serves, f"edition {self.edition} is served", 90)

    async def push(self) -> Printed:
        """A push, however it ends."""
        return await self.person.types("git", "push", "-f", "deis", "HEAD:main", code=None)

    async def holds(self) -> None:
        """What must be true once nothing is under way."""
        await all_ready(self.platform)
        await until(self._quiet, "operations and pushes have ended", 60)
        found = rows(
            self.platform,
            "SELECT r.version, r.state FROM releases r JOIN apps a ON a.uuid = r.app"
            f" WHERE a.id = '{APP}' ORDER BY r.version",
        )
        assert [row["version"] for row in found] == list(range(1, len(found) + 1))
        assert {row["state"] for row in found} <= {"succeeded", "failed", "superseded"}
        told = rows(self.platform, "SELECT id FROM events WHERE type = 'release.created'")
        assert len(told) == len({row["id"] for row in told})
        await until(self._as_wanted, "what runs is what is wanted", 60)

    def _quiet(self) -> bool:
        query = (
            "SELECT (SELECT count(*) FROM operations WHERE state IN ('queued', 'running'))"
            " + (SELECT count(*) FROM pushes WHERE state IN"
            " ('receiving', 'queued', 'building', 'releasing')) AS n"
        )
        return rows(self.platform, query) == [{"n": 0}]

    async def _as_wanted(self) -> bool:
        shown = await self.person.types("deis", "ps:list", "-a", APP, "-o", "json", code=None)
        pods = self.platform.node.get("--namespace", APP, "pods")["items"]
        running = [pod for pod in pods if pod["status"]["phase"] == "Running"]
        return shown.code == 0 and len(json.loads(shown.output)) == 1 == len(running)

    async def _goes(self) -> bool:
        return (await self.push()).code == 0

    async def _serves(self) -> bool:
        try:
            page = await self.person.sees(self.platform.host(APP), 80)
        except OSError:
            return False
        return page == (200, f"edition {self.edition}")


def files(number: int) -> dict[str, str]:
    """An edition whose instances wait at the gate that their environment names."""
    found = edition(number)
    return found | {"server.py": WAITS + found["server.py"]}


async def test_killed_in_the_middle(platform: ClusterPlatform, tmp_path: Path) -> None:
    person = await pushed(platform, tmp_path / "home", "carol", APP)
    fire = Fire(platform, person)
    try:
        for name in (*POD_VICTIMS, BUILD_POD):
            await fire.push_and_kill(name)
            if name != BUILD_POD:
                await fire.configure_and_kill(name)
            await fire.holds()
    except BaseException:
        print(platform.log())
        raise
    finally:
        await destroyed(person, APP)
