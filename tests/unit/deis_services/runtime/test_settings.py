"""The runtime's settings."""

import pytest

from deis_platform.settings import SettingsError, load
from deis_services.runtime.settings import Settings


def test_defaults() -> None:
    settings = load(Settings, {"DEIS_RUNTIME_FOLDER": "/srv/runtime"})
    assert settings.ports == range(20000, 30000)
    assert (settings.images, settings.build_env) == ("", "")


@pytest.mark.parametrize("text", ["", "1", "1-", "a-b", "80-90", "3000-2000", "2000-70000"])
def test_a_range_that_is_none(text: str) -> None:
    with pytest.raises(SettingsError, match="DEIS_RUNTIME_PORTS"):
        load(Settings, {"DEIS_RUNTIME_FOLDER": "/x", "DEIS_RUNTIME_PORTS": text or "-"})


@pytest.mark.parametrize("text", ["", "1", "0-9", "500-20000", "20000-10000", "20000-4294967295"])
def test_users_that_are_none_of_ours(text: str) -> None:
    with pytest.raises(SettingsError, match="DEIS_RUNTIME_UIDS"):
        load(Settings, {"DEIS_RUNTIME_FOLDER": "/x", "DEIS_RUNTIME_UIDS": text or "-"})


def test_users_have_a_range_of_their_own() -> None:
    settings = load(Settings, {"DEIS_RUNTIME_FOLDER": "/x", "DEIS_RUNTIME_UIDS": "20000-20999"})
    assert settings.uids == range(20000, 21000)
