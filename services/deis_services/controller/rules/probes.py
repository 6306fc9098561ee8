"""Health checks of process types: their shape, and how a change is laid over them (api.md 8.6)."""

from collections.abc import Mapping
from typing import Any

from deis_bus.errors import Refused

PROBES = ("livenessProbe", "readinessProbe")
BAD_PROBE = "Healthcheck keys must be either livenessProbe or readinessProbe"
LIVENESS_ONCE = "livenessProbe successThreshold can only be 1"
_NUMBERS = (
    "initialDelaySeconds",
    "timeoutSeconds",
    "periodSeconds",
    "successThreshold",
    "failureThreshold",
)
_TEXTS = ("path", "host", "scheme")


def healthcheck_error(name: str, probes: object) -> str:
    """What is wrong with the probes of a process type; empty when nothing is."""
    if not isinstance(probes, dict):
        return f"could not validate {name or 'default'}: not an object"
    for probe, given in probes.items():
        if probe not in PROBES:
            return BAD_PROBE
        if given is None:
            continue
        reason = _probe_error(given)
        if reason:
            return f"could not validate {probe}: {reason}"
        if probe == "livenessProbe" and given.get("successThreshold", 1) != 1:
            return LIVENESS_ONCE
    return ""


def merge_healthcheck(
    current: Mapping[str, Mapping[str, object]], patch: Mapping[str, Any]
) -> dict[str, dict[str, object]]:
    """Types and probes laid over the present ones; raises Refused 422 for an absent one removed."""
    merged = {name: dict(probes) for name, probes in current.items()}
    for name, probes in patch.items():
        if probes is None:
            _remove(merged, name)
            continue
        own = merged.setdefault(name, {})
        for probe, given in probes.items():
            if given is None:
                _remove(own, probe)
            else:
                own[probe] = given
    return merged


def _remove(mapping: dict[str, Any], key: str) -> None:
    if key not in mapping:
        raise Refused(422, f"{key} does not exist under healthcheck")
    del mapping[key]


def _probe_error(probe: object) -> str:
    if not isinstance(probe, dict):
        return "not an object"
    for name in _NUMBERS:
        if name in probe and not _is_number(probe[name]):
            return f"{name} is not of type 'integer'"
    for action, check in (("exec", _exec_error), ("httpGet", _http_error), ("tcpSocket", _port)):
        if action in probe:
            given = probe[action]
            reason = check(given) if isinstance(given, dict) else "not an object"
            if reason:
                return f"{action}: {reason}"
    return ""


def _exec_error(action: dict[str, Any]) -> str:
    command = action.get("command")
    if not isinstance(command, list) or not command or not _all_texts(command):
        return "'command' is required, a list of strings"
    return ""


def _http_error(action: dict[str, Any]) -> str:
    reason = _port(action)
    if reason:
        return reason
    for name in _TEXTS:
        if name in action and not isinstance(action[name], str):
            return f"{name} is not of type 'string'"
    headers = action.get("httpHeaders", [])
    if not isinstance(headers, list) or not all(
        isinstance(h, dict) and _all_texts([h.get("name"), h.get("value")]) for h in headers
    ):
        return "httpHeaders is not a list of names and values"
    return ""


def _port(action: dict[str, Any]) -> str:
    port = action.get("port")
    if not _is_number(port) or not 1 <= port <= 65_535:  # type: ignore[operator]
        return "'port' is required, an integer"
    return ""


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**31


def _all_texts(values: list[Any]) -> bool:
    return all(isinstance(value, str) for value in values)
