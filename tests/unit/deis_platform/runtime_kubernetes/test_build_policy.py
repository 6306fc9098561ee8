"""Builds are kept off the API server wherever it goes."""

import asyncio
from typing import Any

import msgspec
import pytest

from deis_platform.runtime.kubernetes import build_policy
from deis_platform.runtime.kubernetes.build_policy import Policy
from tests.unit.deis_platform.runtime_kubernetes.conftest import Starts
from tests.unit.deis_platform.runtime_kubernetes.given import FACTS
from tests.unit.deis_platform.runtime_kubernetes.server import Server

UNKNOWN = msgspec.structs.replace(FACTS, api=None)
BUILDS = FACTS.build_namespace
DNS = {"ports": [{"port": 53}]}


def spec(*closed: str) -> dict[str, Any]:
    """As the chart writes it."""
    way: dict[str, Any] = {"cidr": "0.0.0.0/0"} | ({"except": [*closed]} if closed else {})
    other = {"cidr": "::/0", "except": ["fc00::/7"]}
    mine = {"ipBlock": {"cidr": "198.51.100.0/24"}}
    return {"egress": [DNS, {"to": [{"ipBlock": way}, {"ipBlock": other}]}, {"to": [mine]}]}


def given(*closed: str) -> Policy:
    """The policy as it is seen."""
    return msgspec.convert({"spec": spec(*closed)}, Policy)


@pytest.mark.parametrize(
    ("closed", "expected"),
    [
        ((), ["192.0.2.1/32"]),
        (("10.0.0.0/8",), ["10.0.0.0/8", "192.0.2.1/32"]),
        (("192.0.2.1/32",), None),
        (("192.0.2.0/24",), None),
    ],
)
def test_what_is_not_closed_is_added_to_the_way_out_alone(
    closed: tuple[str, ...], expected: list[str] | None
) -> None:
    found = build_policy.patch(given(*closed), ("192.0.2.1",))
    added = [(step["path"], step["value"]) for step in found if step["op"] == "add"]
    way = "/spec/egress/1/to/0/ipBlock/except"
    assert added == ([(way, expected)] if expected else [])


def test_nothing_is_known_nothing_is_changed() -> None:
    assert build_policy.patch(given("10.0.0.0/8"), ()) == []


async def test_it_follows_and_comes_back(
    server: Server, controller: Starts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_policy, "PAUSE_SECONDS", 0.0)

    async def refuse() -> None:
        server.refused["networkpolicies"] = (422, "another one was faster")

    async def take() -> None:
        server.refused.clear()

    def closed() -> list[str]:
        way = server.get("networkpolicies", BUILDS, "deis-builds")["spec"]["egress"][1]["to"][0]
        return list(way["ipBlock"]["except"])

    async def until(*expected: str) -> None:
        async with asyncio.timeout(5):
            while closed() != [*expected]:
                await server.changed()

    meta = {"name": "deis-builds", "namespace": BUILDS}
    server.put("namespaces", {"metadata": {"name": BUILDS}})
    server.put("networkpolicies", {"metadata": {**meta}, "spec": spec("10.0.0.0/8")})
    async with controller(facts=UNKNOWN):
        server.at("192.0.2.1")
        await until("10.0.0.0/8", "192.0.2.1/32")
        server.at("192.0.2.1", "192.0.2.2")
        await until("10.0.0.0/8", "192.0.2.1/32", "192.0.2.2/32")
        count = len(server.writes)
        server.before = {count: refuse, count + 1: take}
        server.put("networkpolicies", {"metadata": {**meta}, "spec": spec("10.0.0.0/8")})
        await until("10.0.0.0/8", "192.0.2.1/32", "192.0.2.2/32")
        assert len(server.writes) == count + 2
