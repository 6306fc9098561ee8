"""What a process type may be called (api.md 7)."""

import re
from collections.abc import Mapping
from typing import Any

_TYPE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
BAD_TYPE = "Process types can only contain lowercase alphanumeric characters"
NO_COMMAND = "Command can't be empty for process type"


def is_type(name: str) -> bool:
    """Whether a process type may have that name."""
    return _TYPE.fullmatch(name) is not None


def procfile_errors(procfile: Mapping[str, Any]) -> list[str]:
    """What is wrong with a Procfile given as an object; empty when nothing is."""
    if not all(is_type(name) for name in procfile):
        return [BAD_TYPE]
    if any(command is None or command == "" for command in procfile.values()):
        return [NO_COMMAND]
    if not all(isinstance(command, str) and "\0" not in command for command in procfile.values()):
        return ["Not a valid string."]
    return []
