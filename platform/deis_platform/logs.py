"""Structured logs: one line per fact, with event, app and release on every line.

    log = get_logger(__name__)
    with bound(event="build.done", app="blog", release=3):
        log.info("deployed", seconds=1.2)

`event` is what is being handled (an event's type or id), never the message. Values under names
that speak of secrets are hidden, and so are passwords in URLs.
"""

import logging
import re
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

import structlog
from structlog.contextvars import bound_contextvars, merge_contextvars

CONTEXT = ("event", "app", "release")
_SECRET_NAME = re.compile(r"passw|secret|token|authorization|credential|private", re.IGNORECASE)
_SECRET_URL = re.compile(r"(://[^/\s:@]*:)[^/\s@]+@")
HIDDEN = "[hidden]"
_NUMBERS = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)
"""The levels there are; libraries make up others between them."""

Fields = MutableMapping[str, Any]


class _Lossy:
    """A stream that loses what cannot be written: a full disk is no fault of who logs."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def set_up(*, format: str = "plain", level: str = "info", stream: TextIO | None = None) -> None:  # noqa: A002
    """Write every log of this process to `stream` (standard error), `plain` or as `json`.

    Records of libraries that use the standard library's logging come out the same way.
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    rendered = structlog.processors.JSONRenderer() if format == "json" else plain
    structlog.configure(
        processors=[
            merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            structlog.processors.EventRenamer("message", "_event"),
            _with_context,
            hide_secrets,
            rendered,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", _Lossy(stream or sys.stderr))),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [_Forward()]
    root.setLevel(max(number, logging.WARNING))


def get_logger(name: str = "") -> Any:
    """A logger; `name` is the module's."""
    return structlog.get_logger(name)


@contextmanager
def bound(**fields: object) -> Iterator[None]:
    """Put fields on every line that is logged inside, tasks started inside included."""
    if "event" in fields:
        fields["_event"] = fields.pop("event")
    with bound_contextvars(**fields):
        yield


def hide_secrets(_logger: object, _method: str, fields: Fields) -> Fields:
    """Nothing that looks secret leaves the process."""
    for name, value in fields.items():
        fields[name] = _shown_under(name, value)
    return fields


def _shown_under(name: object, value: object) -> object:
    hidden = isinstance(name, str) and _SECRET_NAME.search(name) and value
    return HIDDEN if hidden else _without_secrets(value)


def _without_secrets(value: object) -> object:
    """A value as it may be shown; what is no plain value becomes text, for it may hold a URL."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(name): _shown_under(name, inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_without_secrets(inner) for inner in value]
    return _SECRET_URL.sub(rf"\1{HIDDEN}@", str(value))


def plain(_logger: object, _method: str, fields: Fields) -> str:
    """`<time> LEVEL service [event app v3] message name=value`, an exception below it."""
    fields = dict(fields)
    head = [str(fields.pop("time", "")), str(fields.pop("level", "")).upper()]
    service = fields.pop("service", "")
    event, app, release = (fields.pop(name, "") for name in CONTEXT)
    about = " ".join(str(word) for word in (event, app, f"v{release}" if release else "") if word)
    trace = "\n".join(map(_one_line, str(fields.pop("exception", "")).split("\n")))
    message = _one_line(str(fields.pop("message", "")))
    about = f"[{_one_line(about)}]" if about else ""
    words = [*head, f"{service}:" if service else "", about, message]
    words += [f"{name}={_shown(value)}" for name, value in fields.items()]
    line = " ".join(word for word in words if word)
    return f"{line}\n{trace}" if trace else line


def _shown(value: object) -> str:
    text = str(value)
    return repr(text) if not text or " " in text or not text.isprintable() else text


def _one_line(text: str) -> str:
    """Without line breaks and what a terminal obeys: it may be words of somebody outside."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )


def _with_context(_logger: object, _method: str, fields: Fields) -> Fields:
    for name in CONTEXT:
        fields.setdefault(name, "")
    return fields


class _Forward(logging.Handler):
    """Records of the standard library's logging, written by structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            # A library's mistake in a log line must not become a fault of what it was doing.
            message = str(record.msg)
        level = max(number for number in _NUMBERS if number <= max(record.levelno, _NUMBERS[0]))
        structlog.get_logger().log(
            level, message, logger=record.name, exc_info=record.exc_info or None
        )
