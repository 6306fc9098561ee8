"""Configuration: what may be asked for, and how it is laid over the present one (api.md 8)."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from deis_bus.errors import Refused
from deis_services.controller.model import GROUPS, Config
from deis_services.controller.rules import limits
from deis_services.controller.rules.fields import NUL, Form
from deis_services.controller.rules.probes import healthcheck_error, merge_healthcheck
from deis_services.controller.rules.process_types import BAD_TYPE, is_type
from deis_services.controller.rules.values import BAD_KEY, is_key, value_error

NO_PORT = "PORT needs to be set in the config when using a private registry"

_NULL_IN_JSON = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")

Patch = dict[str, dict[str, Any]]


class Changes(msgspec.Struct, frozen=True):
    """Which keys differ between two maps, each in alphabetical order."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.deleted)


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Changes:
    """What was added, changed and deleted from `old` to `new`."""
    return Changes(
        added=tuple(sorted(new.keys() - old.keys())),
        changed=tuple(sorted(key for key in new.keys() & old.keys() if new[key] != old[key])),
        deleted=tuple(sorted(old.keys() - new.keys())),
    )


def validate_patch(body: Mapping[str, Any], limit_bytes: int) -> Patch:
    """The groups of a request as maps of texts; None asks to remove a key. Raises Invalid.

    Values become texts as the original wrote them: `1` is "1", `true` is "True" (api.md 8).
    """
    form = Form(body)
    patch: Patch = {}
    for group in GROUPS:
        if group not in body:
            continue
        given = form.mapping(group)
        if group != "healthcheck":
            given = {key: None if value is None else str(value) for key, value in given.items()}
        patch[group] = given
        wrong = _group_errors(group, given)
        if wrong:
            form.wrong(group, *wrong)
    if not form.errors and _size(patch) > limit_bytes:
        form.wrong(next(iter(patch)), _too_big(limit_bytes))
    form.done()
    return patch


def merge(current: Config, patch: Mapping[str, Mapping[str, Any]], limit_bytes: int) -> Config:
    """The configuration with a checked patch laid over it.

    Raises Refused 422 for a key removed that is not there, 400 for a registry without `PORT`
    and for more than `limit_bytes`.
    """
    groups = {group: _merge_group(group, getattr(current, group), patch[group]) for group in patch}
    merged = msgspec.structs.replace(current, **groups)
    if merged.registry and "PORT" not in merged.values:
        raise Refused(400, NO_PORT)
    if _size({group: getattr(merged, group) for group in GROUPS}) > limit_bytes:
        raise Refused(400, _too_big(limit_bytes))
    return merged


def with_tags(config: Config, default: Iterable[tuple[str, str]]) -> Config:
    """The configuration with these tags where it has none of its own (api.md 8.4)."""
    return config if config.tags else msgspec.structs.replace(config, tags=dict(default))


def _too_big(limit_bytes: int) -> str:
    return f"The configuration of an application can hold at most {limit_bytes // 1024} KB"


def _merge_group(
    group: str, current: Mapping[str, Any], patch: Mapping[str, Any]
) -> dict[str, Any]:
    if group == "healthcheck":
        return merge_healthcheck(current, patch)
    merged = dict(current)
    for key, value in patch.items():
        if value is not None:
            merged[key.lower() if group == "registry" else key] = value
        elif merged.pop(key, None) is None:
            raise Refused(422, f"{key} does not exist under {group}")
    return merged


def _value(key: str, value: str) -> str:
    return value_error(key, value)


def _registry(key: str, _: str) -> str:
    return "" if is_key(key) else BAD_KEY


def _memory(key: str, value: str) -> str:
    return limits.memory_error(value) if is_type(key) else BAD_TYPE


def _cpu(key: str, value: str) -> str:
    return limits.cpu_error(value) if is_type(key) else BAD_TYPE


def _grace(_: str, value: str) -> str:
    return limits.grace_error(value)


def _anything(_: str, __: str) -> str:
    return ""


_CHECKS: dict[str, Callable[[str, Any], str]] = {
    "values": _value,
    "registry": _registry,
    "memory": _memory,
    "cpu": _cpu,
    "tags": limits.tag_error,
    "termination_grace_period": _grace,
    "healthcheck": healthcheck_error,
}


def _group_errors(group: str, given: Mapping[str, Any]) -> list[str]:
    check = _CHECKS.get(group, _anything)
    found = (check(key, value) for key, value in given.items() if value is not None)
    wrong = list(dict.fromkeys(text for text in found if text))
    # The database holds no such text, whatever else a group may hold.
    return wrong or ([NUL] if _NULL_IN_JSON.search(msgspec.json.encode(given)) else [])


def _size(groups: Mapping[str, Any]) -> int:
    return len(msgspec.json.encode(groups))
