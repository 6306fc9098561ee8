"""Whether readers of a released document can read what a newer one describes (pure).

Fields and types may be added. What a reader of yesterday, or a reader of today that replays
yesterday's events, could not take needs a new schema version of the event.
"""

from collections.abc import Iterator
from typing import Any

from deis_bus.asyncapi.document import SCHEMA_VERSION
from deis_bus.asyncapi.structure import resolve

Document = dict[str, Any]

_WORDS = ("title", "description", "default", "examples")
"""What says something about a value without changing which values there are."""


def breaks(released: Document, current: Document) -> list[str]:
    """What breaks readers, a sentence each; empty when nothing does."""
    found: list[str] = []
    now = current["components"]["messages"]
    for kind, message in released["components"]["messages"].items():
        if kind not in now:
            found.append(f"event type {kind} is gone: keep it beside what takes its place")
        else:
            found += _message(released, current, kind, message)
    return found


def _message(released: Document, current: Document, kind: str, old: Document) -> Iterator[str]:
    before, after = (document["channels"][kind]["address"] for document in (released, current))
    if before != after:
        yield f"{kind} moved from {before} to {after}: subjects never change"
    new = current["components"]["messages"][kind]
    if new[SCHEMA_VERSION] < old[SCHEMA_VERSION]:
        yield f"{kind} went back from schema version {old[SCHEMA_VERSION]}"
    if new[SCHEMA_VERSION] != old[SCHEMA_VERSION]:
        return
    for sentence in _changes(
        _expanded(released, old["payload"]), _expanded(current, new["payload"]), kind
    ):
        yield f"{sentence}; that needs a new schema version of {kind}"


def _expanded(document: Document, schema: Document) -> Document:
    """The schema with its references put in place; ours are never recursive."""
    if "$ref" in schema:
        return _expanded(document, resolve(document, schema["$ref"]))
    return {key: _value(document, value) for key, value in schema.items() if key not in _WORDS} | (
        {"properties": _properties(document, schema)} if "properties" in schema else {}
    )


def _properties(document: Document, schema: Document) -> Document:
    """Fields may be called `title` or `description` too."""
    return {name: _expanded(document, field) for name, field in schema["properties"].items()}


def _value(document: Document, value: Any) -> Any:
    if isinstance(value, dict):
        return _expanded(document, value)
    if isinstance(value, list):
        return [_value(document, child) for child in value]
    return value


def _changes(old: Document, new: Document, place: str) -> Iterator[str]:
    fields = old.get("properties", {})
    for name, field in fields.items():
        if name not in new.get("properties", {}):
            yield f"{place}: field {name} is gone"
        else:
            yield from _changes(field, new["properties"][name], f"{place}.{name}")
    for name in new.get("required", []):
        if name not in old.get("required", []):
            yield f"{place}: field {name} is required now and older events may not have it"
    for key in sorted((old.keys() | new.keys()) - {"properties", "required"}):
        yield from _same(old.get(key), new.get(key), key, place)


def _same(old: Any, new: Any, key: str, place: str) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        yield from _changes(old, new, f"{place}[]")
    elif old != new:
        yield f"{place}: {key} was {old} and is {new}"
