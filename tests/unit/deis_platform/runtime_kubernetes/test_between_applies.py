"""Between applies: whose a namespace is and when it ends, restarts, what is told of pods."""

import asyncio
import contextlib
from typing import Any

import pytest

from deis_bus.contracts.runtime import AppRef, Restart
from deis_bus.errors import Refused, Transient
from deis_platform.runtime.kubernetes import names
from deis_platform.runtime.port import Observation
from tests.unit.deis_platform.runtime_kubernetes.conftest import Starts, held
from tests.unit.deis_platform.runtime_kubernetes.given import APP, FIRST, ROUTE, spec
from tests.unit.deis_platform.runtime_kubernetes.server import Server

NAME = APP.app


async def test_a_foreign_namespace_is_left_alone(server: Server, controller: Starts) -> None:
    server.put("namespaces", {"metadata": {"name": NAME, "labels": {"heritage": "deis"}}})
    async with controller() as runtime:
        for call in (runtime.claim(APP), runtime.apply(FIRST), runtime.route(ROUTE)):
            with pytest.raises(Refused) as caught:
                await call
            assert (caught.value.code, caught.value.kind) == (409, "foreign")
        await runtime.remove(APP)
        assert await runtime.held() == ()
    assert len(server.objects) == 1
    assert server.writes == []


async def test_a_namespace_that_is_being_deleted_is_waited_for(
    server: Server, controller: Starts
) -> None:
    async with controller() as runtime:
        await runtime.claim(APP)
        server.get("namespaces", "", NAME)["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        with pytest.raises(Transient, match="still being deleted"):
            await runtime.claim(APP)


@pytest.mark.parametrize(
    ("plural", "status", "words", "kind"),
    [
        ("deployments", 422, "spec.template is nonsense", "invalid"),
        ("secrets", 403, "exceeded quota: blog-quota", "quota"),
    ],
)
async def test_what_the_api_server_does_not_take_is_told_in_its_words(
    server: Server, controller: Starts, plural: str, status: int, words: str, kind: str
) -> None:
    server.refused[plural] = (status, words)
    async with controller() as runtime:
        with pytest.raises(Refused) as caught:
            await runtime.apply(FIRST)
        assert (caught.value.code, caught.value.kind, caught.value.detail) == (400, kind, words)
        assert await held(runtime) == 0


async def test_a_dying_namespace_is_no_fault_of_the_app(server: Server, controller: Starts) -> None:
    server.refused["secrets"] = (403, "because it is being terminated")
    async with controller() as runtime:
        with pytest.raises(Transient):
            await runtime.apply(FIRST)


async def test_clearing_keeps_the_name_and_the_claim(server: Server, controller: Starts) -> None:
    async with controller() as runtime:
        await runtime.apply(spec(4))
        await runtime.clear(APP)
        assert server.names("deployments", NAME) == []
        assert server.names("services", NAME) == [NAME]
    async with controller() as runtime:
        assert await held(runtime) == 0
        with pytest.raises(Refused):
            await runtime.apply(spec(3))


async def test_a_claimed_name_is_held_before_its_first_release(
    server: Server, controller: Starts
) -> None:
    async with controller() as runtime:
        await runtime.claim(APP)
        assert await runtime.held() == (AppRef(app=NAME, appuuid=APP.appuuid),)


async def test_a_watch_tells_of_its_own_applications_alone(
    server: Server, controller: Starts
) -> None:
    def pod(namespace: str) -> dict[str, Any]:
        labels = names.labels(namespace, "web", 2)
        return {"metadata": {"name": "a-pod", "namespace": namespace, "labels": labels}}

    async with controller() as runtime, contextlib.aclosing(runtime.watch()) as watch:
        assert await anext(watch) == Observation()
        server.put("namespaces", {"metadata": {"name": "other", "labels": {"heritage": "deis"}}})
        server.put("pods", pod("other"))
        await runtime.claim(APP)
        own = Observation(app=NAME, appuuid=APP.appuuid)
        assert await anext(watch) == own
        server.put("pods", pod("other"))
        server.put("pods", pod(NAME))
        assert await anext(watch) == own
        server.drop("namespaces", "", NAME)
        while (seen := await anext(watch)) == own:
            pass
        assert seen == Observation()


async def test_a_restart_retires_and_the_retired_go_once_replaced(
    server: Server, controller: Starts
) -> None:
    def pod(name: str, ready: bool) -> dict[str, Any]:
        status = {"name": "blog-web", "ready": ready, "state": {"running": {}}}
        return {
            "metadata": {
                "name": name,
                "namespace": NAME,
                "labels": names.labels(NAME, "web", 2) | {names.TEMPLATE_HASH: "1"},
            },
            "status": {"phase": "Running", "containerStatuses": [status]},
        }

    async with controller() as runtime, contextlib.aclosing(runtime.watch()) as watch:
        await anext(watch)
        await runtime.apply(spec(1, 2))
        server.put("pods", pod("old", True))
        while not await runtime.instances(APP):
            await anext(watch)
        restart = Restart(app=NAME, appuuid=APP.appuuid)
        restarting = asyncio.create_task(runtime.restart(restart))
        while names.RETIRING not in server.get("pods", NAME, "old")["metadata"]["labels"]:
            await anext(watch)
        assert names.TEMPLATE_HASH not in server.get("pods", NAME, "old")["metadata"]["labels"]
        server.put("pods", pod("new", False))
        while len(await runtime.instances(APP)) < 2:
            await anext(watch)
        assert server.names("pods", NAME) == ["new", "old"]
        assert not restarting.done()
        server.put("pods", pod("new", True))
        assert [one.name for one in await restarting] == ["new"]
        assert server.names("pods", NAME) == ["new"]


async def test_an_instance_that_is_being_made_shows_its_latest_event(
    server: Server, controller: Starts
) -> None:
    creating = {"name": "blog-web", "state": {"waiting": {"reason": "ContainerCreating"}}}
    labels = names.labels(NAME, "web", 2)
    async with controller() as runtime:
        await runtime.apply(spec(1, 2))
        server.put(
            "pods",
            {
                "metadata": {"name": "a-pod", "namespace": NAME, "labels": labels},
                "status": {"phase": "Pending", "containerStatuses": [creating]},
            },
        )
    async with controller() as runtime:
        (shown,) = await runtime.instances(APP)
        assert shown.state == "creating"
        for number, reason in enumerate(("Scheduled", "Pulling")):
            meta = {"name": f"a-pod.{number}", "namespace": NAME}
            seen = {"reason": reason, "lastTimestamp": f"2026-01-01T00:00:0{number}Z"}
            server.put("events", {"metadata": meta, "involvedObject": {"name": "a-pod"}, **seen})
        (shown,) = await runtime.instances(APP)
        assert shown.state == "Pulling"
