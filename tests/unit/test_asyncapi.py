"""The AsyncAPI document: in step with the events, well formed, and readable by old readers.

Well formed means our own reading of the AsyncAPI 3 rules (`deis_bus/asyncapi/structure.py`) and
JSON Schema for its schemas and examples, not the official meta-schema.
"""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from deis_bus.asyncapi.__main__ import main
from deis_bus.asyncapi.compatibility import breaks
from deis_bus.asyncapi.document import document, text
from deis_bus.asyncapi.structure import problems, resolve
from deis_bus.codec import decode
from deis_bus.envelope import from_headers
from deis_bus.events import REGISTRY

DOCS = Path(__file__).resolve().parents[2] / "docs"
Document = dict[str, Any]


def expanded(root: Document, value: Any) -> Any:
    """A schema with its references put in place."""
    if isinstance(value, dict):
        if "$ref" in value:
            return expanded(root, resolve(root, value["$ref"]))
        return {key: expanded(root, child) for key, child in value.items()}
    return [expanded(root, child) for child in value] if isinstance(value, list) else value


def test_the_document_checked_in_is_in_step_with_the_events() -> None:
    assert (DOCS / "asyncapi.json").read_bytes() == text(), "type `make asyncapi`"


def test_the_command_writes_it(tmp_path: Path) -> None:
    main([str(tmp_path / "events.json")])
    assert (tmp_path / "events.json").read_bytes() == text()


def test_readers_of_the_released_document_can_read_this_one() -> None:
    released = json.loads((DOCS / "asyncapi-released.json").read_bytes())
    assert breaks(released, document()) == []


def test_it_keeps_the_rules_of_asyncapi() -> None:
    assert problems(document()) == []


def test_every_event_has_a_channel_an_operation_and_a_message() -> None:
    told = document()
    assert set(told["components"]["messages"]) == set(REGISTRY)
    assert set(told["channels"]) == {*REGISTRY, "log", "buildlog"}
    for kind in REGISTRY:
        assert told["channels"][kind]["address"] == f"deis.event.{{app}}.{kind}"
        assert told["operations"][f"send.{kind}"]["channel"] == {"$ref": f"#/channels/{kind}"}


@pytest.mark.parametrize("kind", REGISTRY)
def test_an_example_is_what_its_schema_says(kind: str) -> None:
    told = document()
    message = told["components"]["messages"][kind]
    (example,) = message["examples"]
    for part in ("headers", "payload"):
        schema = expanded(told, message[part])
        jsonschema.Draft7Validator.check_schema(schema)
        jsonschema.validate(example[part], schema, jsonschema.Draft7Validator)


@pytest.mark.parametrize("kind", REGISTRY)
def test_an_example_is_an_event(kind: str) -> None:
    (example,) = document()["components"]["messages"][kind]["examples"]
    event = decode(kind, json.dumps(example["payload"]).encode())
    envelope = from_headers(example["headers"])
    assert (type(event), envelope.type, envelope.schemaversion) == (
        REGISTRY[kind],
        kind,
        event.VERSION,
    )


@pytest.mark.parametrize("part", ["headers", "payload"])
def test_a_schema_refuses_what_lacks_a_field(part: str) -> None:
    told = document()
    message = told["components"]["messages"]["release.created"]
    with pytest.raises(jsonschema.ValidationError, match="is a required property"):
        jsonschema.validate({}, expanded(told, message[part]), jsonschema.Draft7Validator)
