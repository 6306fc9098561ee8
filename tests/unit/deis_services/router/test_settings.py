"""The router's settings."""

from pathlib import Path

import pytest

from deis_platform.settings import SettingsError, load
from deis_services.router.settings import Settings


def test_the_defaults_need_only_a_folder() -> None:
    settings = load(Settings, {"DEIS_ROUTER_FOLDER": "/var/lib/router"})
    assert settings.folder == Path("/var/lib/router")
    assert settings.ports == range(20000, 30000)
    assert settings.https is None


@pytest.mark.parametrize("text", ["", "x", "20000", "80-90", "5000-4000", "1024-65535"])
def test_a_wrong_port_range_is_told(text: str) -> None:
    with pytest.raises(SettingsError, match="DEIS_ROUTER_PORTS"):
        load(Settings, {"DEIS_ROUTER_FOLDER": "x", "DEIS_ROUTER_PORTS": text or "-"})
