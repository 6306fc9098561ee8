"""Samples are asked for, not guessed."""

import pytest

from deis_bus.asyncapi.samples import payload
from deis_bus.events import Event


class WithoutSample(Event, frozen=True):
    """A field that no sample knows."""

    TYPE = "sample.missing"
    never_heard_of: str
    nor_of_this: str = ""


def test_a_field_without_a_sample_is_told() -> None:
    with pytest.raises(KeyError, match="never_heard_of"):
        payload(WithoutSample)
