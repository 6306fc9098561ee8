"""Which Service gets which address."""

from typing import Any

from integration.cluster.layout import LOAD_BALANCERS
from integration.cluster.load_balancers import wanted


def service(kind: str = "LoadBalancer", address: str = "", **spec: Any) -> dict[str, Any]:
    ingress = [{"ip": address}] if address else []
    return {
        "spec": {"type": kind, **spec},
        "status": {"loadBalancer": {"ingress": ingress} if ingress else {}},
    }


def test_each_gets_one_that_is_free() -> None:
    services = {
        ("a", "has"): service(address=LOAD_BALANCERS[0]),
        ("a", "new"): service(),
        ("b", "new"): service(),
        ("b", "inside"): service("ClusterIP"),
    }
    assert wanted(services) == {
        ("a", "new"): [LOAD_BALANCERS[1]],
        ("b", "new"): [LOAD_BALANCERS[2]],
    }


def test_the_one_that_is_asked_for_when_it_is_free() -> None:
    asked, taken = LOAD_BALANCERS[5], LOAD_BALANCERS[0]
    services = {
        ("a", "has"): service(address=taken),
        ("a", "asks"): service(loadBalancerIP=asked),
        ("a", "in-vain"): service(loadBalancerIP=taken),
    }
    assert wanted(services) == {("a", "asks"): [asked], ("a", "in-vain"): [LOAD_BALANCERS[1]]}


def test_who_is_none_any_more_gives_it_back() -> None:
    services = {("a", "was"): service("NodePort", LOAD_BALANCERS[0])}
    assert wanted(services) == {("a", "was"): []}


def test_nothing_is_left() -> None:
    services = {("a", address): service(address=address) for address in LOAD_BALANCERS}
    assert wanted({**services, ("a", "late"): service()}) == {}
