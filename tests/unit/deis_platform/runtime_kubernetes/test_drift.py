"""What is ours comes back, kind by kind; what it was made for may move, too."""

import contextlib
import copy
from collections.abc import AsyncGenerator, Callable
from typing import Any

import msgspec
import pytest

from deis_bus.errors import Transient
from deis_platform.runtime.kubernetes import KubernetesRuntime, cluster, names
from deis_platform.runtime.port import Observation
from tests.unit.deis_platform.runtime_kubernetes.conftest import Starts
from tests.unit.deis_platform.runtime_kubernetes.given import APP, FACTS, process, spec
from tests.unit.deis_platform.runtime_kubernetes.server import Object, Server

NAME = APP.app
QUOTA = {"hard": {"pods": "10"}}
LIMITED = msgspec.structs.replace(FACTS, quota=QUOTA)
UNKNOWN = msgspec.structs.replace(FACTS, api=None)
SPEC = spec(3, 2, process("web", 2))
OWN = Observation(app=NAME, appuuid=APP.appuuid)
GUARDS = {
    "networkpolicies": (names.POLICY, ("egress",), []),
    "poddisruptionbudgets": ("blog-web", ("maxUnavailable",), 2),
    "resourcequotas": ("blog-quota", ("hard",), {"pods": "99"}),
}
"""The kinds that only guard an application: an object, and an edit of its spec."""
Watch = AsyncGenerator[Observation, None]


def edit(server: Server, plural: str) -> None:
    """Somebody changes a field of ours, and adds something of his own."""
    name, (word,), value = GUARDS[plural]
    obj = copy.deepcopy(server.get(plural, NAME, name))
    obj["spec"][word] = value
    obj["metadata"].setdefault("annotations", {})["team"] = "green"
    server.put(plural, obj)


def delete(server: Server, plural: str) -> None:
    """Somebody deletes it."""
    server.drop(plural, NAME, GUARDS[plural][0])


def specs(server: Server) -> dict[str, Object]:
    """What the guards say."""
    return {plural: server.get(plural, NAME, one[0])["spec"] for plural, one in GUARDS.items()}


async def unfit(runtime: KubernetesRuntime, watch: Watch) -> list[Observation]:
    """What was told until the application is no longer whole."""
    told = []
    while (await runtime.status(APP)).generation:
        told.append(await anext(watch))
    return told


@pytest.mark.parametrize("plural", GUARDS)
@pytest.mark.parametrize("drift", [edit, delete], ids=lambda one: one.__name__)
async def test_a_guard_changed_by_hand_is_told_and_written_again_and_nothing_else_is(
    server: Server, controller: Starts, drift: Callable[[Server, str], None], plural: str
) -> None:
    async with controller(facts=LIMITED) as runtime, contextlib.aclosing(runtime.watch()) as watch:
        await runtime.apply(SPEC)
        before = copy.deepcopy(specs(server))
        server.writes.clear()
        drift(server, plural)
        assert OWN in await unfit(runtime, watch)
        await runtime.apply(SPEC)
        assert (await runtime.status(APP)).generation == 3
    assert specs(server) == before
    namespace = f"PATCH namespaces/{NAME}"
    assert server.writes == [namespace, f"PATCH {plural}/{GUARDS[plural][0]}", namespace]
    if drift is edit:
        meta = server.get(plural, NAME, GUARDS[plural][0])["metadata"]
        assert meta["annotations"]["team"] == "green"


async def test_what_an_operator_adds_is_no_drift(server: Server, controller: Starts) -> None:
    async with controller(facts=LIMITED) as runtime:
        await runtime.apply(SPEC)
    for plural, (name, *_) in GUARDS.items():
        obj = copy.deepcopy(server.get(plural, NAME, name))
        obj["metadata"].setdefault("annotations", {})["team"] = "green"
        obj["metadata"]["labels"]["team"] = "green"
        server.put(plural, obj)
    theirs = {"name": "theirs", "namespace": NAME, "labels": {"team": "green"}}
    server.put("networkpolicies", {"metadata": theirs, "spec": {}})
    server.writes.clear()
    async with controller(facts=LIMITED) as runtime:
        assert (await runtime.status(APP)).generation == 3
        await runtime.apply(SPEC)
    assert server.writes == []


async def test_a_quota_that_changes_at_an_upgrade_reaches_every_application(
    server: Server, controller: Starts
) -> None:
    async with controller() as runtime:
        await runtime.apply(SPEC)
    wanted: dict[str, Any]
    for facts, wanted in ((LIMITED, {"blog-quota": QUOTA}), (FACTS, {})):
        async with controller(facts=facts) as runtime:
            await runtime.apply(SPEC)
            assert (await runtime.status(APP)).generation == 3
        names_ = server.names("resourcequotas", NAME)
        found = {name: server.get("resourcequotas", NAME, name)["spec"] for name in names_}
        assert found == wanted


def closed(server: Server) -> list[str] | None:
    """Networks that the application may not reach; None: all of them."""
    egress = server.get("networkpolicies", NAME, names.POLICY)["spec"]["egress"]
    blocks = [to["ipBlock"] for rule in egress for to in rule.get("to", []) if "ipBlock" in to]
    return blocks[0]["except"] if blocks else None


async def test_policies_follow_the_api_server(server: Server, controller: Starts) -> None:
    metadata = "169.254.0.0/16"
    async with controller(facts=UNKNOWN) as runtime, contextlib.aclosing(runtime.watch()) as watch:
        assert await anext(watch) == Observation()
        await runtime.apply(SPEC)
        assert closed(server) is None
        for addresses in (("192.0.2.1",), ("192.0.2.2", "192.0.2.1"), ("192.0.2.3",)):
            server.at(*addresses)
            assert Observation() in await unfit(runtime, watch)
            (held,) = await runtime.held()
            assert held.generation == 0
            server.writes.clear()
            await runtime.apply(SPEC)
            assert (await runtime.status(APP)).generation == 3
            assert closed(server) == [metadata, *(f"{one}/32" for one in sorted(addresses))]
            assert not any("deployments" in write for write in server.writes)


async def test_an_address_of_another_family_is_an_address(
    server: Server, controller: Starts
) -> None:
    server.at("2001:db8::1", kind="IPv6")
    async with controller(facts=UNKNOWN) as runtime:
        await runtime.apply(SPEC)
        assert closed(server) == ["169.254.0.0/16"]
    server.at("192.0.2.1", name="kubernetes-2")
    async with controller(facts=UNKNOWN) as runtime:
        await runtime.apply(SPEC)
        assert closed(server) == ["169.254.0.0/16", "192.0.2.1/32"]


async def test_what_was_known_stays_closed_while_nothing_is_told(
    server: Server, controller: Starts
) -> None:
    server.at("192.0.2.1")
    async with controller(facts=UNKNOWN) as runtime, contextlib.aclosing(runtime.watch()) as watch:
        await runtime.apply(SPEC)
        known = closed(server)
        server.at()
        delete(server, "poddisruptionbudgets")
        await unfit(runtime, watch)
        await runtime.apply(SPEC)
        assert closed(server) == known
    async with controller(facts=UNKNOWN) as started_now:
        await started_now._around.present()
        assert (await started_now.status(APP)).generation == 3
        delete(server, "poddisruptionbudgets")
        async with contextlib.aclosing(started_now.watch()) as watch:
            await unfit(started_now, watch)
        await started_now.apply(SPEC)
        assert (await started_now.status(APP)).generation == 3
        assert closed(server) == known
        # A policy that has to be written now closes everything, until there is an address.
        delete(server, "networkpolicies")
        async with contextlib.aclosing(started_now.watch()) as watch:
            await unfit(started_now, watch)
            await started_now.apply(SPEC)
            assert (await started_now.status(APP)).generation == 3
            assert closed(server) is None
            server.at("192.0.2.1")
            await unfit(started_now, watch)
            await started_now.apply(SPEC)
        assert closed(server) == known


async def test_nothing_is_written_before_the_surroundings_were_read(
    server: Server, controller: Starts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "SYNC_SECONDS", 0.2)
    server.at("192.0.2.1")
    server.away.add("endpointslices")
    async with controller(facts=UNKNOWN) as runtime, contextlib.aclosing(runtime.watch()) as watch:
        assert await anext(watch) == Observation()
        with pytest.raises(Transient):
            await runtime.apply(SPEC)
        assert server.writes == []
        assert await runtime.instances(APP) == ()  # asking needs no surroundings
        server.away.clear()
        assert await anext(watch) == Observation()
        await runtime.apply(SPEC)
        assert closed(server) == ["169.254.0.0/16", "192.0.2.1/32"]


async def test_as_many_new_pods_at_once_as_there_are_nodes_now(
    server: Server, controller: Starts
) -> None:
    def surge() -> int:
        strategy = server.get("deployments", NAME, "blog-web")["spec"]["strategy"]
        return int(strategy["rollingUpdate"]["maxSurge"])

    async with controller() as runtime:
        await runtime.apply(spec(1, 2, process("web", 5)))
        assert surge() == 1
    for name in ("a", "b", "c"):
        server.put("nodes", {"metadata": {"name": name}})
    async with controller() as runtime:
        # More nodes are no reason to write anything.
        await runtime._around.present()
        assert (await runtime.status(APP)).generation == 1
        await runtime.apply(spec(2, 3, process("web", 5)))
        assert surge() == 3
