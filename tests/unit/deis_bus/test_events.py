"""The registry: every event is typed, frozen, in the past tense and named after its type."""

import re

import msgspec
import pytest

from deis_bus.events import REGISTRY, Event
from deis_bus.events.releases import ReleaseCreated

SECRETS = re.compile(r"password|secret|token|value|env|command|certificate|private", re.IGNORECASE)


def test_a_type_leads_to_its_class() -> None:
    assert REGISTRY["release.created"] is ReleaseCreated
    assert all(kind == event.TYPE for kind, event in REGISTRY.items())
    assert list(REGISTRY) == sorted(REGISTRY)


def test_no_two_classes_share_a_type() -> None:
    classes = [
        kind.__name__ for kind in Event.__subclasses__() if kind.__module__.startswith("deis_bus")
    ]
    assert sorted(classes) == sorted(kind.__name__ for kind in REGISTRY.values())


@pytest.mark.parametrize("kind", REGISTRY)
def test_an_event_is_named_after_its_type(kind: str) -> None:
    assert re.fullmatch(r"[a-z]+\.[a-z]+", kind)
    assert REGISTRY[kind].__name__ == "".join(word.title() for word in kind.split("."))
    assert REGISTRY[kind].__doc__


@pytest.mark.parametrize("kind", REGISTRY)
def test_an_event_is_frozen_and_has_a_version(kind: str) -> None:
    assert REGISTRY[kind].__struct_config__.frozen
    assert REGISTRY[kind].VERSION >= 1


@pytest.mark.parametrize("kind", REGISTRY)
def test_an_event_has_no_field_for_a_secret(kind: str) -> None:
    names = [field.name for field in msgspec.structs.fields(REGISTRY[kind])]
    assert [name for name in names if SECRETS.search(name)] == []
