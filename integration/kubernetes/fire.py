"""Applications in whose pushes and deploys things end (DESIGN 1).

Builds and instances wait at gates, so that something can happen in the very middle.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from integration.kubernetes.platform import ClusterPlatform, Gate
from integration.kubernetes.sample import destroyed, pushed
from integration.kubernetes.victims import all_ready, rows
from integration.person import Person, Printed
from integration.sample_app import commit, edition
from integration.servers import until

WAITS = """import os, time, urllib.request

gate = os.environ.get("GATE", "")
for _ in range(600 if gate else 0):
    try:
        urllib.request.urlopen(gate, timeout=5)
        break
    except OSError:
        time.sleep(0.1)
"""
HOOK = "bin/pre-compile"
BEGUN, WENT_ON = "the build waits at its gate", "the gate is open"
"""Lines of a build, before its gate and behind it."""


@dataclass(frozen=True)
class Change:
    """Something that waits in its middle."""

    gate: Gate
    typing: "asyncio.Task[Printed]"


class Fire:
    """One person with one application."""

    def __init__(self, platform: ClusterPlatform, person: Person, app: str) -> None:
        self.platform = platform
        self.person = person
        self.app = app
        self.edition = 0
        self.served = 0
        """The edition that must be served now."""
        self._gates = 0

    async def begin_push(self) -> Change:
        """A push of the next edition, whose build waits at a gate."""
        gate = self._gate()
        self.edition += 1
        self.person.writes({HOOK: f"#!/bin/bash\necho '{BEGUN}'\n{gate.script}\n"})
        (self.person.folder / HOOK).chmod(0o755)
        await commit(self.person, files(self.edition))
        pushing = asyncio.create_task(self.push())
        await until(gate.reached, "the build begins", 60)
        return Change(gate, pushing)

    async def end_push(self, change: Change) -> Printed:
        """The edition serves at the end, pushed once or, where it was cut off, again."""
        printed = await change.typing
        if printed.code:
            await until(self._goes, "the cut-off push can be pushed again", 120)
        await self._serves()
        return printed

    async def begin_deploy(self) -> Change:
        """A changed configuration, whose new instance waits at a gate."""
        gate = self._gate()
        words = (f"KEPT={gate.name}", f"GATE={gate.url}")
        changing = asyncio.create_task(self.person.types("deis", "config:set", *words, code=None))
        await until(lambda: gate.reached() or changing.done(), "the deploy begins", 90)
        return Change(gate, changing)

    async def end_deploy(self, change: Change) -> Printed:
        """The edition serves at the end, and the value is there if it was acknowledged."""
        done = await change.typing
        if done.code == 0:
            assert f"KEPT={change.gate.name}" in await self._configuration()
        await self._serves()
        return done

    async def push(self) -> Printed:
        """A push, however it ends."""
        return await self.person.types("git", "push", "-f", "deis", "HEAD:main", code=None)

    async def keeps_serving(self, pages: int) -> None:
        """So many requests, one after the other, and each gets the edition that must be served."""
        for number in range(pages):
            page = await self.person.sees(self.platform.host(self.app), 80)
            served = (200, f"edition {self.served}")
            assert page == served, f"{self.app}, page {number}: {page} in place of {served}"

    async def _shows(self) -> bool:
        try:
            page = await self.person.sees(self.platform.host(self.app), 80)
        except OSError:
            return False
        return page == (200, f"edition {self.served}")

    async def holds(self) -> None:
        """What must be true once nothing is under way."""
        await all_ready(self.platform)
        await until(self._quiet, "operations and pushes have ended", 60)
        found = rows(
            self.platform,
            "SELECT r.version, r.state FROM releases r JOIN apps a ON a.uuid = r.app"
            f" WHERE a.id = '{self.app}' ORDER BY r.version",
        )
        assert [row["version"] for row in found] == list(range(1, len(found) + 1))
        assert {row["state"] for row in found} <= {"succeeded", "failed", "superseded"}
        told = rows(self.platform, "SELECT id FROM events WHERE type = 'release.created'")
        assert len(told) == len({row["id"] for row in told})
        await until(self._as_wanted, "what runs is what is wanted", 60)

    def _gate(self) -> Gate:
        self._gates += 1
        return self.platform.gate(f"{self.app}-{self._gates}")

    def _quiet(self) -> bool:
        query = (
            "SELECT (SELECT count(*) FROM operations WHERE state IN ('queued', 'running'))"
            " + (SELECT count(*) FROM pushes WHERE state IN"
            " ('receiving', 'queued', 'building', 'releasing')) AS n"
        )
        return rows(self.platform, query) == [{"n": 0}]

    async def _as_wanted(self) -> bool:
        shown = await self.person.types("deis", "ps:list", "-a", self.app, "-o", "json", code=None)
        pods = self.platform.node.get("--namespace", self.app, "pods")["items"]
        running = [pod for pod in pods if pod["status"]["phase"] == "Running"]
        return shown.code == 0 and len(json.loads(shown.output)) == 1 == len(running)

    async def _configuration(self) -> str:
        """As it is shown, as soon as it is."""
        shown: list[str] = []

        async def answers() -> bool:
            printed = await self.person.types("deis", "config:list", "--oneline", code=None)
            shown[:] = [printed.output]
            return printed.code == 0

        await until(answers, "the configuration is shown", 60)
        return shown[0]

    async def _goes(self) -> bool:
        return (await self.push()).code == 0

    async def _serves(self) -> None:
        self.served = self.edition
        await until(self._shows, f"edition {self.edition} is served", 90)


def files(number: int) -> dict[str, str]:
    """An edition whose instances wait at the gate that their environment names."""
    found = edition(number)
    return found | {"server.py": WAITS + found["server.py"]}


@asynccontextmanager
async def under_fire(
    platform: ClusterPlatform, folder: Path, *apps: str
) -> AsyncIterator[list[Fire]]:
    """Applications of these names, each of somebody's own, with their first edition; gone at the
    end."""
    fires: list[Fire] = []
    try:
        for app in apps:
            person = await pushed(platform, folder / app, f"owner-of-{app}", app)
            fires.append(Fire(platform, person, app))
        yield fires
    except BaseException:
        print(platform.log())
        raise
    finally:
        await asyncio.gather(*(destroyed(fire.person, fire.app) for fire in fires))


async def in_the_middle(
    fires: list[Fire], harm: Callable[[], AbstractAsyncContextManager[None]]
) -> tuple[Printed, Printed]:
    """While the first one is pushed and the second one deployed; both go on within the context."""
    first, second = fires
    push, deploy = await asyncio.gather(first.begin_push(), second.begin_deploy())
    async with harm():
        push.gate.open()
        deploy.gate.open()
    printed, done = await asyncio.gather(first.end_push(push), second.end_deploy(deploy))
    for fire in fires:
        await fire.holds()
    return printed, done
