"""How many instances of each process type should run (api.md 7, 10.1, 24.1)."""

from collections.abc import Mapping
from typing import Any

from deis_bus.errors import Refused
from deis_services.controller.model import Build

NO_BUILD = "No build associated with this release"
NO_PROCFILE = (
    "Last deployment had a Procfile but is missing in this deploy. "
    "For a successful deployment provide a Procfile."
)
NEGATIVE = "Invalid scaling format: Must be greater than or equal to zero"
TOO_MANY = "Invalid scaling format: Must be less than or equal to {}"


def default_structure(build: Build) -> dict[str, int]:
    """What a first deploy of a build starts."""
    if "web" in build.procfile:
        return {"web": 1}
    if build.kind != "buildpack":
        return {"cmd": 1}
    return {} if build.procfile else {"web": 1}


def procfile_policy(
    old: Mapping[str, str],
    new: Mapping[str, str],
    *,
    reject_missing: bool = False,
    remove_missing: bool = True,
) -> tuple[dict[str, str], tuple[str, ...]]:
    """The Procfile of the new build, and the process types that are scaled to zero with it.

    `old` is the Procfile of the newest successful release's build. Raises Refused 409 when a
    Procfile went missing and the platform does not allow that.
    """
    if not old or new:
        return dict(new), tuple(sorted(old.keys() - new.keys()))
    if reject_missing:
        raise Refused(409, NO_PROCFILE)
    if remove_missing:
        return {}, tuple(sorted(old))
    return dict(old), ()


def counts_for_deploy(
    structure: Mapping[str, int], previous: Build | None, build: Build
) -> dict[str, int]:
    """The counts with which a build is deployed, `previous` being the one it replaces.

    An empty structure gets the default; a build of another kind zeroes `web` and `cmd` and
    gets its default; types whose command is gone go to zero; everything else stays.
    """
    counts = dict(structure)
    if previous is not None:
        for name in procfile_policy(previous.procfile, build.procfile)[1]:
            if name in counts:
                counts[name] = 0
        if previous.kind != build.kind:
            counts |= dict.fromkeys(("cmd", "web") & counts.keys(), 0)
            counts |= default_structure(build)
    return counts or default_structure(build)


def merge_scale(
    asked: Mapping[str, Any], structure: Mapping[str, int], build: Build | None, most: int
) -> dict[str, int]:
    """The counts after a scale request, each `most` or less; raises Refused with the texts of
    api.md 10.1, in its order."""
    if build is None:
        raise Refused(400, NO_BUILD)
    counts = {name: _count(value) for name, value in asked.items()}
    if any(count < 0 for count in counts.values()):
        raise Refused(400, NEGATIVE)
    if any(count > most for count in counts.values()):
        raise Refused(400, TOO_MANY.format(most))
    for name in counts:
        if name != "cmd" and name not in build.procfile and name not in default_structure(build):
            raise Refused(404, f"Container type {name} does not exist in application")
    return dict(structure) | counts


def _count(value: object) -> int:
    try:
        return int(value)  # type: ignore[call-overload,no-any-return]
    except (TypeError, ValueError, OverflowError) as fault:
        raise Refused(400, f"Invalid scaling format: {str(fault)[:200]}") from fault
