"""Applies on an API server with a store: cut off anywhere, met by drift, by another controller."""

import contextlib
import datetime
import functools
from typing import Any

import pytest

from deis_bus.contracts.runtime import AppRef
from deis_bus.errors import Refused, Transient
from deis_platform.runtime.kubernetes import names
from deis_platform.runtime.kubernetes.standing import Standing
from tests.unit.deis_platform.runtime_kubernetes.conftest import Starts, held
from tests.unit.deis_platform.runtime_kubernetes.given import (
    APP,
    FIRST,
    IMAGE,
    ROUTE,
    process,
    spec,
)
from tests.unit.deis_platform.runtime_kubernetes.server import Server

NAME = APP.app
REGISTRY = {"username": "ann", "password": "secret", "hostname": "registry.example.com"}
SECOND = spec(
    2,
    3,
    process("web", 1),
    process("cron", 1),
    artifact=IMAGE,
    environment={"A": "2", "PORT": "8000"},
    pull_secret=REGISTRY,
)


def fields(server: Server) -> dict[Any, Any]:
    """All there is, without what counts writes and tells times."""
    found = {}
    for key, obj in server.objects.items():
        meta = {
            name: value
            for name, value in obj["metadata"].items()
            if name not in ("resourceVersion", "generation", "uid", "creationTimestamp")
        }
        kept = {
            name: value
            for name, value in meta.get("annotations", {}).items()
            if name not in (names.WRITTEN, names.DEADLINE)
        }
        found[key] = {**obj, "metadata": {**meta, "annotations": kept}}
    return found


async def test_a_rollout_of_many_has_the_time_of_all_its_batches(
    server: Server, controller: Starts
) -> None:
    async with controller() as runtime:
        before = datetime.datetime.now(datetime.UTC)
        await runtime.apply(spec(1, 2, process("web", 10), deploy_timeout_seconds=1000.0))
        after = datetime.datetime.now(datetime.UTC)
    (namespace,) = [one for one in server.objects.values() if one["kind"] == "Namespace"]
    told = namespace["metadata"]["annotations"][names.DEADLINE]
    batches = datetime.timedelta(seconds=10 * 1000.0)  # there is one node
    second = datetime.timedelta(seconds=1)
    assert before + batches - second < datetime.datetime.fromisoformat(told) <= after + batches


async def test_an_apply_cut_off_anywhere_is_completed_by_the_next_one(
    server: Server, controller: Starts
) -> None:
    async with controller() as runtime:
        await runtime.apply(FIRST)
        begin = _copy(server.objects)
        server.writes.clear()
        await runtime.apply(SECOND)
    whole, writes = fields(server), len(server.writes)
    assert writes > 8
    for count in range(writes):
        server.objects = _copy(begin)
        server.left = count
        async with controller() as dying:
            with pytest.raises(Transient):
                await dying.apply(SECOND)
        server.left = None
        async with controller() as next_one:
            assert await held(next_one) in (0, 1), count
            await next_one.apply(SECOND)
            assert await held(next_one) == 2
        assert fields(server) == whole, count


def _copy(obj: Any) -> Any:
    if isinstance(obj, dict):
        return {name: _copy(value) for name, value in obj.items()}
    return [_copy(one) for one in obj] if isinstance(obj, list) else obj


async def test_what_is_whole_is_not_written_again(server: Server, controller: Starts) -> None:
    async with controller() as runtime:
        await runtime.apply(FIRST)
        await runtime.route(ROUTE)
        server.writes.clear()
        await runtime.apply(FIRST)
        await runtime.route(ROUTE)
        assert await runtime.held() == (AppRef(app=NAME, appuuid=APP.appuuid, generation=1),)
    async with controller() as another:
        assert await held(another) == 1
        await another.apply(FIRST)
    assert server.writes == []


def scaled(server: Server) -> None:
    server.put("deployments", _edited(server, "deployments", "blog-web", ("replicas",), 7))


def other_image(server: Server) -> None:
    template = server.get("deployments", NAME, "blog-web")["spec"]["template"]
    containers = [{**template["spec"]["containers"][0], "image": "evil"}]
    path = ("template", "spec", "containers")
    server.put("deployments", _edited(server, "deployments", "blog-web", path, containers))


def other_port(server: Server) -> None:
    server.put("services", _edited(server, "services", NAME, ("ports",), [{"port": 81}]))


def no_service(server: Server) -> None:
    server.drop("services", NAME, NAME)


def no_variables(server: Server) -> None:
    server.drop("secrets", NAME, "blog-v3-env")


def no_credentials(server: Server) -> None:
    server.drop("secrets", NAME, names.PULL_SECRET)


def other_credentials(server: Server) -> None:
    login = _copy(server.get("secrets", NAME, names.PULL_SECRET))
    server.put("secrets", login | {"data": {".dockerconfigjson": "e30="}})


def no_deployment(server: Server) -> None:
    server.drop("deployments", NAME, "blog-cron")


def another_type(server: Server) -> None:
    more = _copy(server.get("deployments", NAME, "blog-web"))
    more["metadata"] |= {"name": "blog-old", "labels": names.labels(NAME, "old")}
    server.put("deployments", more)


def _edited(server: Server, plural: str, name: str, path: tuple[str, ...], value: Any) -> Any:
    obj = _copy(server.get(plural, NAME, name))
    inner = obj["spec"]
    for word in path[:-1]:
        inner = inner[word]
    inner[path[-1]] = value
    return obj


DRIFTS = [
    scaled,
    other_image,
    other_port,
    no_service,
    no_variables,
    no_credentials,
    other_credentials,
    no_deployment,
    another_type,
]


@pytest.mark.parametrize("drift", DRIFTS, ids=lambda one: one.__name__)
async def test_what_was_changed_by_hand_is_written_again(
    server: Server, controller: Starts, drift: Any
) -> None:
    async with controller() as runtime:
        await runtime.apply(SECOND)
    service = server.get("services", NAME, NAME)
    service["metadata"]["annotations"]["team"] = "green"
    server.put("services", service)
    before = fields(server)
    drift(server)
    async with controller() as runtime:
        assert await held(runtime) == 0
        await runtime.apply(SECOND)
        assert await held(runtime) == 2
    after = fields(server)
    service = after["services", NAME, NAME]
    if drift is no_service:
        assert service["metadata"]["annotations"].get("team") is None
        service["metadata"]["annotations"]["team"] = "green"
    assert after == before


async def test_a_service_that_was_deleted_is_made_anew_by_its_route_and_then_by_an_apply(
    server: Server, controller: Starts
) -> None:
    async with controller() as runtime:
        await runtime.apply(SECOND)
    no_service(server)
    async with controller() as runtime:
        await runtime.route(ROUTE)
        assert await held(runtime) == 0  # the bare one does not lead to PORT
        await runtime.apply(SECOND)
    (port,) = server.get("services", NAME, NAME)["spec"]["ports"]
    assert port["targetPort"] == 8000
    assert server.get("services", NAME, NAME)["metadata"]["annotations"][names.DOMAINS] == "blog"


async def test_an_older_generation_is_refused_also_when_the_newer_one_is_not_whole(
    server: Server, controller: Starts
) -> None:
    async with controller() as runtime:
        await runtime.apply(spec(7))
        with pytest.raises(Refused) as caught:
            await runtime.apply(spec(6))
        assert (caught.value.code, caught.value.kind) == (409, "stale")
        no_service(server)
    async with controller() as runtime:
        assert await held(runtime) == 0
        with pytest.raises(Refused):
            await runtime.apply(spec(6))
        # A database that was put back to an older state learns so which number to pass.
        assert await held(runtime) == 7
        await runtime.apply(spec(8))
        assert await held(runtime) == 8


async def test_of_two_controllers_the_newer_generation_stands(
    server: Server, controller: Starts
) -> None:
    first = spec(4, 2, process("web"), process("worker"))
    older = spec(5, 3, process("web", 2), process("worker"))
    newer = spec(6, 4, process("web", 3))
    async with controller() as old, controller() as new:
        await old.apply(first)
        begin = _copy(server.objects)
        server.writes.clear()
        await old.apply(older)
        writes = len(server.writes)
    for count in range(writes):
        server.objects, server.writes = _copy(begin), []
        async with controller() as old, controller() as new:
            await old.status(APP)
            await new.status(APP)
            server.before[count] = functools.partial(new.apply, newer)
            with contextlib.suppress(Refused, Transient):
                await old.apply(older)
        web = server.get("deployments", NAME, "blog-web")
        assert web["metadata"]["annotations"][names.GENERATION] == "6", count
        assert web["spec"]["replicas"] == 3, count
        marked = server.get("namespaces", "", NAME)["metadata"]["annotations"]
        assert marked[names.GENERATION] == "6", count
        async with controller() as third:
            assert await held(third) in (0, 6), count
            await third.apply(newer)
            assert await held(third) == 6, count
        assert server.names("deployments", NAME) == ["blog-web"], count


async def test_what_an_old_controller_still_makes_is_taken_away_again(
    server: Server, controller: Starts
) -> None:
    async with controller() as new:
        await new.apply(spec(6, 3))
    async with controller() as old:
        nothing = Standing(None, 5, "")
        await old._writer._deployments(spec(5, 2, process("worker")), 0, nothing)
    async with controller() as new:
        assert await held(new) == 0
        await new.apply(spec(6, 3))
        assert await held(new) == 6
    assert server.names("deployments", NAME) == ["blog-web"]


async def test_process_types_budgets_and_old_variables_go(
    server: Server, controller: Starts
) -> None:
    async with controller() as runtime:
        await runtime.apply(FIRST)
        assert server.names("poddisruptionbudgets", NAME) == ["blog-web"]
        replica_set = {
            "name": "blog-web-1",
            "namespace": NAME,
            "labels": names.labels(NAME, "web", 2),
        }
        server.put("replicasets", {"metadata": replica_set})
        await runtime.apply(SECOND)
        assert server.names("deployments", NAME) == ["blog-cron", "blog-web"]
        assert server.names("poddisruptionbudgets", NAME) == []
        # A ReplicaSet may still be gone back to.
        assert "blog-v2-env" in server.names("secrets", NAME)
        server.drop("replicasets", NAME, "blog-web-1")
        await runtime.apply(spec(3, 4))
        assert server.names("secrets", NAME) == ["blog-v4-env", names.PULL_SECRET]


async def test_variables_of_other_content_are_replaced(server: Server, controller: Starts) -> None:
    async with controller() as runtime:
        await runtime.apply(spec(1, 2, environment={"A": "1"}))
        await runtime.apply(spec(2, 2, environment={"A": "2"}))
        assert server.get("secrets", NAME, "blog-v2-env")["data"]["A"] == "Mg=="
        assert await held(runtime) == 2
