"""Which application has which addresses. Pure.

An address has one owner, the last who was written: a stale entry of another one must never lead
to this one's instance.
"""

from collections.abc import Iterable

from deis_services.router.pools import Pool

MOST = 512
"""Instances of one application that are served."""


class Instances:
    """The targets of all applications."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._listed: dict[str, tuple[str, tuple[str, ...]]] = {}
        """Application to its owner and its targets."""
        self._holders: dict[str, list[str]] = {}
        """Target to the applications, of one owner, that have it."""
        self._young: set[str] = set()
        self._newborn: list[str] = []

    def apps(self) -> Iterable[str]:
        """The applications that listed some, or none."""
        return self._listed.keys()

    def put(
        self, app: str, owner: str, addresses: Iterable[str]
    ) -> tuple[list[tuple[str, str]], list[str]]:
        """An application's addresses from now on. Gives who lost which target to it, and the
        addresses that no upstream group can hold."""
        self.drop(app)
        found = {address: self._pool.target(address) for address in addresses}
        targets = tuple(target for target in found.values() if target)[:MOST]
        lost = [(loser, target) for target in targets for loser in self._take(target, app, owner)]
        self._listed[app] = (owner, targets)
        return lost, [address for address, target in found.items() if not target]

    def drop(self, app: str) -> None:
        """It has none."""
        _, targets = self._listed.pop(app, ("", ()))
        for target in targets:
            holders = self._holders.get(target, [])
            if app in holders:
                holders.remove(app)
                if not holders:
                    del self._holders[target]
                    self._young.discard(target)
                    self._pool.drop(target)

    def of(self, app: str, owner: str) -> tuple[str, ...]:
        """The targets that it has, as the table names them; none where another owner listed them."""
        listed_by, targets = self._listed.get(app, ("", ()))
        if listed_by != owner:
            return ()
        return tuple(
            self._pool.fresh(target) if target in self._young else target
            for target in targets
            if app in self._holders.get(target, ())
        )

    def newborn(self) -> list[str]:
        """Targets that came since the last call, and that their groups may not know yet."""
        newborn, self._newborn = self._newborn, []
        return newborn

    def ripen(self, targets: Iterable[str]) -> set[str]:
        """Their groups know these by now: gives the applications that are written otherwise."""
        ripe = self._young.intersection(targets)
        self._young -= ripe
        return {app for target in ripe for app in self._holders.get(target, ())}

    def _take(self, target: str, app: str, owner: str) -> list[str]:
        """Give a target to an application; gives those of other owners, who lose it."""
        holders = self._holders.get(target)
        if holders is None:
            holders = self._holders[target] = []
            self._pool.hold(target)
            if self._pool.fresh(target) != target:
                self._young.add(target)
                self._newborn.append(target)
        losers = [holder for holder in holders if self._listed[holder][0] != owner]
        for loser in losers:
            holders.remove(loser)
        holders.append(app)
        return losers
