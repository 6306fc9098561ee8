"""Writes and mirrors through the door to a real API server: what its fake twin only claims."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from deis_bus.errors import Refused, Transient
from deis_platform.groups import KubernetesSettings
from deis_platform.kubernetes import (
    Conflict,
    Forbidden,
    Gone,
    Kind,
    Kubernetes,
    NotFound,
    View,
    client,
    kinds,
    open_kubernetes,
    transport,
)
from integration.cluster.node import Node
from integration.kubernetes.door_rig import Counted, Followed, Way, compact, config_map, happening
from integration.kubernetes.pods import apply

pytestmark = pytest.mark.kubernetes

MAP = kinds.CONFIG_MAP


@pytest.fixture
async def api(node: Node) -> AsyncIterator[Kubernetes]:
    async with open_kubernetes(KubernetesSettings(kubeconfig=str(node.kubeconfig))) as opened:
        yield opened


async def test_our_fields_come_back_and_an_operators_own_stay(
    node: Node, api: Kubernetes, namespace: str
) -> None:
    wanted = config_map(namespace, ours="1", dropped="1")
    await api.apply(wanted)
    node.kube("-n", namespace, "annotate", "configmap/a", "example.com/note=keep")
    patch = json.dumps({"data": {"ours": "changed", "theirs": "2"}})
    node.kube("-n", namespace, "patch", "configmap/a", "--type=merge", "-p", patch)
    del wanted["data"]["dropped"]
    after = await api.apply(wanted)
    assert after["data"] == {"ours": "1", "theirs": "2"}
    assert after["metadata"]["annotations"] == {"example.com/note": "keep"}


async def test_a_field_of_another_manager_is_taken_by_force_only(
    api: Kubernetes, namespace: str
) -> None:
    await api.apply(config_map(namespace, x="1"), manager="other")
    with pytest.raises(Conflict) as caught:
        await api.apply(config_map(namespace, x="2"), force=False)
    assert caught.value.kind == "owned"
    assert (await api.apply(config_map(namespace, x="3")))["data"] == {"x": "3"}


async def test_an_apply_that_changes_nothing_writes_nothing(
    api: Kubernetes, namespace: str
) -> None:
    first = await api.apply(config_map(namespace, x="1"))
    second = await api.apply(config_map(namespace, x="1"))
    assert first["metadata"]["resourceVersion"] == second["metadata"]["resourceVersion"]


async def test_two_writers_at_once(api: Kubernetes, namespace: str) -> None:
    await api.create(config_map(namespace))

    async def write(manager: str) -> None:
        for number in range(20):
            value = {"data": {f"{manager}-{number}": "x"}}
            await api.patch(MAP, "a", namespace, value, manager=manager)
            mine = config_map(namespace, **{manager: str(number)})
            await api.apply(mine, manager=f"{manager}-applies")

    await asyncio.gather(write("one"), write("two"))
    data = (await api.get(MAP, "a", namespace, view=dict))["data"]
    patched = {f"{who}-{n}" for who in ("one", "two") for n in range(20)}
    assert data == dict.fromkeys(patched, "x") | {"one": "19", "two": "19"}


async def test_who_names_a_version_learns_of_a_conflict(api: Kubernetes, namespace: str) -> None:
    old = (await api.create(config_map(namespace)))["metadata"]["resourceVersion"]
    await api.patch(MAP, "a", namespace, {"data": {"x": "1"}})
    late = {"metadata": {"resourceVersion": old}, "data": {"x": "2"}}
    with pytest.raises(Conflict) as caught:
        await api.patch(MAP, "a", namespace, late)
    assert caught.value.kind == "conflict"


async def test_creating_and_deleting(api: Kubernetes, namespace: str) -> None:
    made = await api.create(config_map(namespace))
    with pytest.raises(Conflict) as caught:
        await api.create(config_map(namespace))
    assert caught.value.kind == "exists"
    assert not await api.delete(MAP, "a", namespace, uid="00000000-0000-0000-0000-000000000000")
    assert await api.delete(MAP, "a", namespace, uid=made["metadata"]["uid"])
    assert not await api.delete(MAP, "a", namespace)
    with pytest.raises(NotFound):
        await api.get(MAP, "a", namespace, view=dict)


async def test_refusals(api: Kubernetes, namespace: str) -> None:
    with pytest.raises(NotFound):
        await api.apply(config_map(f"{namespace}-absent"))
    with pytest.raises(Refused) as invalid:
        await api.apply(config_map(namespace, **{"no/key": "x"}))
    assert (invalid.value.code, invalid.value.kind) == (422, "invalid")


async def test_a_quota_that_is_used_up(node: Node, api: Kubernetes, namespace: str) -> None:
    class Quota(View, frozen=True):
        status: dict[str, Any] = {}

    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}}
    apply(node, namespace, quota | {"spec": {"hard": {"count/secrets": "0"}}})
    async with Followed(api, kinds.QUOTA, namespace, Quota).running() as followed:
        await followed.until(lambda items: any("used" in one.status for one in items.values()))
    meta = {"name": "s", "namespace": namespace}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": meta,
        "stringData": {"x": "hidden"},
    }
    with pytest.raises(Forbidden) as caught:
        await api.create(secret)
    assert caught.value.kind == "quota"
    assert "hidden" not in str(caught.value)


async def test_a_namespace_that_is_dying(api: Kubernetes, namespace: str) -> None:
    holding = config_map(namespace)
    holding["metadata"]["finalizers"] = ["example.com/hold"]
    await api.create(holding)
    await api.delete(kinds.NAMESPACE, namespace)
    try:
        with pytest.raises(Forbidden) as caught:
            await api.create(config_map(namespace, "b"))
        assert caught.value.kind == "terminating"
    finally:
        await api.patch(MAP, "a", namespace, {"metadata": {"finalizers": None}})


async def truth(api: Kubernetes, namespace: str) -> dict[str, str]:
    found = await api.list(MAP, namespace, view=View)
    return {view.metadata.key: view.metadata.resource_version for view in found.items}


async def test_300_changes(api: Kubernetes, namespace: str) -> None:
    """By five writers at once."""
    await api.create(config_map(namespace, "before"))

    async def change(writer: int) -> None:
        for step in range(26):
            name = f"w{writer}-{step % 7}"
            await api.apply(config_map(namespace, name, step=str(step)))
            await api.patch(MAP, name, namespace, {"data": {"more": str(step)}})
            if step % 3 == 0:
                await api.delete(MAP, name, namespace)

    async with Followed(api, MAP, namespace).running() as followed:
        await asyncio.gather(*(change(writer) for writer in range(5)))
        await api.create(config_map(namespace, "last"))
        await followed.has("last")
        held = {key: view.metadata.resource_version for key, view in followed.mirror.items.items()}
        assert held == await truth(api, namespace)
    replayed: dict[str, View | None] = {}
    for key, old, new in followed.told:
        assert replayed.get(key) == old
        replayed[key] = new
    assert {key: view for key, view in replayed.items() if view} == followed.mirror.items
    assert len(followed.told) >= 5 * 26 * 2


async def test_a_watch_that_ended_is_resumed_without_a_list(
    api: Kubernetes, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "WATCH_SECONDS", 1)
    counted = Counted(api)
    async with Followed(counted, MAP, namespace).running() as followed:
        for number in range(1, 5):
            await counted.until_watched(number)
            await api.create(config_map(namespace, f"m{number}"))
            await followed.has(f"m{number}")
    assert counted.lists == 1
    new = [key for key, old, _ in followed.told if old is None]
    assert len(new) == len(set(new))


async def alive(api: Kubernetes, followed: Followed, namespace: str, step: int) -> None:
    """Wait until a change is heard as it happens: the watch has its connection."""
    made = await api.apply(config_map(namespace, "alive", step=str(step)))
    version = made["metadata"]["resourceVersion"]
    await followed.until(
        lambda items: any(view.metadata.resource_version == version for view in items.values())
    )


async def test_connections_that_are_cut(
    node: Node, api: Kubernetes, namespace: str, tmp_path: Path
) -> None:
    """In the middle of changes, again and again: nothing is missed, and nothing listed anew."""
    way = Way(node.kubeconfig)
    async with way.opened(tmp_path) as shaky:
        counted = Counted(shaky)
        async with Followed(counted, MAP, namespace).running() as followed:
            for cuts in range(5):
                await alive(api, followed, namespace, cuts)
                way.cut()
                for number in range(4):  # nobody hears of these as they happen
                    await api.apply(config_map(namespace, f"m{number}", step=str(cuts)))
            await api.create(config_map(namespace, "last"))
            await followed.has("last")
            held = {
                key: view.metadata.resource_version for key, view in followed.mirror.items.items()
            }
            assert held == await truth(api, namespace)
    assert counted.watches > 5
    assert counted.lists == 1


async def test_connections_that_freeze(
    node: Node,
    api: Kubernetes,
    namespace: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As when one of several API servers hangs: a call ends in time and the next one works, and
    the watch goes on elsewhere once it was silent for too long."""
    monkeypatch.setattr(client, "SILENT_SECONDS", 1.0)
    monkeypatch.setattr(transport, "CALL_SECONDS", 2.0)
    way = Way(node.kubeconfig)
    async with way.opened(tmp_path) as shaky:
        counted = Counted(shaky)
        async with Followed(counted, MAP, namespace).running() as followed:
            await alive(api, followed, namespace, 0)
            way.freeze()
            with pytest.raises(Transient, match="no answer in time"):
                await shaky.apply(config_map(namespace, "swallowed"))
            await shaky.apply(config_map(namespace, "b"))
            await followed.has("b")
            assert await truth(api, namespace) == {
                key: view.metadata.resource_version for key, view in followed.mirror.items.items()
            }
    assert counted.lists == 1


async def test_a_version_too_old_is_410_and_listed_again(api: Kubernetes, namespace: str) -> None:
    await api.create(config_map(namespace))
    with pytest.raises(Gone):
        async with contextlib.aclosing(api.watch(MAP, version="1", view=View)) as watch:
            await anext(watch)
    counted = Counted(api)
    followed = Followed(counted, MAP, namespace)
    followed.mirror._version = "1"  # as after a very long pause
    async with followed.running():
        await api.create(config_map(namespace, "b"))
        await followed.has("b")
        assert f"{namespace}/a" in followed.mirror.items
    assert counted.lists == 1


@pytest.mark.own_node
async def test_pages_compacted_meanwhile(
    node: Node, api: Kubernetes, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """etcd forgets the version of the first page: the next one is 410. Of Events, which the
    API server does not keep in memory."""
    monkeypatch.setattr(client, "PAGE", 2)
    for number in range(5):
        await api.create(happening(namespace, f"m{number}"))
    real, asked = api._transport.call, list[dict[str, str]]()

    async def call(method: str, path: str, params: Any = None, *more: Any, **named: Any) -> bytes:
        if "continue" in (params or {}) and not any("continue" in one for one in asked):
            await api.create(happening(namespace, "later"))
            compact(node)
        asked.append(dict(params or {}))
        return await real(method, path, params, *more, **named)

    monkeypatch.setattr(api._transport, "call", call)
    found = await api.list(kinds.EVENT, namespace, view=View)
    names = [view.metadata.name for view in found.items]
    assert names == ["later", *(f"m{number}" for number in range(5))]
    assert asked[-1] == {}  # all of it in one answer, after the 410


@pytest.mark.parametrize("kind", kinds.ALL, ids=lambda kind: kind.plural)
async def test_every_kind_as_a_view_and_as_a_dict(
    api: Kubernetes, namespace: str, kind: Kind
) -> None:
    """In a namespace where nobody else writes; of Nodes and Namespaces what does not change."""
    views = await api.list(kind, namespace, view=View)
    dicts = await api.list(kind, namespace, view=dict)
    if kind.namespaced:
        assert int(dicts.version) >= int(views.version) > 0
    names = {one["metadata"]["name"] for one in dicts.items}
    if kind is kinds.NAMESPACE:
        assert names >= {"default", namespace}
    both = {view.metadata.name: view for view in views.items if view.metadata.name in names}
    for one in dicts.items:
        meta = one["metadata"]
        if meta["name"] in both:
            view = both[meta["name"]].metadata
            assert (view.uid, view.creation_timestamp) == (meta["uid"], meta["creationTimestamp"])
            assert view.namespace == meta.get("namespace", "")


async def test_the_metadata_of_a_secret_comes_without_its_data(
    api: Kubernetes, namespace: str
) -> None:
    meta = {"name": "s", "namespace": namespace}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"x": "y"}}
    await api.create(secret)
    real, bodies = api._transport.call, list[bytes]()

    async def call(*words: Any, **named: Any) -> bytes:
        bodies.append(await real(*words, **named))
        return bodies[-1]

    api._transport.call = call  # type: ignore[method-assign]
    found = await api.list(kinds.SECRET, namespace, view=View)
    one = await api.get(kinds.SECRET, "s", namespace, view=View)
    assert [view.metadata.name for view in found.items] == ["s"]
    assert one == found.items[0]
    assert all(b'"data"' not in body for body in bodies)


async def test_null_lists(api: Kubernetes, namespace: str) -> None:
    """A Service that leads nowhere: its slice has no endpoints."""

    class Slice(View, frozen=True):
        endpoints: tuple[dict[str, Any], ...] = ()

    async with Followed(api, kinds.ENDPOINT_SLICE, namespace, Slice).running() as followed:
        meta = {"name": "s", "namespace": namespace}
        spec = {"selector": {"app": "nothing"}, "ports": [{"port": 80}]}
        await api.apply({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec})
        await followed.until(bool)
        (view,) = followed.mirror.items.values()
    assert view.endpoints == ()
