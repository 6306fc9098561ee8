"""Names: of applications, of instances, and the part of them in log lines."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deis_platform.names import app_name, group, instance_name, is_app_name, log_suffix, run_name
from deis_platform.words import ADJECTIVES, NOUNS

app_names = st.from_regex(r"\A[a-z]([a-z0-9-]{0,30}[a-z0-9])?\Z")
types = st.from_regex(r"\A[a-z]{1,10}(-[a-z]{1,5})?\Z")


def test_generated_names_are_allowed_and_many() -> None:
    found = {app_name() for _ in range(500)}
    assert all(re.fullmatch(r"[a-z]{6}-[a-z]{8}", name) and is_app_name(name) for name in found)
    assert len(found) > 400


def test_the_words_are_what_they_say() -> None:
    assert {len(word) for word in ADJECTIVES} == {6}
    assert {len(word) for word in NOUNS} == {8}
    assert len(set(ADJECTIVES)) == len(ADJECTIVES) == 200
    assert len(set(NOUNS)) == len(NOUNS) == 175


@given(app_names)
def test_allowed_names(name: str) -> None:
    assert is_app_name(name)


@pytest.mark.parametrize(
    "name",
    ["", "-a", "a-", "1a", "A", "a_b", "a.b", "ä", "a b", "a\n", "a/../b", "a" * 64, "deis\0"],
)
def test_names_that_are_not_allowed(name: str) -> None:
    assert not is_app_name(name)


@given(st.text())
def test_an_allowed_name_is_one_label_of_a_host_and_one_part_of_a_path(name: str) -> None:
    if is_app_name(name):
        assert re.fullmatch(r"[a-z0-9-]{1,63}", name)
        assert not name.startswith("-")
        assert not name.endswith("-")


@given(app=app_names, kind=types, seed=st.text())
def test_an_instance_is_named_like_a_pod_and_its_end_stands_in_log_lines(
    app: str, kind: str, seed: str
) -> None:
    name = instance_name(app, kind, seed)
    match = re.fullmatch(re.escape(f"{app}-{kind}-") + r"([a-z0-9]{10})-([a-z0-9]{5})", name)
    assert match is not None
    assert match[1] == group(seed)
    assert log_suffix(name) == match[2]


@given(st.text(), st.text())
def test_a_group_is_the_same_for_the_same_seed_only(one: str, other: str) -> None:
    assert (group(one) == group(other)) is (one == other)


def test_instances_of_one_release_differ() -> None:
    assert len({instance_name("blog", "web", "seed") for _ in range(100)}) == 100


def test_a_one_off_command_has_no_suffix_in_log_lines() -> None:
    assert re.fullmatch(r"blog-run-[a-z0-9]{5}", run_name("blog"))
    assert log_suffix(run_name("blog")) == ""
    assert log_suffix("") == ""
