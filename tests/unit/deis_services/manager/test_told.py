"""Each thing is told once, and once more when it is well again."""

import pytest

from deis_bus.contracts.components import ComponentState
from deis_bus.events import Event
from deis_bus.events.fleet import (
    ComponentCrashed,
    ComponentMissing,
    ComponentOutdated,
    ComponentReturned,
    ComponentUpdated,
)
from deis_services.manager.model import PodState
from deis_services.manager.told import Told

POD = "deis-router-1"
CRASHED = ComponentCrashed(component="router", instance=POD, restarts=1, reason="OOMKilled")
MISSING = ComponentMissing(component="router")
RETURNED = ComponentReturned(component="router")
OUTDATED = ComponentOutdated(component="router", version="0.1.0", latest="0.2.0")


@pytest.fixture
def told() -> Told:
    return Told()


def pod(restarts: int = 0, *, ready: bool = True, name: str = POD) -> PodState:
    return PodState(
        component="router", name=name, ready=ready, restarts=restarts, reason="OOMKilled"
    )


def look(
    told: Told,
    *pods: PodState,
    ready: int = 1,
    wanted: int = 1,
    version: str = "",
    latest: str = "",
    silent: tuple[str, ...] = (),
) -> list[Event]:
    """What is told of a router like this."""
    state = ComponentState(
        name="router", wanted=wanted, ready=ready, version=version, latest=latest
    )
    return told.look([state], pods, silent)


def test_a_crash_is_told_once(told: Told) -> None:
    assert look(told, pod()) == []
    assert look(told, pod(1, ready=False), ready=0) == [CRASHED]
    assert look(told, pod(1, ready=False), ready=0) == []


def test_restarts_at_the_first_look_are_no_news(told: Told) -> None:
    assert look(told, pod(3)) == []
    assert look(told, pod(4, ready=False)) == [
        ComponentCrashed(component="router", instance=POD, restarts=4, reason="OOMKilled")
    ]


def test_a_pod_that_crashed_before_it_was_seen_is_news(told: Told) -> None:
    look(told)
    assert look(told, pod(1, ready=False)) == [CRASHED]


def test_who_crashed_is_back_once_every_pod_is_ready(told: Told) -> None:
    look(told, pod())
    look(told, pod(1, ready=False), ready=0)
    assert look(told, pod(1), pod(ready=False, name="other"), ready=1) == []
    assert look(told, pod(1), ready=1, wanted=2) == []
    assert look(told, pod(1), ready=1) == [RETURNED]
    assert look(told, pod(1), ready=1) == []


def test_who_crashed_and_was_scaled_away_is_not_back(told: Told) -> None:
    look(told, pod())
    look(told, pod(1, ready=False), ready=0)
    assert look(told, ready=0, wanted=0) == []


def test_a_restart_that_is_over_at_the_next_look_is_told_with_its_end(told: Told) -> None:
    look(told, pod())
    assert look(told, pod(1)) == [CRASHED, RETURNED]


def test_only_what_nobody_hears_on_the_bus_is_missed_here(told: Told) -> None:
    assert look(told, ready=0) == []
    assert look(told, ready=0, silent=("router",)) == [MISSING]
    assert look(told, ready=0, silent=("router",)) == []
    assert look(told, ready=1, silent=("router",)) == [RETURNED]
    assert look(told, ready=1, silent=("router",)) == []
    assert look(told, ready=0, wanted=0, silent=("router",)) == [MISSING]


def test_who_crashed_and_was_missing_is_back_once(told: Told) -> None:
    look(told, pod(), silent=("router",))
    crashed = look(told, pod(1, ready=False), ready=0, silent=("router",))
    assert crashed == [CRASHED, MISSING]
    assert look(told, pod(1), silent=("router",)) == [RETURNED]
    assert look(told, pod(1), silent=("router",)) == []


def test_a_newer_version_is_told_once_and_the_next_one_again(told: Told) -> None:
    assert look(told, version="0.1.0", latest="0.2.0") == [OUTDATED]
    assert look(told, version="0.1.0", latest="0.2.0") == []
    assert look(told, version="0.1.0", latest="0.3.0") == [
        ComponentOutdated(component="router", version="0.1.0", latest="0.3.0")
    ]


def test_an_update_is_told_once(told: Told) -> None:
    look(told, version="0.1.0", latest="0.2.0")
    updated = ComponentUpdated(component="router", version="0.2.0")
    assert look(told, version="0.2.0", latest="0.2.0") == [updated]
    assert look(told, version="0.2.0", latest="0.2.0") == []
    assert look(told, version="0.1.0", latest="0.2.0") == [OUTDATED]


def test_a_feed_that_forgets_a_version_updates_nothing(told: Told) -> None:
    look(told, version="0.1.0", latest="0.2.0")
    assert look(told, version="0.1.0", latest="") == []
    assert look(told, version="0.1.0", latest="0.2.0") == [OUTDATED]
