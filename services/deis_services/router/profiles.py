"""Numbers for the profiles of applications: each is a location of nginx' configuration. Pure."""

from deis_services.router.policy import PLAIN, Profile

MOST = 64
"""Different profiles at a time: nginx looks for a named location one after the other."""


class Profiles:
    """Who uses which profile, and which of them nginx knows."""

    def __init__(self) -> None:
        self._used: dict[Profile, int] = {}
        self._numbers: dict[Profile, int] = {}
        self._known: dict[int, Profile] = {}

    def take(self, profile: Profile) -> bool:
        """One more application uses it; False when there is no number left for it."""
        if profile == PLAIN:
            return True
        self._used[profile] = self._used.get(profile, 0) + 1
        if profile not in self._numbers:
            free = set(range(1, MOST + 1)) - set(self._numbers.values())
            if not free:
                return False
            self._numbers[profile] = min(free)
        return True

    def drop(self, profile: Profile) -> None:
        """One application less uses it."""
        if profile == PLAIN:
            return
        self._used[profile] -= 1
        if not self._used[profile]:
            del self._used[profile]
            self._numbers.pop(profile, None)

    def wanted(self) -> dict[int, Profile]:
        """What nginx has to know: number to profile."""
        return dict(sorted((number, profile) for profile, number in self._numbers.items()))

    def known(self, profiles: dict[int, Profile]) -> set[Profile]:
        """nginx knows these now; gives those for which that is news."""
        old, self._known = self._known, dict(profiles)
        return {p for number, p in profiles.items() if old.get(number) != p}

    def number(self, profile: Profile) -> int:
        """Its number where nginx knows it, else 0: served like any other application."""
        number = self._numbers.get(profile, 0)
        return number if self._known.get(number) == profile else 0
