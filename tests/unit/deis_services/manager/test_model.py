"""What is installed, what is wrong with it, and that each thing is told once."""

import pytest

from deis_bus.contracts.components import ComponentState
from deis_bus.events.fleet import ComponentCrashed, ComponentMissing, ComponentOutdated
from deis_bus.ports import Component
from deis_services.manager import model
from deis_services.manager.model import PodState, Told, Workload

ROUTER = Workload(
    component="router", kind="Deployment", name="deis-router", version="0.1.0", wanted=2, ready=2
)


def pod(restarts: int, *, crashing: bool = False) -> PodState:
    return PodState(
        component="router",
        name="deis-router-1",
        restarts=restarts,
        crashing=crashing,
        reason="OOMKilled",
    )


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


def test_names_of_workloads_lead_to_components() -> None:
    names = ("deis-router", "deis-workflow-manager", "deis-log-shipper", "deis-nats")
    assert [model.component_of(name) for name in names] == ["router", "manager", "shipper", "nats"]


def test_the_worst_problem_is_shown() -> None:
    feed = {"workflow": "0.2.0"}
    few = Workload(**{f: getattr(ROUTER, f) for f in ROUTER.__struct_fields__} | {"ready": 1})
    assert model.state(ROUTER, [], {}).problem == ""
    assert model.state(ROUTER, [], feed).problem == "outdated: 0.2.0 is there"
    assert model.state(few, [], feed).problem == "missing: 1 of 2 ready"
    crashed = model.state(few, [pod(4, crashing=True)], feed)
    assert crashed.problem == "crashed: deis-router-1, 4 restarts, OOMKilled"


def test_an_entry_of_its_own_in_the_feed_wins() -> None:
    assert model.latest_of("router", {"workflow": "0.2.0", "router": "0.2.1"}) == "0.2.1"
    assert model.latest_of("builder", {"router": "0.2.1"}) == ""


def test_on_a_bus_alone_components_are_who_answers() -> None:
    there = Component(name="router", id="r1", version="0.1.0")
    missing, router = model.on_bus(("router", "builder"), [there], {"workflow": "0.3.0"})
    assert (missing.name, missing.problem) == ("builder", "missing: nobody answers")
    assert (router.ready, router.problem) == (1, "outdated: 0.3.0 is there")


def test_a_crash_is_told_once_and_old_ones_are_no_news() -> None:
    told = Told()
    assert told.crashes([pod(3)]) == []
    assert told.crashes([pod(4)]) == [
        ComponentCrashed(
            component="router", instance="deis-router-1", restarts=4, reason="OOMKilled"
        )
    ]
    assert told.crashes([pod(4)]) == []


def test_a_newer_version_is_told_once() -> None:
    told = Told()
    state = model.state(ROUTER, [], {"workflow": "0.2.0"})
    assert told.outdated([state]) == [
        ComponentOutdated(component="router", version="0.1.0", latest="0.2.0")
    ]
    assert told.outdated([state]) == []


def test_only_what_nobody_hears_on_the_bus_is_missed_here() -> None:
    told = Told()
    nats = ComponentState(name="nats", wanted=1)
    router = ComponentState(name="router", wanted=1)
    assert told.missing([nats, router], {"nats"}) == [ComponentMissing(component="nats")]
    assert told.missing([nats, router], {"nats"}) == []
    back = ComponentState(name="nats", wanted=1, ready=1)
    assert told.missing([back], {"nats"}) == []
    assert told.missing([nats], {"nats"}) == [ComponentMissing(component="nats")]
