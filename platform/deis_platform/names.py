"""Names: of applications, of instances, of one-off commands."""

import hashlib
import re
import secrets

from deis_platform.words import ADJECTIVES, NOUNS

MAX_APP_NAME = 63
_APP = re.compile(r"[a-z](?:[a-z0-9-]*[a-z0-9])?")
_SUFFIX = "bcdfghjklmnpqrstvwxz2456789"
"""No vowels and no look-alikes, so that no word appears by chance."""
GROUP_LENGTH = 10
SUFFIX_LENGTH = 5


def app_name() -> str:
    """A new name like `nimble-hedgehog`, picked at random (api.md 6.1)."""
    return f"{secrets.choice(ADJECTIVES)}-{secrets.choice(NOUNS)}"


def is_app_name(name: str) -> bool:
    """Whether an application may have this name (api.md 6)."""
    return len(name) <= MAX_APP_NAME and _APP.fullmatch(name) is not None


def group(seed: str) -> str:
    """The middle part of instance names: ten characters, the same for the same seed.

    A seed names what instances have in common, e.g. identity, type and release.
    """
    number = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:12])
    letters = []
    for _ in range(GROUP_LENGTH):
        number, index = divmod(number, len(_SUFFIX))
        letters.append(_SUFFIX[index])
    return "".join(letters)


def instance_name(app: str, process_type: str, seed: str) -> str:
    """A new name `APP-TYPE-<10>-<5>`, like a pod's (DESIGN 6)."""
    return f"{app}-{process_type}-{group(seed)}-{_random()}"


def run_name(app: str) -> str:
    """A new name for a one-off command: `APP-run-<5>`."""
    return f"{app}-run-{_random()}"


def log_suffix(instance: str) -> str:
    """The part of an instance's name that stands in log lines (components.md 7.8).

    The last part of names with four or more, empty otherwise.
    """
    parts = instance.split("-")
    return parts[-1] if len(parts) >= 4 else ""


def _random() -> str:
    return "".join(secrets.choice(_SUFFIX) for _ in range(SUFFIX_LENGTH))
