"""Rounds of changes of an application under traffic, the same on a laptop and on a cluster."""

from dataclasses import dataclass

from integration.person import Person
from integration.rest import Rest
from integration.sample_app import commit, edition
from integration.traffic import Traffic


@dataclass(frozen=True)
class Rounds:
    """What changes, and who sees it."""

    person: Person
    """Owns the application; their folder is its repository."""
    api: Rest
    seen: Traffic
    app: str
    instances: int
    more: int
    """So many instances more for a while."""

    async def one(self, number: int, version: int) -> int:
        """Deploy, configure, restart, scale and roll back once; gives the newest release."""
        path, seen = f"/apps/{self.app}", self.seen
        await commit(self.person, edition(number))
        says = f"{self.app}:v{version + 1} deployed"
        await self.person.types("git", "push", "deis", "main", says=says)
        await seen.some_more()
        await self.api.post(f"{path}/config", values={"ROUND": str(number)})
        await seen.some_more()
        await self.api.post(f"{path}/pods/web/restart")
        await seen.some_more()
        await self.api.post(f"{path}/scale", web=self.instances + self.more)
        await seen.some_more()
        await self.api.post(f"{path}/scale", web=self.instances)
        await seen.some_more()
        rolled = await self.api.post(f"{path}/releases/rollback", version=version)
        assert rolled["version"] == version + 3
        await seen.some_more()
        return version + 3


def served(seen: Traffic, rounds: int) -> None:
    """Nothing failed, and each edition was seen."""
    assert not seen.failures, seen.failures[:5]
    assert {f"edition {number}".encode() for number in range(rounds + 1)} <= set(seen.bodies)
