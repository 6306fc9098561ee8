"""One uid per application and per build."""

import os
from pathlib import Path

import pytest

from deis_platform.embedded.owners import Owner
from deis_services.runtime.accounts import Accounts, kill_user

UIDS = range(1_950_000_000, 1_950_000_003)


def test_an_ordinary_user_runs_everything_as_himself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert Accounts(tmp_path / "accounts", UIDS).of("app/a") == Owner()
    assert not (tmp_path / "accounts").exists()


@pytest.mark.root
def test_uids_are_kept_over_restarts(tmp_path: Path) -> None:
    first = Accounts(tmp_path / "accounts", UIDS)
    given = first.of("app/a"), first.of("build/b")
    assert given[0] != given[1]
    again = Accounts(tmp_path / "accounts", UIDS)
    assert (again.of("app/a"), again.of("build/b")) == given
    assert again.keys() == {"app/a", "build/b"}
    assert (tmp_path / "accounts").stat().st_mode & 0o777 == 0o600


@pytest.mark.root
async def test_a_freed_uid_comes_last(tmp_path: Path) -> None:
    accounts = Accounts(tmp_path / "accounts", UIDS)
    first = accounts.of("app/a")
    await accounts.free("app/a")
    assert accounts.of("app/b") != first
    accounts.of("app/c")
    assert accounts.of("app/d") == first
    with pytest.raises(LookupError):
        accounts.of("app/e")


@pytest.mark.root
def test_a_torn_file_begins_anew(tmp_path: Path) -> None:
    (tmp_path / "accounts").write_text('{"next": 1, "giv')
    assert Accounts(tmp_path / "accounts", UIDS).of("app/a").uid in UIDS


def test_users_of_the_system_are_never_killed() -> None:
    with pytest.raises(ValueError, match="not a user"):
        kill_user(0)
