"""Events to bytes and back; what cannot be read says why."""

import json

import pytest

from deis_bus import codec
from deis_bus.asyncapi import samples
from deis_bus.errors import Permanent, Undecodable
from deis_bus.events import REGISTRY
from deis_bus.events.apps import AppScaled
from deis_bus.events.releases import DeployFailed


@pytest.mark.parametrize("kind", REGISTRY)
def test_every_event_survives_the_way(kind: str) -> None:
    given = codec.decode(kind, json.dumps(samples.payload(REGISTRY[kind])).encode())
    assert codec.decode(kind, codec.encode(given)) == given


def test_the_json_holds_every_field() -> None:
    event = DeployFailed(version=3, reason="never ready")
    assert json.loads(codec.encode(event)) == {"version": 3, "reason": "never ready", "previous": 0}


def test_a_field_of_a_newer_version_passes() -> None:
    newer = b'{"counts": {"web": 2}, "invented_later": true}'
    assert codec.decode("app.scaled", newer) == AppScaled(counts={"web": 2})


def test_a_type_of_a_newer_version_is_not_known() -> None:
    assert codec.known("app.scaled")
    assert not codec.known("app.invented")
    with pytest.raises(Undecodable, match=r"unknown event type 'app\.invented'"):
        codec.decode("app.invented", b"{}")


@pytest.mark.parametrize(
    "data",
    [b"", b"no json", b"[]", b"{}", b'{"counts": {"web": "two"}}', b'{"counts": null}', b"\xff"],
)
def test_bytes_that_are_not_the_event_are_a_permanent_fault(data: bytes) -> None:
    with pytest.raises(Undecodable, match=r"^app\.scaled: ") as told:
        codec.decode("app.scaled", data)
    assert isinstance(told.value, Permanent)
