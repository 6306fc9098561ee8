"""The sentence that says what a release changed (api.md 23.2)."""

from collections.abc import Mapping
from typing import Any

from deis_bus.errors import Refused
from deis_services.controller.model import Build, Config
from deis_services.controller.rules.config import changes

SHOWN = 7
"""Characters of a commit or a build that are shown."""


def summary(
    previous: tuple[Build | None, Config] | None,
    build: Build | None,
    config: Config,
    app_owner: str,
    version: int,
) -> str:
    """What differs from the previous successful release, its parts joined by ` and `.

    Raises Refused 409 when nothing differs.
    """
    if version == 1 or previous is None:
        return f"{app_owner} created initial release"
    before, old = previous
    parts = []
    if build is not None and (before is None or before.uuid != build.uuid):
        parts.append(f"{build.owner} deployed {build.sha[:SHOWN] or build.image}")
    parts += [f"{config.owner} {text}" for text in _config_parts(old, config)]
    if not parts:
        raise Refused(409, f"{config.owner} changed nothing - release stopped")
    return " and ".join(parts)


def _config_parts(old: Config, new: Config) -> list[str]:
    limited = [name for name in ("memory", "cpu") if getattr(old, name) != getattr(new, name)]
    graced = old.termination_grace_period != new.termination_grace_period
    parts = [
        _keyed(old.values, new.values),
        f"changed limits for {', '.join(limited)}" if limited else "",
        _hooks("lifecycle_post_start", old, new),
        _hooks("lifecycle_pre_stop", old, new),
        "changed timeouts for termination_grace_period" if graced else "",
        _keyed(old.tags, new.tags, "tag "),
        _keyed(old.registry, new.registry, "registry info "),
        _keyed(
            {name or "default": probes for name, probes in old.healthcheck.items()},
            {name or "default": probes for name, probes in new.healthcheck.items()},
            "healthcheck info for proc type ",
        ),
    ]
    return [part for part in parts if part]


def _keyed(
    old: Mapping[str, Any], new: Mapping[str, Any], what: str = "", added: str | None = None
) -> str:
    found = changes(old, new)
    parts = (
        ("added " + (what if added is None else added), found.added),
        ("changed " + what, found.changed),
        ("deleted " + what, found.deleted),
    )
    return ", ".join(verb + ", ".join(keys) for verb, keys in parts if keys)


def _hooks(group: str, old: Config, new: Config) -> str:
    # Two spaces after the word when something is added: the original's text, kept.
    return _keyed(getattr(old, group), getattr(new, group), f"{group} ", f"{group}  ")
