"""Bytes to views and lines."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deis_bus.errors import Transient
from deis_platform.kubernetes import Bookmark, Change, Gone, Meta, View
from deis_platform.kubernetes.wire import Lines, change_of, decoded, without_nulls
from tests.unit.deis_platform.kubernetes.fake import bookmark, event, obj, told


class Slice(View, frozen=True):
    """A view with a list that Go may leave null."""

    endpoints: tuple[str, ...] = ()
    named: str = ""


def line(kind: str, thing: object) -> bytes:
    return msgspec.json.encode(event(kind, thing))


def test_a_view_keeps_what_it_names_and_a_dict_keeps_all() -> None:
    body = msgspec.json.encode(obj("a", 7, endpoints=["x"], other=1))
    view = decoded(body, Slice)
    assert (view.metadata.key, view.metadata.resource_version, view.endpoints) == (
        "blog/a",
        "7",
        ("x",),
    )
    assert decoded(body, dict) == msgspec.json.decode(body)


def test_what_kubectl_notes_of_the_whole_object_is_dropped() -> None:
    notes = {
        "kubectl.kubernetes.io/last-applied-configuration": '{"data":{"x":"c2VjcmV0"}}',
        "a": "b",
    }
    body = msgspec.json.encode({"metadata": {"name": "a", "annotations": notes}})
    assert decoded(body, View).metadata.annotations == {"a": "b"}
    with_null = msgspec.json.encode({"metadata": {"name": None, "annotations": notes}})
    assert decoded(with_null, View).metadata.annotations == {"a": "b"}


def test_null_is_like_absent() -> None:
    body = msgspec.json.encode(
        {"metadata": {"name": "a", "creationTimestamp": None}, "endpoints": None}
    )
    assert decoded(body, Slice) == Slice(metadata=Meta(name="a"))


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"endpoints": 5}', b"[" * 5000])
def test_what_is_no_such_view_is_transient(body: bytes) -> None:
    with pytest.raises(Transient, match="cannot be read"):
        decoded(body, Slice)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_no_field_is_null_and_the_rest_stands(value: object) -> None:
    def same(before: object, after: object) -> bool:
        if isinstance(before, dict) and isinstance(after, dict):
            kept = {name: inner for name, inner in before.items() if inner is not None}
            return kept.keys() == after.keys() and all(
                same(kept[name], after[name]) for name in kept
            )
        if isinstance(before, list) and isinstance(after, list):
            return len(before) == len(after) and all(map(same, before, after))
        return before == after

    assert same(value, without_nulls(value))


@pytest.mark.parametrize("kind", ["ADDED", "MODIFIED", "DELETED"])
def test_changes(kind: str) -> None:
    change = change_of(line(kind, obj("a", 7)), View)
    assert isinstance(change, Change)
    assert (change.type, change.object.metadata.key) == (kind, "blog/a")


def test_a_bookmark_is_read_by_its_version_alone() -> None:
    class Strict(View, frozen=True, kw_only=True):
        spec: dict[str, list[str]]

    assert change_of(msgspec.json.encode(bookmark(9)), Strict) == Bookmark("9")


def test_an_error_within_a_watch_is_raised() -> None:
    with pytest.raises(Gone):
        change_of(line("ERROR", told(410, "Expired")), View)


@given(st.lists(st.binary(max_size=20).map(lambda part: part.replace(b"\n", b""))), st.data())
def test_lines_are_the_same_however_they_are_cut(parts: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(part + b"\n" for part in parts) + b"half"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)))))
    lines, got = Lines(), []
    for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        got += list(lines.feed(whole[start:end]))
    assert got == [part for part in parts if part]


def test_a_line_without_end_is_refused_early() -> None:
    lines = Lines(limit=10)
    assert list(lines.feed(b"x" * 10)) == []
    with pytest.raises(Transient, match="too long"):
        list(lines.feed(b"x"))


def test_the_limit_is_for_one_line() -> None:
    lines = Lines(limit=10)
    assert [got for _ in range(9) for got in lines.feed(b"12345\n6789")] == [b"12345"] + [
        b"678912345"
    ] * 8
