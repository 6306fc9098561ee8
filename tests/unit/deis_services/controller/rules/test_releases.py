"""Rollback targets (api.md 9)."""

import pytest

from deis_bus.errors import Refused
from deis_services.controller.model import Release
from deis_services.controller.rules.releases import rollback_target, wanted_version
from tests.unit.deis_services.controller.rules.samples import release


@pytest.mark.parametrize(
    ("wanted", "found", "text"),
    [
        ("x", None, "invalid literal for int() with base 10: 'x'"),
        ([1], None, "invalid literal for int() with base 10: [1]"),
        (0, None, "version cannot be below 0"),
        (-(10**30), None, "version cannot be below 0"),
        (1, release(1), "Cannot roll back to initial release."),
        (10**30, None, "Release matching query does not exist."),
        (9, None, "Release matching query does not exist."),
        (9, release(8), "Release matching query does not exist."),
        (4, release(4, "failed"), "Cannot roll back to failed release."),
        (4, release(4, "superseded"), "Cannot roll back to failed release."),
        (None, release(4, "failed"), "Cannot roll back to failed release."),
        (None, None, "Release matching query does not exist."),
    ],
)
def test_targets_that_are_refused(wanted: object, found: Release | None, text: str) -> None:
    with pytest.raises(Refused) as caught:
        rollback_target(wanted, 5, found)
    assert (caught.value.code, caught.value.detail) == (400, text)


@pytest.mark.parametrize(
    ("newest", "text"),
    [(1, "version cannot be below 0"), (2, "Cannot roll back to initial release.")],
)
def test_there_is_nothing_before_the_first_build(newest: int, text: str) -> None:
    with pytest.raises(Refused, match=text):
        rollback_target(None, newest, None)


def test_targets_that_are_taken() -> None:
    assert rollback_target(None, 5, release(4)) == 4
    assert rollback_target(3, 5, release(3)) == 3
    assert rollback_target("5", 5, release(5)) == 5
    assert wanted_version(None) is None
    assert wanted_version(2.9) == 2
