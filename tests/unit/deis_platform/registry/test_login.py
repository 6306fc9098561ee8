"""The registry configuration of an app as a login."""

import base64

import pytest

from deis_bus.errors import Refused
from deis_platform.registry.login import login_for
from deis_platform.registry.reference import DOCKER_HUB, Authority

QUAY = Authority("quay.io")
ADA = {"username": "ada", "password": "secret"}


def shown(config: dict[str, str], registry: Authority = QUAY) -> str:
    """What the registry reads."""
    said = login_for(registry, config)
    return base64.b64decode(said.removeprefix("Basic ")).decode() if said else ""


def test_user_and_password() -> None:
    assert shown({"username": "ada", "password": '{"a":"b=="}'}) == 'ada:{"a":"b=="}'
    assert shown({"username": "ädä", "password": "p:w"}) == "ädä:p:w"


@pytest.mark.parametrize("config", [{}, {"hostname": "quay.io"}, {"username": "", "password": ""}])
def test_nobody(config: dict[str, str]) -> None:
    assert shown(config) == ""


@pytest.mark.parametrize("config", [{"username": "ada"}, {"password": "secret"}])
def test_half_a_login(config: dict[str, str]) -> None:
    with pytest.raises(Refused, match=r"^Registry auth requires a username and a password$"):
        shown(config)


@pytest.mark.parametrize(
    ("registry", "hostname"),
    [
        (QUAY, "quay.io"),
        (QUAY, "QUAY.io"),
        (QUAY, "https://quay.io"),
        (QUAY, "https://quay.io:443/v2/"),
        (QUAY, "quay.io/example"),
        (QUAY, ""),
        (Authority("node", 5000), "node:5000"),
        (Authority(DOCKER_HUB), "https://index.docker.io/v1/"),
        (Authority(DOCKER_HUB), "docker.io"),
    ],
)
def test_a_login_is_for_its_host(registry: Authority, hostname: str) -> None:
    assert shown(ADA | {"hostname": hostname}, registry) == "ada:secret"


@pytest.mark.parametrize(
    "hostname",
    ["gcr.io", "quay.io:444", "quay.io.example.com", "docker.io", "@quay.io", "x@quay.io", "nö"],
)
def test_a_login_is_for_no_other_host(hostname: str) -> None:
    assert shown(ADA | {"hostname": hostname}) == ""
