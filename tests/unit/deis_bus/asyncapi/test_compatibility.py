"""Every way to break a reader is noticed; what breaks nobody is not."""

from typing import Any

from deis_bus.asyncapi.compatibility import breaks
from deis_bus.asyncapi.document import document

Document = dict[str, Any]
KIND = "release.created"


def schema(told: Document) -> Document:
    """The payload of `release.created`."""
    found: Document = told["components"]["schemas"]["ReleaseCreated"]
    return found


def test_the_same_document_breaks_nothing() -> None:
    assert breaks(document(), document()) == []


def test_an_event_type_that_is_gone() -> None:
    current = document()
    del current["components"]["messages"][KIND]
    assert breaks(document(), current) == [
        "event type release.created is gone: keep it beside what takes its place"
    ]


def test_a_field_that_is_gone() -> None:
    current = document()
    del schema(current)["properties"]["build"]
    assert breaks(document(), current) == [
        "release.created: field build is gone; that needs a new schema version of release.created"
    ]


def test_a_field_of_another_type() -> None:
    current = document()
    schema(current)["properties"]["version"] = {"type": "string"}
    (sentence,) = breaks(document(), current)
    assert sentence.startswith("release.created.version: type was integer and is string;")


def test_a_field_that_may_be_null_now() -> None:
    current = document()
    schema(current)["properties"]["build"] = {"anyOf": [{"type": "string"}, {"type": "null"}]}
    assert any("anyOf was None" in sentence for sentence in breaks(document(), current))


def test_the_values_of_a_map_are_of_another_type() -> None:
    current = document()
    counts = current["components"]["schemas"]["AppScaled"]["properties"]["counts"]
    counts["additionalProperties"] = {"type": "string"}
    (sentence,) = breaks(document(), current)
    assert sentence.startswith("app.scaled.counts[]: type was integer and is string;")


def test_the_members_of_a_list_are_of_another_type() -> None:
    current = document()
    added = current["components"]["schemas"]["ConfigChanged"]["properties"]["added"]
    added["items"] = {"type": "integer"}
    assert len(breaks(document(), current)) == 1


def test_a_new_field_that_must_be_there() -> None:
    current = document()
    schema(current)["properties"]["extra"] = {"type": "string"}
    schema(current)["required"].append("extra")
    (sentence,) = breaks(document(), current)
    assert sentence.startswith("release.created: field extra is required now")


def test_an_old_field_that_must_be_there_now() -> None:
    current = document()
    schema(current)["required"].append("build")
    assert len(breaks(document(), current)) == 1


def test_a_subject_that_moved() -> None:
    current = document()
    current["channels"][KIND]["address"] = "deis.event.{app}.release.made"
    (sentence,) = breaks(document(), current)
    assert sentence.endswith("subjects never change")


def test_a_schema_version_that_goes_back() -> None:
    released = document()
    released["components"]["messages"][KIND]["x-schema-version"] = 2
    assert breaks(released, document()) == ["release.created went back from schema version 2"]


def test_a_new_schema_version_may_differ() -> None:
    current = document()
    del schema(current)["properties"]["build"]
    current["components"]["messages"][KIND]["x-schema-version"] = 2
    assert breaks(document(), current) == []


def test_new_types_new_fields_and_other_words_break_nothing() -> None:
    current = document()
    current["components"]["messages"]["release.extra"] = {}
    schema(current)["properties"]["title"] = {"type": "string", "default": ""}
    schema(current)["description"] = "Other words."
    schema(current)["properties"]["build"]["default"] = "none"
    assert breaks(document(), current) == []


def test_a_field_called_title_is_a_field() -> None:
    released = document()
    schema(released)["properties"]["title"] = {"type": "string", "default": ""}
    assert len(breaks(released, document())) == 1


def test_a_type_of_its_own_is_looked_into() -> None:
    released, current = document(), document()
    for told, kind in ((released, "string"), (current, "integer")):
        schema(told)["properties"]["who"] = {"$ref": "#/components/schemas/Who"}
        told["components"]["schemas"]["Who"] = {
            "type": "object",
            "properties": {"name": {"type": kind}},
        }
    (sentence,) = breaks(released, current)
    assert sentence.startswith("release.created.who.name: type was string and is integer;")
