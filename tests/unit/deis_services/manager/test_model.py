"""What is installed, and what is wrong with it."""

import msgspec
import pytest

from deis_bus.contracts.components import component_of, workload_of
from deis_bus.ports import Component
from deis_services.manager import model
from deis_services.manager.model import PodState, Workload

ROUTER = Workload(
    component="router", kind="Deployment", name="deis-router", version="0.1.0", wanted=2, ready=2
)


CRASHING = PodState(
    component="router", name="deis-router-1", restarts=4, crashing=True, reason="OOMKilled"
)


def router(**changes: object) -> Workload:
    return msgspec.structs.replace(ROUTER, **changes)


@pytest.mark.parametrize(
    ("latest", "installed", "newer"),
    [
        ("0.2.0", "0.1.9", True),
        ("0.10.0", "0.9.0", True),
        ("v1.0", "0.9.9", True),
        ("0.1.0", "0.1.0", False),
        ("0.1.0", "0.2.0", False),
        ("", "0.1.0", False),
        ("latest", "0.1.0", False),
        ("0.2.0", "", False),
    ],
)
def test_versions_are_compared_number_by_number(latest: str, installed: str, newer: bool) -> None:
    assert model.is_newer(latest, installed) is newer


@pytest.mark.parametrize("component", ["router", "manager", "shipper", "nats"])
def test_names_of_workloads_lead_to_components_and_back(component: str) -> None:
    assert component_of(workload_of(component)) == component


def test_longer_names_of_workloads() -> None:
    names = ["deis-workflow-manager", "deis-log-shipper", "deis-router"]
    assert [workload_of(name) for name in ("manager", "shipper", "router")] == names


def test_the_worst_problem_is_shown() -> None:
    feed = {"workflow": "0.2.0"}
    few = router(ready=1)
    assert model.state(ROUTER, [], {}).problem == ""
    outdated = "outdated: 0.1.0 is installed, 0.2.0 is there"
    assert model.state(ROUTER, [], feed).problem == outdated
    assert model.state(few, [], feed).problem == "missing: 1 of 2 ready"
    crashed = model.state(few, [CRASHING], feed)
    assert crashed.problem == "crashed: deis-router-1, 4 restarts, OOMKilled"


def test_of_several_pods_that_crash_the_worst_is_shown() -> None:
    first = PodState(component="router", name="deis-router-0", restarts=1, crashing=True)
    other = PodState(component="builder", name="deis-builder-0", restarts=9, crashing=True)
    state = model.state(router(ready=1), [first, CRASHING, other], {})
    assert state.problem.startswith("crashed: deis-router-1, 4 restarts")


def test_what_does_not_start_is_missing_and_says_why() -> None:
    stuck = PodState(component="router", name="deis-router-2", trouble="ImagePullBackOff")
    state = model.state(router(ready=1), [stuck], {})
    assert state.problem == "missing: 1 of 2 ready, ImagePullBackOff"


def test_an_upgrade_that_does_not_start_is_seen_while_the_old_pods_serve() -> None:
    stuck = PodState(component="router", name="deis-router-2", trouble="ErrImagePull")
    state = model.state(ROUTER, [stuck], {})
    assert state.problem == "missing: an instance does not start, ErrImagePull"


def test_what_was_scaled_away_is_missing_too() -> None:
    state = model.state(router(wanted=0, ready=0), [], {})
    assert state.problem.startswith("missing: none is wanted")


def test_pods_that_are_ready_and_not_heard_are_missing() -> None:
    well = model.state(ROUTER, [], {})
    crashed = model.state(router(component="builder"), [], {"builder": "9.0"})
    shown = model.unheard([crashed, well], {"router", "builder"})
    assert [one.name for one in shown] == ["builder", "router"]
    assert shown[0] == crashed
    assert shown[1].problem == "missing: its pods are ready, and it does not answer on the bus"
    assert model.unheard([well], ()) == (well,)


def test_an_entry_of_its_own_in_the_feed_wins() -> None:
    assert model.latest_of("router", {"workflow": "0.2.0", "router": "0.2.1"}) == "0.2.1"
    assert model.latest_of("builder", {"router": "0.2.1"}) == ""


def test_on_a_bus_alone_components_are_who_answers() -> None:
    there = Component(name="router", id="r1", version="0.1.0")
    missing, answers = model.on_bus(("router", "builder"), [there], {"workflow": "0.3.0"})
    assert (missing.name, missing.problem) == ("builder", "missing: nobody answers")
    assert (answers.ready, answers.problem) == (
        1,
        "outdated: 0.1.0 is installed, 0.3.0 is there",
    )
