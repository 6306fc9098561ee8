"""What is written into a namespace's annotations comes out again."""

import datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deis_platform.runtime.kubernetes import marks, names, views
from deis_platform.runtime.kubernetes.marks import Marks
from tests.unit.deis_platform.runtime_kubernetes.given import FACTS

TEXT = st.text(max_size=20)
COUNTS = st.dictionaries(TEXT, st.integers(0, 1000), max_size=4)
MARKS = st.builds(
    Marks,
    generation=st.integers(0, 10**9),
    release=st.integers(0, 10**9),
    deadline=st.none()
    | st.datetimes(timezones=st.just(datetime.UTC)).map(lambda time: time.replace(microsecond=0)),
    counts=COUNTS,
    objects=st.dictionaries(TEXT, TEXT, max_size=4),
    around=TEXT,
)


@given(MARKS)
def test_marks_are_read_as_they_were_written(given_marks: Marks) -> None:
    assert marks.read(marks.annotations(given_marks)) == given_marks


@given(st.dictionaries(st.sampled_from([*marks.NONE, names.CLAIMED]), TEXT))
def test_nonsense_gives_no_marks_and_no_fault(annotations: dict[str, str]) -> None:
    found = marks.read(annotations)
    assert found.generation >= 0
    assert marks.claimed(annotations) >= 0


def test_taking_the_marks_away_leaves_the_claim() -> None:
    assert names.CLAIMED not in marks.NONE
    assert marks.NONE.keys() == marks.annotations(Marks()).keys()


def service(**changes: Any) -> views.Service:
    """A Service of ours."""
    meta = {
        "uid": "u",
        "labels": names.labels("blog") | {names.ROUTABLE: "true"},
        "annotations": {names.UUID: "1b67", names.DOMAINS: "blog"},
    }
    spec = {"selector": {"a": "1", "b": "2"}, "ports": [{"port": 80, "targetPort": 5000}]}
    plain = {"metadata": meta | changes.pop("meta", {}), "spec": spec | changes}
    return msgspec.convert(plain, views.Service)


@pytest.mark.parametrize(
    "change",
    [
        {"ports": [{"targetPort": 5000, "port": 80, "nodePort": 30000}]},
        {"selector": {"b": "2", "a": "1"}, "clusterIP": "10.96.0.9"},
        {"meta": {"resourceVersion": "9"}},
        {"meta": {"annotations": {names.UUID: "1b67", "team": "green"}}},
        {"meta": {"labels": names.labels("blog") | {names.ROUTABLE: "false", "team": "green"}}},
    ],
)
def test_a_word_stands_for_our_fields_alone(change: dict[str, Any]) -> None:
    assert marks.word(service(**change)) == marks.word(service())


@pytest.mark.parametrize(
    "change",
    [
        {"selector": {"a": "1"}},
        {"ports": [{"port": 81, "targetPort": 5000}]},
        {"meta": {"uid": "another"}},
        {"meta": {"generation": 2}},
        {"meta": {"labels": {}}},
        {"meta": {"annotations": {}}},
    ],
)
def test_a_word_changes_with_every_field_of_ours(change: dict[str, Any]) -> None:
    assert marks.word(service(**change)) != marks.word(service())


def test_of_a_quota_what_it_allows_counts_and_not_what_is_used() -> None:
    def quota(pods: str, used: str) -> views.Quota:
        spec, status = {"hard": {"pods": pods}}, {"used": {"pods": used}}
        return msgspec.convert({"spec": spec, "status": status}, views.Quota)

    assert marks.word(quota("1", "0")) == marks.word(quota("1", "1")) != marks.word(quota("2", "1"))


def test_surroundings_are_told_apart_once_they_are_known() -> None:
    unknown = msgspec.structs.replace(FACTS, api=None)
    assert marks.surroundings(unknown) == ""
    more = msgspec.structs.replace(FACTS, nodes=7, stack_image="deis/stack:2")
    assert marks.surroundings(more) == marks.surroundings(FACTS) != ""
    for change in ({"api": ()}, {"quota": {"hard": {"pods": "1"}}}):
        other = msgspec.structs.replace(FACTS, **change)
        assert marks.surroundings(other) != marks.surroundings(FACTS)
