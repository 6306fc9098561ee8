"""What BUILDPACK_URL may name, where the user that builds has no name on the machine."""

import os

import pytest

from deis_services.slugbuilder.choose import check_user
from deis_services.slugbuilder.errors import BuildError

NOBODY = 2**31 - 7
"""A uid that no user database knows."""


@pytest.mark.parametrize("address", ["ssh://git@example.com/pack.git", "git@example.com:pack.git"])
def test_ssh_without_a_name_is_refused_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    check_user(address)
    monkeypatch.setattr(os, "geteuid", lambda: NOBODY)
    with pytest.raises(BuildError, match="ssh needs a user with a name"):
        check_user(address)


@pytest.mark.parametrize("address", ["https://example.com/pack.git", "git://example.com/pack"])
def test_other_ways_need_no_name(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: NOBODY)
    check_user(address)
