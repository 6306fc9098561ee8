"""What the doctor makes of a cluster: each finding names evidence and what to type."""

import shlex
from typing import Any

import msgspec
import pytest

from deis_bus.contracts.components import ComponentState, Finding
from deis_bus.ports import Component
from deis_services.platform_cli.cluster_rules import notes
from deis_services.platform_cli.doctor import written
from deis_services.platform_cli.facts import Evidence, RouterService
from deis_services.platform_cli.rules import findings

BALANCED = RouterService(kind="LoadBalancer", addresses=("198.51.100.9",), release="mine")
WELL = Evidence(
    data="/home/deis",
    version="2.0.0",
    local=False,
    namespace="deis",
    nats="",
    nats_url="tls://deis-nats.deis.svc:4222",
    database="",
    expected=("router",),
    components=(Component(name="router", id="r1", version="2.0.0"),),
    manager="",
    installed=(ComponentState(name="router", image="deis/platform", wanted=1, ready=1),),
    api_server="",
    router=BALANCED,
)
UPGRADE = "helm --namespace deis upgrade mine charts/workflow --values values.yaml"
PODS = "kubectl --namespace deis describe pods --selector app=deis-router"


def found(**changes: Any) -> list[Finding]:
    return findings(msgspec.structs.replace(WELL, **changes))


def one(problem: str, **changes: Any) -> Finding:
    """The only finding about a router with that problem."""
    state: dict[str, Any] = {"name": "router", "image": "deis/platform", "wanted": 1}
    state |= {"problem": problem} | changes
    [finding] = found(installed=(ComponentState(**state),))
    return finding


def test_a_cluster_that_is_well_has_none() -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("problem", "changes", "command"),
    [
        ("missing: 0 of 1 ready, ImagePullBackOff", {}, PODS),
        ("missing: its pods are ready, and it does not answer on the bus", {}, PODS),
        ("missing: none is wanted, it was scaled to 0", {"wanted": 0}, UPGRADE),
        ("missing: not installed", {"image": ""}, UPGRADE),
        ("outdated: 1.0.0 is installed, 2.0.0 is there", {}, UPGRADE),
        (
            "crashed: deis-router-1, 4 restarts, OOMKilled",
            {},
            "kubectl --namespace deis logs --previous --ignore-errors --selector app=deis-router",
        ),
    ],
)
def test_what_the_manager_says(problem: str, changes: dict[str, Any], command: str) -> None:
    finding = one(problem, **changes)
    assert finding.component == "router"
    assert finding.evidence == problem.partition(": ")[2]
    assert finding.command == command
    assert shlex.split(finding.command)[0] in ("kubectl", "helm")


def test_each_kind_of_problem_is_said_in_words() -> None:
    said = {one(f"{kind}: x").problem for kind in ("missing", "crashed", "outdated")}
    assert said == {
        "it is missing, or some of it",
        "it crashes again and again",
        "there is a newer version",
    }


def test_who_is_missing_on_the_bus_too_is_told_once_and_with_more() -> None:
    state = ComponentState(name="router", image="x", wanted=1, problem="missing: 0 of 1 ready")
    [finding] = found(components=(), installed=(state,))
    assert finding.evidence == "0 of 1 ready"


def test_who_is_missing_on_the_bus_alone_is_told_all_the_same() -> None:
    [finding] = found(components=())
    assert finding.evidence.startswith("no router answers on the bus")
    assert finding.command == PODS


def test_a_manager_that_does_not_say() -> None:
    [finding] = found(manager="no answer in time", installed=())
    assert (finding.component, finding.evidence) == ("manager", "no answer in time")
    assert finding.command.endswith("app=deis-workflow-manager")


def test_servers_of_the_chart_are_looked_at_as_pods() -> None:
    away = {
        "nats": "refused",
        "database": "refused",
        "database_url": "postgresql://deis-database.deis.svc:5432/deis",
        "objects": "refused",
        "objects_server": "http://deis-objects.deis.svc:8333",
        "outside": ("nats", "postgres"),
    }
    commands = [finding.command.rpartition(" ")[2] for finding in found(**away)]
    assert commands == ["app=deis-nats", "app=deis-database", "app=deis-objects"]
    theirs = {
        "nats_url": "tls://deis-nats.example.com:4222",
        "database_url": "postgresql://db.example.com/deis",
        "objects_server": "https://deis-objects.deis.svcs.example.com",
    }
    programs = [finding.command.split()[0] for finding in found(**away | theirs)]
    assert programs == ["nats", "pg_isready", "curl"]


def test_commands_of_ours_are_typed_in_the_pod() -> None:
    inside = "kubectl --namespace deis exec deployment/deis-controller -- deis-platform"
    [pending] = found(pending=("0002_more.sql",))
    assert pending.command == f"{inside} migrate"
    [newer] = found(schema="the database has schema 9")
    assert newer.command == UPGRADE


def test_an_api_server_that_is_away() -> None:
    [finding] = found(api_server="no answer within 5 s", router=None)
    assert finding.component == "kubernetes"
    assert finding.evidence == "the API server: no answer within 5 s"


def test_a_router_that_nobody_gets_to() -> None:
    [gone] = found(router=None)
    assert gone.evidence == "there is no Service deis-router in namespace deis"
    [pending] = found(router=RouterService(kind="LoadBalancer"))
    assert pending.evidence == "Service deis-router of type LoadBalancer has no address yet"
    assert pending.command == "kubectl --namespace deis describe service deis-router"
    assert found(router=RouterService(kind="NodePort")) == []


def test_on_one_machine_the_manager_is_only_asked_for_versions() -> None:
    states = tuple(
        ComponentState(name=name, problem=f"{name}: x")
        for name in ("missing", "crashed", "outdated")
    )
    [finding] = found(namespace="", api_server=None, router=None, installed=states)
    assert finding.component == "outdated"
    assert finding.command == "pip install --upgrade deis-workflow"


def test_a_store_for_trying_out_is_said_and_no_fault() -> None:
    there = msgspec.structs.replace(WELL, installed=(ComponentState(name="objects"),))
    [note] = notes(there)
    assert written(findings(there), [note]) == f"Everything is as it should be.\n\n{note}"
    assert "objects.s3" in note
    assert notes(WELL) == []
