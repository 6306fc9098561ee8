"""To which release one may roll back (api.md 9)."""

from deis_bus.errors import Refused
from deis_services.controller.model import Release

UNKNOWN = "Release matching query does not exist."
BELOW = "version cannot be below 0"
HIGHEST = 2**31 - 1
"""No release has a higher number: the column holds no more."""


def wanted_version(given: object) -> int | None:
    """The `version` of a rollback's body as a number; None asks for the previous one.

    Raises Refused 400 for what can never be a release, whatever the state.
    """
    if given is None:
        return None
    try:
        version = int(given)  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError) as fault:
        shown = repr(given)[:100]
        raise Refused(400, f"invalid literal for int() with base 10: {shown}") from fault
    if version < 1:
        raise Refused(400, BELOW)
    if version > HIGHEST:
        raise Refused(400, UNKNOWN)
    return int(version)


def rollback_target(wanted: object, newest_successful: int, release: Release | None) -> int:
    """The version to roll back to: what was asked for, else the one before the newest successful.

    `release` is the release of that number, None where there is none. Raises Refused 400.
    """
    asked = wanted_version(wanted)
    version = newest_successful - 1 if asked is None else asked
    if version < 1:
        raise Refused(400, BELOW)
    if version == 1:
        raise Refused(400, "Cannot roll back to initial release.")
    if release is None or release.version != version:
        raise Refused(400, UNKNOWN)
    if release.state != "succeeded":
        raise Refused(400, "Cannot roll back to failed release.")
    return version
