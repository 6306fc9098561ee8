"""What is written into a namespace's annotations comes out again."""

import datetime

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from deis_platform.runtime.kubernetes import marks, names, views
from deis_platform.runtime.kubernetes.marks import Marks

TEXT = st.text(max_size=20)
COUNTS = st.dictionaries(TEXT, st.integers(0, 1000), max_size=4)
MARKS = st.builds(
    Marks,
    generation=st.integers(0, 10**9),
    release=st.integers(0, 10**9),
    deadline=st.none()
    | st.datetimes(timezones=st.just(datetime.UTC)).map(lambda time: time.replace(microsecond=0)),
    counts=COUNTS,
    service=TEXT,
    deployments=COUNTS,
    secrets=st.lists(TEXT, max_size=3).map(tuple),
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


def test_a_fingerprint_changes_with_our_fields_alone() -> None:
    plain = {"selector": {"a": "1", "b": "2"}, "ports": [{"port": 80, "targetPort": 5000}]}
    same = {
        "ports": [{"targetPort": 5000, "port": 80, "nodePort": 30000}],
        "selector": {"b": "2", "a": "1"},
        "clusterIP": "10.96.0.9",
    }
    other = plain | {"selector": {"a": "1"}}
    found = [
        marks.fingerprint(msgspec.convert({"spec": spec}, views.Service))
        for spec in (plain, same, other)
    ]
    assert found[0] == found[1] != found[2]
