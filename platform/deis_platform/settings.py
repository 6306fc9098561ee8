"""Settings from the environment into frozen dataclasses; every mistake in one message.

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Settings:
        bus: BusSettings                                    # a group: another such dataclass
        folder: Path = env("DEIS_BUILDER_FOLDER", help="bare repositories")
        limit: int = env("DEIS_PACK_LIMIT", "1GB", parse=size, help="bytes of one push")

Types: str, int, float, bool, Path, Address, tuple[str, ...] (separated by commas), and each of
them `| None`. An empty variable counts as absent, except for str.
"""

import dataclasses
import decimal
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_ABSENT: Any = object()
_UNITS = {"": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4}
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


class SettingsError(Exception):
    """What is wrong with the environment, one line per variable; fit for the user."""


class Address(msgspec.Struct, frozen=True):
    """Where to listen or connect; port 0 lets the system choose."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Described(msgspec.Struct, frozen=True):
    """A variable, for documents."""

    name: str
    default: str
    """As written in the environment; `required` where there is none, empty for nothing."""
    help: str


def env(
    name: str,
    default: Any = _ABSENT,
    *,
    help: str = "",  # noqa: A002 - reads as it is meant
    parse: Callable[[str], Any] | None = None,
) -> Any:
    """A field read from variable `name`; required without a default.

    `parse` turns the text into the value and raises ValueError with what it expects; with it,
    a default that is text is parsed too, so that `env("X", "1GB", parse=size)` reads well.
    """
    shown = "required" if default is _ABSENT else _shown(default)
    if parse is not None and isinstance(default, str):
        default = parse(default)
    metadata = {"env": name, "help": help, "parse": parse, "shown": shown}
    if default is _ABSENT:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def size(text: str) -> int:
    """Bytes of `512MB`, `1GB`, `4096`; raises ValueError."""
    match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,6})?)\s*([KMGT]B)?", text.strip().upper())
    if match is None:
        raise ValueError("expected a size such as 512MB")
    return int(decimal.Decimal(match[1]) * _UNITS[match[2] or ""])


def count(text: str) -> int:
    """A whole number from 1 on; raises ValueError."""
    if number := _integer(text):
        return number
    raise ValueError("expected a whole number from 1 on")


def within(lowest: int, highest: int) -> Callable[[str], int]:
    """A parser of whole numbers, both bounds among them."""

    def parse(text: str) -> int:
        if lowest <= (number := _integer(text)) <= highest:
            return number
        raise ValueError(f"expected a whole number from {lowest} to {highest}")

    return parse


def duration(text: str) -> float:
    """Seconds, more than none; raises ValueError."""
    if seconds := _number(text):
        return seconds
    raise ValueError("expected a number above 0")


def span(lowest: int, highest: int, most: int = 0) -> Callable[[str], range]:
    """A parser of `20000-29999`, both ends in it, within these bounds; with `most` not longer."""
    expected = f"FIRST-LAST between {lowest} and {highest}"
    if most:
        expected += f", at most {most} of them"

    def parse(text: str) -> range:
        first, _, last = text.partition("-")
        if all(word.isascii() and word.isdigit() for word in (first, last)):
            found = range(int(first), int(last) + 1)
            inside = lowest <= found.start < found.stop <= highest + 1
            if inside and (not most or len(found) <= most):
                return found
        raise ValueError(f"expected {expected}")

    return parse


def address(text: str) -> Address:
    """`host:port` or `[v6]:port`; raises ValueError."""
    host, colon, port = text.strip().rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError("expected HOST:PORT")
    return Address(host, int(port))


def load(cls: type[T], environ: Mapping[str, str]) -> T:
    """The settings `cls` from these variables; raises SettingsError naming each wrong one."""
    mistakes: list[str] = []
    value = _load(cls, environ, mistakes)
    if mistakes:
        raise SettingsError("wrong settings:\n" + "\n".join(f"  {line}" for line in mistakes))
    return value


def described(cls: type[Any]) -> Iterator[Described]:
    """Every variable of a settings class, groups included."""
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        if "env" not in field.metadata:
            yield from described(hints[field.name])
            continue
        data = field.metadata
        yield Described(data["env"], data["shown"], data["help"])


def _shown(default: Any) -> str:
    """A default as one would write it into the environment; empty for none."""
    if isinstance(default, bool):
        return str(default).lower()
    return ",".join(default) if isinstance(default, tuple) else str(default or "")


def _load(cls: type[T], environ: Mapping[str, str], mistakes: list[str]) -> T:
    hints = typing.get_type_hints(cls)
    values: dict[str, Any] = {}
    before = len(mistakes)
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        kind = hints[field.name]
        if "env" not in field.metadata:
            values[field.name] = _load(kind, environ, mistakes)
            continue
        name = field.metadata["env"]
        text = environ.get(name)
        if text is None or (text == "" and kind is not str):
            if field.default is dataclasses.MISSING:
                mistakes.append(
                    f"{name} is missing: {field.metadata['help'] or 'it has no default'}"
                )
            continue
        try:
            values[field.name] = (field.metadata["parse"] or _parser(kind))(text)
        except ValueError as fault:
            # The text itself stays out: it may be a URL with a password.
            mistakes.append(f"{name}: {fault}")
    return cls(**values) if len(mistakes) == before else _ABSENT


def _parser(kind: Any) -> Callable[[str], Any]:
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        kind = next(part for part in typing.get_args(kind) if part is not type(None))
    if typing.get_origin(kind) is tuple:
        return _words
    return _PARSERS[kind]


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _integer(text: str) -> int:
    if not re.fullmatch(r"\+?\d{1,18}", text.strip()):
        raise ValueError("expected a whole number")
    return int(text)


def _number(text: str) -> float:
    if not re.fullmatch(r"\+?\d+(\.\d+)?", text.strip()):
        raise ValueError("expected a number")
    return float(text)


def _boolean(text: str) -> bool:
    word = text.strip().lower()
    if word not in _TRUE | _FALSE:
        raise ValueError("expected true or false")
    return word in _TRUE


_PARSERS: dict[Any, Callable[[str], Any]] = {
    str: str,
    int: _integer,
    float: _number,
    bool: _boolean,
    Path: Path,
    Address: address,
}
