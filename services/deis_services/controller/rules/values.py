"""Environment variables of an application: names, and the ones with a meaning (api.md 8.2, 28.2)."""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DIGITS = re.compile(r"[0-9]+")
BAD_KEY = "Config keys must start with a letter or underscore and only contain [A-z0-9_]"
NO_PATH = (
    "HEALTHCHECK_URL is missing a URI path (such as /healthz). "
    "Without it no health check can be done"
)
ONLY_PATH = (
    "HEALTHCHECK_URL can only be a URI path (such as /healthz) "
    "that does not contain other things such as query params"
)
MAX_VALUE_BYTES = 131_000
"""Linux starts no program with a longer variable (MAX_ARG_STRLEN is 128 KB, name included)."""

RANGES: Mapping[str, tuple[int, int]] = {
    "PORT": (1, 65_535),
    "DEIS_DEPLOY_BATCHES": (0, 1_000),
    "DEIS_DEPLOY_TIMEOUT": (1, 86_400),
    "KUBERNETES_POD_TERMINATION_GRACE_PERIOD_SECONDS": (0, 86_400),
    "KUBERNETES_DEPLOYMENTS_REVISION_HISTORY_LIMIT": (0, 1_000),
}
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_HEALTH_LIMIT = 86_400


def is_key(key: str) -> bool:
    """Whether a variable (or a registry key) may have that name."""
    return _KEY.fullmatch(key) is not None


def value_error(key: str, value: str) -> str:
    """What is wrong with a variable; empty when nothing is."""
    if not is_key(key):
        return BAD_KEY
    if "\0" in value:
        return f"{key} may not contain null characters"
    if len(key) + len(value.encode()) > MAX_VALUE_BYTES:
        return f"{key} is longer than {MAX_VALUE_BYTES} bytes, more than a variable can hold"
    if key in RANGES:
        return _number_error(key, value, *RANGES[key])
    if key == "HEALTHCHECK_URL":
        return _path_error(value)
    if key.startswith("HEALTHCHECK_"):
        return _number_error(key, value, 0, _HEALTH_LIMIT)
    if key == "IMAGE_PULL_POLICY" and value not in _PULL_POLICIES:
        return f"IMAGE_PULL_POLICY can only be {', '.join(_PULL_POLICIES)}"
    return ""


def _number_error(key: str, value: str, low: int, high: int) -> str:
    if not _DIGITS.fullmatch(value):
        return f"{key} can only be a numeric value"
    if len(value) > 9 or not low <= int(value) <= high:
        return f"{key} needs to be between {low} and {high}"
    return ""


def _path_error(value: str) -> str:
    try:
        parts = urlsplit(value)
    except ValueError:
        return ONLY_PATH
    if parts.scheme or parts.netloc or parts.query or parts.fragment:
        return ONLY_PATH if parts.path else NO_PATH
    if not value.startswith("/"):
        return NO_PATH
    return "" if value == parts.path and value.isprintable() and " " not in value else ONLY_PATH
