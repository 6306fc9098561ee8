"""A number that would make a service do nothing at all is a mistake, told at the start."""

import importlib

import pytest

from deis_platform.settings import SettingsError, load

MODULES = {
    "builder": "BUILDS_AT_ONCE BUILDER_CONNECTIONS BUILDER_LOGIN_SECONDS BUILDER_POLL_SECONDS",
    "controller": "DEPLOYS_AT_ONCE LEASE_SECONDS RESYNC_SECONDS BUILD_SECONDS SLUGS_KEPT",
    "gateway": "REQUEST_SECONDS GATEWAY_STREAMS",
    "logger": "LOGGER_LINES LOGGER_FOLLOWERS",
    "manager": "MANAGER_SECONDS",
    "shipper": "SHIPPER_FILES",
    "router": "ROUTER_WORKERS ROUTER_IDLE_SECONDS",
}


@pytest.mark.parametrize(
    ("service", "name"),
    [(service, f"DEIS_{name}") for service, names in MODULES.items() for name in names.split()],
)
def test_zero_is_refused(service: str, name: str) -> None:
    settings = importlib.import_module(f"deis_services.{service}.settings").Settings
    with pytest.raises(SettingsError, match=f"{name}.*(from 1 on|above 0)"):
        load(settings, {name: "0"})


def test_a_mode_of_registration_that_does_not_exist_is_refused() -> None:
    settings = importlib.import_module("deis_services.controller.settings").Settings
    with pytest.raises(SettingsError, match=r"DEIS_REGISTRATION_MODE.*admin_only"):
        load(settings, {"DEIS_REGISTRATION_MODE": "off"})
