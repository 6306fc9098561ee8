"""The envelope on headers and back."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deis_bus.envelope import Envelope, from_headers, to_headers

FULL = Envelope(
    id="1",
    type="release.created",
    source="controller",
    time="2026-11-26T12:00:00.000000Z",
    subject="blog",
    appuuid="2f1b",
    actor="ada",
    schemaversion=2,
    traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    correlationid="c",
    causationid="d",
)
LEAST = Envelope(id="1", type="app.run", source="controller", time="now")


@pytest.mark.parametrize("given_envelope", [FULL, LEAST])
def test_it_survives_the_way(given_envelope: Envelope) -> None:
    assert from_headers(to_headers(given_envelope)) == given_envelope


def test_it_is_cloudevents_in_binary_mode() -> None:
    headers = to_headers(FULL)
    assert (headers["ce-specversion"], headers["content-type"]) == ("1.0", "application/json")
    assert (headers["ce-id"], headers["ce-schemaversion"]) == ("1", "2")
    assert headers["traceparent"] == FULL.traceparent, "the one without ce-"
    assert "ce-traceparent" not in headers


def test_empty_fields_are_left_out() -> None:
    assert set(to_headers(LEAST)) == {
        "ce-specversion",
        "content-type",
        "ce-id",
        "ce-type",
        "ce-source",
        "ce-time",
        "ce-schemaversion",
    }


def test_other_headers_are_left_alone() -> None:
    assert from_headers(to_headers(LEAST) | {"Nats-Msg-Id": "1", "ce-more": "x"}) == LEAST


@pytest.mark.parametrize("name", ["id", "type", "source", "time"])
def test_a_missing_field_is_told(name: str) -> None:
    headers = to_headers(FULL)
    del headers[f"ce-{name}"]
    with pytest.raises(ValueError, match=f"envelope without {name}"):
        from_headers(headers)


def test_a_version_that_is_no_number_is_told() -> None:
    with pytest.raises(ValueError, match="schemaversion"):
        from_headers(to_headers(FULL) | {"ce-schemaversion": "two"})


TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)


@given(st.builds(Envelope, id=TEXT, type=TEXT, source=TEXT, time=TEXT, actor=TEXT))
def test_any_words_survive_the_way(given_envelope: Envelope) -> None:
    assert from_headers(to_headers(given_envelope)) == given_envelope


def test_it_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        LEAST.id = "2"  # type: ignore[misc]
    assert msgspec.structs.replace(LEAST, id="2").id == "2"
