"""Memory and CPU limits, tags and grace periods of process types (api.md 8.3, 8.4, 8.7)."""

import re

MEMORY = (
    "Memory limit format: <number><unit> or <number><unit>/<number><unit>, "
    "where unit = B, K, M or G"
)
CPU = "CPU limit format: <value> or <value>/<value>, where value must be a numeric"
GRACE = "Termination Grace Period format: <value>, where value must be a numeric"
TAG_PREFIX_LONG = "Tag key prefixes must 253 characters or less."
TAG_PREFIX = "Tag key prefixes must be DNS subdomains."
TAG_KEY = 'Tag keys must be alphanumeric or "-_.", and 1-63 characters.'
TAG_VALUE = 'Tag values must be alphanumeric or "-_.", and 1-63 characters.'

_BYTES = re.compile(r"([0-9]{1,15})([BKMG]|[KMG]B)", re.IGNORECASE)
_CPU = re.compile(r"([-+]?[0-9]{0,9}\.?[0-9]{1,9})(m?)")
_TAG = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_SUBDOMAIN = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_SCALE = {"B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def memory_error(value: str) -> str:
    """What is wrong with a memory limit; empty when nothing is."""
    request, slash, limit = value.partition("/")
    asked = 0 if request == "0" else _bytes(request)
    most = _bytes(limit) if slash else asked
    if asked is None or most is None:
        return MEMORY
    return "Memory request must not be more than the limit" if asked > most else ""


def cpu_error(value: str) -> str:
    """What is wrong with a CPU limit; empty when nothing is."""
    request, slash, limit = value.partition("/")
    asked = _cpus(request)
    most = _cpus(limit) if slash else asked
    if asked is None or most is None:
        return CPU
    return "CPU request must not be more than the limit" if asked > most else ""


def memory_bytes(value: str) -> tuple[int, int]:
    """Request and limit in bytes of a memory limit; one number is the limit alone."""
    request, slash, limit = value.partition("/")
    asked = _bytes(request) or 0
    return (asked, _bytes(limit) or 0) if slash else (0, asked)


def cpus(value: str) -> tuple[float, float]:
    """Request and limit in CPUs of a CPU limit; one number is the limit alone."""
    request, slash, limit = value.partition("/")
    asked = _cpus(request) or 0.0
    return (asked, _cpus(limit) or 0.0) if slash else (0.0, asked)


def grace_error(value: str) -> str:
    """What is wrong with a grace period in seconds; empty when nothing is."""
    return "" if re.fullmatch(r"[0-9]{1,5}", value) else GRACE


def tag_error(key: str, value: str) -> str:
    """What is wrong with a tag; empty when nothing is."""
    prefix, slash, name = key.partition("/")
    if not slash:
        prefix, name = "", key
    if len(prefix) > 253:
        return TAG_PREFIX_LONG
    if slash and not _SUBDOMAIN.fullmatch(prefix):
        return TAG_PREFIX
    if not _TAG.fullmatch(name):
        return TAG_KEY
    return "" if value == "" or _TAG.fullmatch(value) else TAG_VALUE


def _bytes(text: str) -> int | None:
    found = _BYTES.fullmatch(text)
    return int(found[1]) * _SCALE[found[2][0].upper()] if found else None


def _cpus(text: str) -> float | None:
    found = _CPU.fullmatch(text)
    return float(found[1]) / (1000 if found[2] else 1) if found else None
