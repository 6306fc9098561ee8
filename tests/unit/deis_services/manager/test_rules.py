"""Who is missing is told after several looks, once, and so is who is back."""

import pytest

from deis_bus.events.fleet import ComponentMissing, ComponentReturned, ComponentStarted
from deis_bus.ports import Component
from deis_services.manager.rules import FIRST_MISSES, MISSES, Roll
from deis_services.manager.watch import report

GATEWAY = Component(name="gateway", id="g1", version="1")
ROUTER = Component(name="router", id="r1", version="1")
AGAIN = Component(name="gateway", id="g2", version="2")


@pytest.fixture
def roll() -> Roll:
    """Both are there."""
    roll = Roll(("gateway", "router"))
    roll.look([GATEWAY, ROUTER])
    return roll


def test_who_comes_is_told_once() -> None:
    roll = Roll(("gateway",))
    started = ComponentStarted(component="gateway", instance="g1", version="1")
    assert roll.look([GATEWAY]) == [started]
    assert roll.look([GATEWAY]) == []
    [second] = roll.look([GATEWAY, AGAIN])
    assert second == ComponentStarted(component="gateway", instance="g2", version="2")


def test_a_missed_ping_is_no_flap(roll: Roll) -> None:
    for _ in range(5):
        for _ in range(MISSES - 1):
            assert roll.look([ROUTER]) == []
        assert roll.look([GATEWAY, ROUTER]) == []


def test_who_is_gone_is_missing_once_and_comes_back_once(roll: Roll) -> None:
    told = [event for _ in range(3 * MISSES) for event in roll.look([ROUTER])]
    assert told == [ComponentMissing(component="gateway", instance="g1")]
    assert roll.missing == {"gateway"}
    assert roll.look([AGAIN, ROUTER]) == [
        ComponentReturned(component="gateway", instance="g2"),
        ComponentStarted(component="gateway", instance="g2", version="2"),
    ]
    assert roll.look([AGAIN, ROUTER]) == []
    assert roll.missing == set()


def test_one_replica_is_enough(roll: Roll) -> None:
    for _ in range(3 * MISSES):
        assert ComponentMissing not in {type(event) for event in roll.look([AGAIN, ROUTER])}


def test_who_never_came_may_still_be_starting() -> None:
    roll = Roll(("gateway", "router"))
    roll.look([ROUTER])
    assert [event for _ in range(FIRST_MISSES - 2) for event in roll.look([ROUTER])] == []
    assert roll.look([ROUTER]) == [ComponentMissing(component="gateway")]


def test_who_need_not_run_is_never_missing(roll: Roll) -> None:
    extra = Component(name="extra", id="e1", version="1")
    assert len(roll.look([GATEWAY, ROUTER, extra])) == 1
    assert [event for _ in range(3 * MISSES) for event in roll.look([GATEWAY, ROUTER])] == []


def test_a_start_has_one_identity_whoever_reports_it() -> None:
    start = ComponentStarted(component="gateway", instance="g1", version="1")
    assert report(start).envelope.id == report(start).envelope.id
    other = ComponentStarted(component="gateway", instance="g2", version="1")
    assert report(start).envelope.id != report(other).envelope.id
    gone = ComponentMissing(component="gateway", instance="g1")
    assert report(gone).envelope.id != report(gone).envelope.id
