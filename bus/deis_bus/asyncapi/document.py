"""Registry to AsyncAPI 3 document (pure): a channel, a message and an operation per event type.

The platform is the application the document describes, so its operations *send*.
"""

from typing import Any

import msgspec

from deis_bus import subjects
from deis_bus.asyncapi import samples
from deis_bus.envelope import Envelope
from deis_bus.events import REGISTRY, Event
from deis_bus.streams import BUILDLOGS, DAY, EVENTS, MB, Stream

Document = dict[str, Any]

ASYNCAPI = "3.0.0"
VERSION = "1.0.0"
"""Of the language of events, not of the platform."""
SCHEMA_VERSION = "x-schema-version"
"""Extension on a message: `Event.VERSION`."""
_APP = "{app}"
_DESCRIPTION = (
    "Whatever happens on the platform is a typed, replayable event in stream EVENTS. An event is "
    "a CloudEvents 1.0 envelope in NATS headers and the event's JSON as payload. Delivery is at "
    "least once: `ce-id` tells doubles. Events of one application are in order. Identity is "
    "`ce-appuuid`, never the name. Fields may be added; a change that an old reader could not "
    "take is a new schema version. See docs/events.md."
)
_APP_PARAMETER = {
    "description": "The application's name; `_` stands for the platform itself.",
    "examples": ["blog", "_"],
}
_OPTIONAL = {
    "subject": "The application's name, or `_` for the platform.",
    "appuuid": "The application's identity: names come back under new owners, this does not.",
    "actor": "The user name that caused it; left out for the platform itself.",
    "traceparent": "W3C trace context of what caused it.",
    "correlationid": "Shared by all events that one request or push led to.",
    "causationid": "The id of the event or request that led to this one.",
}
_REQUIRED = {
    "id": "Unique; also the `Nats-Msg-Id`.",
    "type": "The event type.",
    "source": "The service that tells of it.",
    "time": "RFC 3339, UTC, with microseconds.",
    "schemaversion": "Version of the payload's schema; a number in decimal.",
}


def text() -> bytes:
    """The document as it is checked in."""
    return msgspec.json.format(msgspec.json.encode(document()), indent=2) + b"\n"


def document() -> Document:
    """The whole document."""
    kinds = list(REGISTRY.values())
    _, schemas = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    return {
        "asyncapi": ASYNCAPI,
        "info": {
            "title": "Deis Workflow events",
            "version": VERSION,
            "description": _DESCRIPTION,
        },
        "defaultContentType": "application/json",
        "servers": {"bus": _server()},
        "channels": {kind.TYPE: _channel(kind) for kind in kinds} | _families(),
        "operations": {f"send.{kind.TYPE}": _send(kind.TYPE, kind.TYPE) for kind in kinds}
        | {"send.log": _send("log", "lines"), "send.buildlog": _send("buildlog", "output")},
        "components": {
            "schemas": {"Envelope": _envelope(), **schemas},
            "messages": {kind.TYPE: _message(kind) for kind in kinds},
            "securitySchemes": {
                "automation": {
                    "type": "userPassword",
                    "description": "As `deis-platform automation add NAME` prints it.",
                }
            },
        },
    }


def _server() -> Document:
    return {
        "host": "{host}:{port}",
        "protocol": "nats",
        "description": "The platform's NATS; `deis-platform automation add` prints the address.",
        "variables": {"host": {"default": "127.0.0.1"}, "port": {"default": "4222"}},
        "security": [{"$ref": "#/components/securitySchemes/automation"}],
    }


def _channel(kind: type[Event]) -> Document:
    return {
        "address": subjects.event("_", kind.TYPE).replace("._.", f".{_APP}.", 1),
        "title": kind.TYPE,
        "description": _kept(EVENTS),
        "parameters": {"app": _APP_PARAMETER},
        "messages": {kind.TYPE: {"$ref": f"#/components/messages/{kind.TYPE}"}},
    }


def _message(kind: type[Event]) -> Document:
    return {
        "name": kind.TYPE,
        "title": kind.__name__,
        "summary": (kind.__doc__ or "").split("\n", 1)[0],
        "contentType": "application/json",
        SCHEMA_VERSION: kind.VERSION,
        "headers": {
            "allOf": [
                {"$ref": "#/components/schemas/Envelope"},
                {
                    "type": "object",
                    "properties": {
                        "ce-type": {"const": kind.TYPE},
                        "ce-schemaversion": {"const": str(kind.VERSION)},
                    },
                },
            ]
        },
        "correlationId": {"location": "$message.header#/ce-correlationid"},
        "payload": {"$ref": f"#/components/schemas/{kind.__name__}"},
        "examples": [{"headers": samples.headers(kind), "payload": samples.payload(kind)}],
    }


def _send(channel: str, message: str) -> Document:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{message}"}],
    }


def _envelope() -> Document:
    described = _REQUIRED | _OPTIONAL
    properties: Document = {
        "ce-specversion": {"type": "string", "const": "1.0"},
        "content-type": {"type": "string", "const": "application/json"},
    }
    for name in Envelope.__struct_fields__:
        properties[header(name)] = {"type": "string", "description": described[name]}
    return {
        "title": "Envelope",
        "description": "CloudEvents 1.0, binary mode, in NATS headers; others may be there too.",
        "type": "object",
        "properties": properties,
        "required": ["ce-specversion", "content-type", *(header(name) for name in _REQUIRED)],
    }


def header(field: str) -> str:
    """The header that carries a field of the envelope."""
    return field if field == "traceparent" else f"ce-{field}"


def _families() -> dict[str, Document]:
    """Log lines and build output: text, for the platform's own readers and for operators."""
    return {
        "log": {
            "address": subjects.log("_").replace("_", _APP),
            "description": "Finished log lines in batches of at most 100 lines or 50 ms; not kept.",
            "parameters": {"app": _APP_PARAMETER},
            "messages": {"lines": _plain("Lines joined by a newline.", {"appuuid": "Whose."})},
        },
        "buildlog": {
            "address": "deis.buildlog.{app}.{build}",
            "description": "Output of a build as it comes. " + _kept(BUILDLOGS),
            "parameters": {
                "app": _APP_PARAMETER,
                "build": {"description": "The build's identity."},
            },
            "messages": {
                "output": _plain(
                    "Raw output; empty in the last message of an attempt.",
                    {
                        "appuuid": "Whose.",
                        "attempt": "1 to 3.",
                        "end": "On the last message: `done` or `failed`.",
                    },
                )
            },
        },
    }


def _plain(summary: str, headers: dict[str, str]) -> Document:
    properties = {name: {"type": "string", "description": says} for name, says in headers.items()}
    return {
        "summary": summary,
        "contentType": "text/plain",
        "headers": {"type": "object", "properties": properties},
        "payload": {"type": "string"},
    }


def _kept(stream: Stream) -> str:
    days, size = int(stream.max_age_seconds / DAY), stream.max_bytes // MB
    return f"Kept in stream {stream.name} for {days} days or {size} MB."
