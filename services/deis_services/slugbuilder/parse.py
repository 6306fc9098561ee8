"""What the texts of a repository mean: Procfile, release file, .slugignore. Pure."""

import fnmatch
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import yaml

MAX_TEXT = 64 * 1024
TYPE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
T = TypeVar("T")
CLASSIC = re.compile(r"([A-Za-z0-9_-]+):\s*(\S.*)")


class Malformed(ValueError):
    """A text is not what its name says; the message is for the person who wrote it."""


def procfile(text: str) -> dict[str, str]:
    """Process types and their commands. Raises Malformed.

    YAML, a map of type to command (components.md 2.9); a text that is no YAML, because a command
    holds `: `, is read line by line as Heroku does.
    """
    _bounded(text, "Procfile")
    try:
        found = _yaml(text, "Procfile")
    except yaml.YAMLError:
        found = _lines(text)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise Malformed("Procfile: not a list of `type: command` lines")
    return _types(found, "Procfile")


def release(text: str) -> tuple[dict[str, str], dict[str, str]]:
    """`default_process_types` and `config_vars` of a buildpack's bin/release. Raises Malformed."""
    _bounded(text, "bin/release")
    try:
        found = _yaml(text, "bin/release") or {}
    except yaml.YAMLError as fault:
        raise Malformed(f"bin/release did not print YAML: {fault}") from fault
    if not isinstance(found, dict):
        raise Malformed("bin/release did not print a map")
    types = found.get("default_process_types") or {}
    variables = found.get("config_vars") or {}
    if not isinstance(types, dict) or not isinstance(variables, dict):
        raise Malformed("bin/release: default_process_types and config_vars must be maps")
    # A nested value is no variable; by YAML's aliases its text may be without end.
    if not all(isinstance(text, str) for entry in variables.items() for text in entry):
        raise Malformed("bin/release: config_vars must be texts")
    return _types(types, "bin/release"), dict(variables)


def _bounded(text: str, name: str) -> None:
    if len(text) > MAX_TEXT:
        raise Malformed(f"{name}: longer than {MAX_TEXT // 1024} KB")
    if "\0" in text:
        raise Malformed(f"{name}: holds a NUL character")


def _yaml(text: str, name: str) -> Any:
    try:
        # The base loader makes strings of all scalars: a command `true` is no boolean.
        return yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - it makes no objects
    except RecursionError:
        raise Malformed(f"{name}: nested too deeply") from None


def _lines(text: str) -> dict[str, str]:
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = CLASSIC.fullmatch(line.strip())
        if match is None:
            raise Malformed(f"Procfile: line {number} is not `type: command`")
        found[match[1]] = match[2]
    return found


def _types(found: Mapping[Any, Any], name: str) -> dict[str, str]:
    types = {}
    for kind, command in found.items():
        if not isinstance(kind, str) or not TYPE.fullmatch(kind) or len(kind) > 63:
            raise Malformed(
                f"{name}: process type {str(kind)[:80]!r} may hold lower-case letters, digits"
                " and single hyphens only"
            )
        if not isinstance(command, str) or not command.strip():
            raise Malformed(f"{name}: process type {kind!r} has no command")
        types[kind] = command.strip()
    return types


def ignored(text: str) -> Callable[[str], bool]:
    """What a .slugignore leaves out, asked with paths relative to the slug's root.

    As an exclude file of tar: one glob pattern per line, matching a path or any of its ends
    after a `/`, and everything below what matches; a leading `/` ties it to the root.
    """
    patterns = [_pattern(line.strip()) for line in text[:MAX_TEXT].splitlines()]
    tests = [re.compile(pattern) for pattern in patterns if pattern]
    return lambda path: any(test.fullmatch(path) for test in tests)


def _pattern(line: str) -> str:
    if not line or line.startswith("#"):
        return ""
    tied = line.startswith(("/", "./"))
    glob = line.removeprefix("./").strip("/")
    if not glob:
        return ""
    body = fnmatch.translate(glob).removesuffix(r"\Z").removesuffix(r"\z")
    return ("" if tied else r"(?:.*/)?") + body + r"(?:/.*)?"
