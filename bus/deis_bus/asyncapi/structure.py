"""Rules of AsyncAPI 3.0 that our document must keep (pure).

Our own reading of the specification, for what we use of it: not the official meta-schema, which
is not at hand without a network.
"""

import re
from collections.abc import Iterator
from typing import Any

Document = dict[str, Any]

_ROOT = {
    "asyncapi",
    "info",
    "servers",
    "defaultContentType",
    "channels",
    "operations",
    "components",
}
_KEY = re.compile(r"[A-Za-z0-9._-]+")
_PARAMETER = re.compile(r"\{([A-Za-z0-9_-]+)\}")


def problems(document: Document) -> list[str]:
    """What is wrong with a document, a sentence each; empty when nothing is."""
    found = list(_root(document))
    found += _references(document)
    for name, server in document.get("servers", {}).items():
        found += _needs(f"server {name}", server, "host", "protocol")
    for name, channel in document.get("channels", {}).items():
        found += _channel(name, channel)
    for name, operation in document.get("operations", {}).items():
        found += _operation(document, name, operation)
    for group, entries in document.get("components", {}).items():
        found += [
            f"components/{group}: bad key {key!r}" for key in entries if not _KEY.fullmatch(key)
        ]
    return found


def resolve(document: Document, reference: str) -> Any:
    """What a `#/…` reference points to. Raises LookupError."""
    if not reference.startswith("#/"):
        raise LookupError(reference)
    place: Any = document
    for part in reference[2:].split("/"):
        key = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(place, dict) or key not in place:
            raise LookupError(reference)
        place = place[key]
    return place


def _root(document: Document) -> Iterator[str]:
    yield from _needs("the document", document, "asyncapi", "info")
    yield from _needs("info", document.get("info", {}), "title", "version")
    if not str(document.get("asyncapi", "")).startswith("3."):
        yield "asyncapi is not version 3"
    for key in document:
        if key not in _ROOT and not key.startswith("x-"):
            yield f"the document has an unknown field {key}"


def _needs(what: str, value: Document, *fields: str) -> list[str]:
    return [f"{what} has no {field}" for field in fields if field not in value]


def _references(document: Document) -> Iterator[str]:
    for reference in _walk(document):
        try:
            resolve(document, reference)
        except LookupError:
            yield f"{reference} points nowhere"


def _walk(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for child in value.values():
            yield from _walk(child)
    elif isinstance(value, list):
        for child in value:
            yield from _walk(child)


def _channel(name: str, channel: Document) -> Iterator[str]:
    yield from _needs(f"channel {name}", channel, "address", "messages")
    used = set(_PARAMETER.findall(channel.get("address") or ""))
    given = set(channel.get("parameters", {}))
    for parameter in sorted(used ^ given):
        yield f"channel {name}: parameter {parameter} is not both in its address and described"


def _operation(document: Document, name: str, operation: Document) -> Iterator[str]:
    yield from _needs(f"operation {name}", operation, "action", "channel")
    if operation.get("action") not in ("send", "receive"):
        yield f"operation {name}: its action is neither send nor receive"
    channel = operation.get("channel", {}).get("$ref", "")
    if not re.fullmatch(r"#/channels/[^/]+", channel):
        yield f"operation {name}: its channel is not one of the document's channels"
    for message in operation.get("messages", []):
        if not message.get("$ref", "").startswith(f"{channel}/messages/"):
            yield f"operation {name}: a message that its channel does not have"
