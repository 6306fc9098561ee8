"""Counts of process types (api.md 7, 10.1, 24.1)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deis_bus.errors import Refused
from deis_services.controller.model import Build
from deis_services.controller.rules.structure import (
    counts_for_deploy,
    default_structure,
    merge_scale,
    procfile_policy,
)
from tests.unit.deis_services.controller.rules.samples import build, slug

DOCKERFILE = build("b1", sha="abc", dockerfile="true")


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (slug(web="x", worker="y"), {"web": 1}),
        (slug(worker="y"), {}),
        (slug(), {"web": 1}),
        (build(), {"cmd": 1}),
        (build(web="x"), {"web": 1}),
        (build(worker="x"), {"cmd": 1}),
        (DOCKERFILE, {"cmd": 1}),
    ],
)
def test_what_a_first_deploy_starts(made: Build, wanted: dict[str, int]) -> None:
    assert default_structure(made) == wanted
    assert counts_for_deploy({}, None, made) == wanted


@pytest.mark.parametrize(
    ("structure", "previous", "new", "wanted"),
    [
        ({"web": 3}, slug(web="x"), slug(web="y"), {"web": 3}),
        ({"web": 0}, slug(web="x"), slug(web="y"), {"web": 0}),
        ({"worker": 2}, slug(worker="x"), slug(worker="x", web="y"), {"worker": 2}),
        ({"web": 1, "old": 2}, slug(web="x", old="y"), slug(web="x"), {"web": 1, "old": 0}),
        ({"web": 2}, slug(web="x"), slug(), {"web": 0}),
        (
            {"web": 2, "worker": 1},
            slug(web="x", worker="y"),
            build(),
            {"cmd": 1, "web": 0, "worker": 0},
        ),
        ({"cmd": 2}, build(), slug(web="x"), {"cmd": 0, "web": 1}),
        ({"cmd": 2}, build(), DOCKERFILE, {"cmd": 1}),
        ({"web": 2}, None, slug(web="x"), {"web": 2}),
        ({}, slug(worker="x"), slug(web="y", worker="x"), {"web": 1}),
    ],
)
def test_counts_of_a_deploy(
    structure: dict[str, int], previous: Build | None, new: Build, wanted: dict[str, int]
) -> None:
    assert counts_for_deploy(structure, previous, new) == wanted


def test_procfile_policy() -> None:
    old = {"web": "x", "worker": "y"}
    assert procfile_policy({}, {}) == ({}, ())
    assert procfile_policy({}, {"web": "x"}) == ({"web": "x"}, ())
    assert procfile_policy(old, {"web": "z"}) == ({"web": "z"}, ("worker",))
    assert procfile_policy(old, {}) == ({}, ("web", "worker"))
    assert procfile_policy(old, {}, remove_missing=False) == (old, ())
    with pytest.raises(Refused, match="had a Procfile but is missing") as caught:
        procfile_policy(old, {}, reject_missing=True, remove_missing=False)
    assert caught.value.code == 409
    assert procfile_policy({}, {}, reject_missing=True) == ({}, ())


@pytest.mark.parametrize(
    ("asked", "made", "code", "text"),
    [
        ({"web": 1}, None, 400, "No build associated with this release"),
        ({"web": "x"}, slug(web="x"), 400, "Invalid scaling format: invalid literal for int()"),
        ({"web": None}, slug(web="x"), 400, "Invalid scaling format: "),
        ({"web": float("inf")}, slug(web="x"), 400, "Invalid scaling format: "),
        ({"web": "9" * 5000}, slug(web="x"), 400, "Invalid scaling format: "),
        ({"nope": -1}, slug(web="x"), 400, "Must be greater than or equal to zero"),
        ({"web": 1001}, slug(web="x"), 400, "Must be less than or equal to 1000"),
        ({"nope": 1}, slug(web="x"), 404, "Container type nope does not exist in application"),
    ],
)
def test_scaling_that_is_refused(
    asked: dict[str, Any], made: Build | None, code: int, text: str
) -> None:
    with pytest.raises(Refused) as caught:
        merge_scale(asked, {"web": 1}, made, 1000)
    assert caught.value.code == code
    assert text in caught.value.detail
    assert len(caught.value.detail) < 300


def test_scaling_that_is_taken() -> None:
    asked = {"web": "2", "worker": 1.9, "cmd": True}
    made = slug(web="x", worker="y")
    assert merge_scale(asked, {"web": 1, "x": 3}, made, 3) == {
        "web": 2,
        "worker": 1,
        "cmd": 1,
        "x": 3,
    }
    assert merge_scale({"web": 2}, {}, slug(), 2) == {"web": 2}
    assert merge_scale({}, {"web": 1}, made, 0) == {"web": 1}


TYPES = st.sampled_from(["web", "cmd", "worker"])
PROCFILES = st.dictionaries(TYPES, st.just("run"), max_size=3)


@given(
    st.dictionaries(TYPES, st.integers(0, 5)),
    PROCFILES,
    PROCFILES,
    st.booleans(),
    st.booleans(),
)
def test_a_deploy_never_starts_what_has_no_command(
    structure: dict[str, int],
    before: dict[str, str],
    after: dict[str, str],
    old_slug: bool,
    new_slug: bool,
) -> None:
    previous = slug(**before) if old_slug else build(**before)
    new = slug("b2", **after) if new_slug else build("b2", **after)
    counts = counts_for_deploy(structure, previous, new)
    gone = before.keys() - after.keys() - default_structure(new).keys()
    assert all(counts.get(name, 0) == 0 for name in gone)
