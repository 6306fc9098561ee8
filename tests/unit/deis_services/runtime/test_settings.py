"""The runtime's settings."""

import pytest

from deis_platform.settings import SettingsError, load
from deis_services.runtime.settings import Settings, port_range


def test_defaults() -> None:
    settings = load(Settings, {"DEIS_RUNTIME_FOLDER": "/srv/runtime"})
    assert settings.ports == range(20000, 30000)
    assert (settings.images, settings.build_env) == ("", "")


@pytest.mark.parametrize("text", ["", "1", "1-", "a-b", "80-90", "3000-2000", "2000-70000"])
def test_a_range_that_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        port_range(text)
    with pytest.raises(SettingsError, match="DEIS_RUNTIME_PORTS"):
        load(Settings, {"DEIS_RUNTIME_FOLDER": "/x", "DEIS_RUNTIME_PORTS": text or "-"})
