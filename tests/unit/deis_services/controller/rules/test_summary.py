"""The sentence of a release (api.md 23.2)."""

from typing import Any

import pytest

from deis_bus.errors import Refused
from deis_services.controller.model import Config
from deis_services.controller.rules.summary import summary
from tests.unit.deis_services.controller.rules.samples import build, slug


def text(old: dict[str, Any], new: dict[str, Any]) -> str:
    before = Config(owner="ada", **old)
    after = Config(owner="bob", **new)
    one = slug(web="x")
    return summary((one, before), one, after, "ada", 3)


def test_the_first_release() -> None:
    assert summary(None, None, Config(), "ada", 1) == "ada created initial release"


def test_builds() -> None:
    config = Config(owner="bob")
    old = slug("b1", web="x")
    assert summary((None, config), old, config, "ada", 2) == "ada deployed 1234567"
    image = build("b2")
    assert summary((old, config), image, config, "ada", 3) == "ada deployed registry/example:latest"


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        (
            {"values": {"C": "1", "D": "1"}},
            {"values": {"A": "1", "B": "1", "C": "2"}},
            "bob added A, B, changed C, deleted D",
        ),
        ({}, {"memory": {"web": "1G"}, "cpu": {"web": "1"}}, "bob changed limits for memory, cpu"),
        ({}, {"cpu": {"web": "1"}}, "bob changed limits for cpu"),
        (
            {},
            {"lifecycle_post_start": {"web": "x"}},
            "bob added lifecycle_post_start  web",
        ),
        (
            {"lifecycle_pre_stop": {"web": "x"}},
            {"lifecycle_pre_stop": {"web": "y"}},
            "bob changed lifecycle_pre_stop web",
        ),
        ({"lifecycle_pre_stop": {"web": "x"}}, {}, "bob deleted lifecycle_pre_stop web"),
        (
            {},
            {"termination_grace_period": {"web": "1"}},
            "bob changed timeouts for termination_grace_period",
        ),
        ({"tags": {"a": "1"}}, {"tags": {"b": "1"}}, "bob added tag b, deleted tag a"),
        (
            {},
            {"registry": {"username": "x", "password": "y"}},
            "bob added registry info password, username",
        ),
        (
            {"healthcheck": {"": {}}},
            {"healthcheck": {"web/cmd": {}}},
            "bob added healthcheck info for proc type web/cmd, "
            "deleted healthcheck info for proc type default",
        ),
        (
            {},
            {"values": {"A": "1"}, "memory": {"web": "1G"}, "tags": {"a": "1"}},
            "bob added A and bob changed limits for memory and bob added tag a",
        ),
    ],
)
def test_configurations(old: dict[str, Any], new: dict[str, Any], wanted: str) -> None:
    assert text(old, new) == wanted


def test_build_and_configuration() -> None:
    new = Config(owner="bob", values={"A": "1"})
    got = summary((slug("b1"), Config()), slug("b2"), new, "ada", 3)
    assert got == "ada deployed 1234567 and bob added A"


def test_nothing_changed() -> None:
    with pytest.raises(Refused, match=r"^bob changed nothing - release stopped$") as caught:
        text({}, {})
    assert caught.value.code == 409
