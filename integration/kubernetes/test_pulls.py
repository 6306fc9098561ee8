"""Images by name on a real registry and real pods: it is asked before anything is written."""

import asyncio
import dataclasses
import json
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from deis_bus.contracts.http import OperationRead
from deis_bus.contracts.runtime import AppRef, AppSpec, Artifact, Process
from deis_bus.errors import Refused
from deis_bus.jetstream import JetStreamBus, connect
from deis_bus.streams import BUCKETS, STREAMS
from deis_platform.groups import RegistrySettings
from deis_platform.registry import open_registry
from deis_platform.registry.manifests import ACCEPT, MANIFEST_TYPES, digest_of
from deis_platform.runner import run_parts
from deis_platform.runtime.kubernetes.images import HINT
from deis_platform.runtime.kubernetes.opening import asking
from deis_platform.settings import address
from deis_services.controller import operations
from deis_services.controller.leader import Leader, Nudges
from deis_services.controller.term import LeaderTerm
from integration.cluster.containers import allow_plain
from integration.cluster.image import base_image
from integration.cluster.node import Node
from integration.controller_api.rig import Api
from integration.controller_rig import OWNER, dependencies, settings_of
from integration.databases import fresh_database
from integration.kubernetes.runtime_rig import Cluster, facts_of, running
from integration.registry_servers import PASSWORDS, RunningRegistry, docker_registry
from integration.servers import RunningNats, RunningPostgres, until
from tests.behaviour.registry import Made

pytestmark = [
    *(pytest.mark.kubernetes, pytest.mark.own_node, pytest.mark.server),
    pytest.mark.timeout(240),
]

SECONDS = 120.0
PORT = {"PORT": "8000"}
SERVE = "python3 -m http.server 8000"
Starts = Callable[..., AbstractAsyncContextManager[Cluster]]


@pytest.fixture
async def bus(nats: RunningNats) -> AsyncIterator[JetStreamBus]:
    async with connect(nats.url, "controller") as bus:
        yield bus


@pytest.fixture
def controller(node: Node, bus: JetStreamBus) -> Starts:
    """Starts a runtime that may speak to these registries by HTTP, and to no other one."""

    @asynccontextmanager
    async def started(*plain: str) -> AsyncIterator[Cluster]:
        settings = RegistrySettings(insecure=tuple(map(address, plain)))
        async with (
            open_registry(settings) as registry,
            running(node, bus, facts_of("none"), asking(registry)) as cluster,
        ):
            yield cluster

    return started


@asynccontextmanager
async def registry_on(node: Node, folder: Path, auth: str = "") -> AsyncIterator[RunningRegistry]:
    """A registry of this machine that the node may pull from by HTTP."""
    async with docker_registry(folder, auth, node.host_address) as store:
        allow_plain(node.own, store.where)
        try:
            yield store
        finally:
            shutil.rmtree(node.own.certs_d / store.where)


async def pushed(node: Node, store: RunningRegistry, name: str) -> str:
    """The base image under that name."""
    archive = await asyncio.to_thread(base_image, print)
    there = dataclasses.replace(node, registry=store.where)
    login = ":".join(store.login.values())
    return await asyncio.to_thread(there.push_image, archive, name, login)


async def exposing(store: RunningRegistry, repository: str, tag: str, port: int) -> Made:
    """That image of a registry for everybody, made to expose a port."""
    base = f"http://{store.where}/v2/{repository}"
    async with aiohttp.ClientSession(headers={"Accept": ACCEPT}) as session:
        async with session.get(f"{base}/manifests/{tag}") as found:
            manifest = json.loads(await found.read())
        async with session.get(f"{base}/blobs/{manifest['config']['digest']}") as found:
            config = json.loads(await found.read())
    config["config"] = config.get("config", {}) | {"ExposedPorts": {f"{port}/tcp": {}}}
    body = json.dumps(config).encode()
    told = manifest["config"] | {"digest": digest_of(body), "size": len(body)}
    whole = json.dumps(manifest | {"config": told}).encode()
    digest, media = digest_of(whole), manifest.get("mediaType", MANIFEST_TYPES[0])
    return Made(digest, {told["digest"]: body}, {digest: (media, whole)})


def deploy(app: AppRef, image: str, generation: int, **more: Any) -> AppSpec:
    """A release of that image, one instance that answers on port 8000."""
    given: dict[str, Any] = {"environment": {}, "deploy_timeout_seconds": 60.0} | more
    return AppSpec(
        app=app.app,
        appuuid=app.appuuid,
        generation=generation,
        release=generation + 1,
        artifact=Artifact(image=image),
        processes=(Process(type="cmd", count=1, routable=True, command=SERVE, grace_seconds=1.0),),
        **given,
    )


async def refused(cluster: Cluster, spec: AppSpec) -> str:
    """The sentence."""
    with pytest.raises(Refused) as caught:
        await cluster.runtime.apply(spec)
    assert (caught.value.code, caught.value.kind) == (400, "image")
    return caught.value.detail


async def serves(cluster: Cluster, app: AppRef, spec: AppSpec) -> None:
    """Applied, and all there is."""

    async def settled() -> bool:
        status = await cluster.runtime.status(app)
        assert not status.failure, status.failure
        return status.settled and status.generation == spec.generation

    await cluster.runtime.apply(spec)
    await until(settled, "the release", SECONDS)


async def test_the_answer_of_the_api(
    node: Node, bus: JetStreamBus, controller: Starts, postgres: RunningPostgres, tmp_path: Path
) -> None:
    """A release is marked failed, in the registry's words alone; nothing of it is rolled out."""
    database = await fresh_database(postgres, OWNER)
    await bus.ensure(STREAMS, BUCKETS)
    missing = f"{node.registry}/no/such:1"
    async with controller(node.registry) as cluster:
        app = cluster.app().app
        settings, nudges = settings_of(database, tmp_path), Nudges()
        async with dependencies(settings, bus, cluster.runtime, nudges) as plain:
            deps = dataclasses.replace(plain, routed=cluster.runtime)
            leader = Leader(deps.db, nudges, lambda: LeaderTerm(deps))
            reconciling = asyncio.create_task(run_parts((leader, deps.shipper), asyncio.Event()))
            try:
                api = Api(deps)
                await api.user("ada")
                await api.send("apps.create", "ada", {"id": app})
                said = {"detail": f"manifest for {missing} not found: manifest unknown"}
                assert await ended(api, app, "builds.create", {"image": missing}) == (400, said)
                config = {"values": {"PORT": "8000"}}
                assert (await ended(api, app, "config.set", config))[0] == 201
                assert await ended(api, app, "builds.create", {"image": missing}) == (400, said)
                ours = {"image": "deis/router"}
                status, body = await ended(api, app, "builds.create", ours)
                assert (status, body["detail"][:27]) == (400, "Repository name deis/router")
                rows = await api.rows("SELECT state FROM releases ORDER BY version")
                states = ["succeeded", "failed", "succeeded", "failed", "failed"]
                assert [row["state"] for row in rows] == states
                assert node.kube("-n", app, "get", "deployments", "-o", "name") == ""
            finally:
                reconciling.cancel()
                await asyncio.wait({reconciling})


async def ended(api: Api, app: str, name: str, body: object) -> tuple[int, Any]:
    """Status and body of the answer, once the operation has ended."""
    asked = OperationRead((await api.send(name, "ada", body, app=app)).answer.operation)

    async def over() -> bool:
        return (await operations.read(api.deps, asked)).answer is not None

    await until(over, name, SECONDS)
    answer = (await operations.read(api.deps, asked)).answer
    assert answer is not None
    return answer.status, json.loads(bytes(answer.body))


async def test_a_private_image_is_denied_in_words_and_runs_with_the_apps_credentials(
    node: Node, controller: Starts, tmp_path: Path
) -> None:
    async with (
        registry_on(node, tmp_path, PASSWORDS) as store,
        controller(store.where) as cluster,
    ):
        image = await pushed(node, store, "ann/app:1")
        app = cluster.app()
        denied = f"Permission Denied attempting to pull image {image}: "
        assert (await refused(cluster, deploy(app, image, 1, environment=PORT))).startswith(denied)
        wrong = deploy(app, image, 1, environment=PORT, pull_secret=store.login | {"password": "x"})
        said = await refused(cluster, wrong)
        assert said == f"{denied}unauthorized: incorrect username or password"
        missing = image.removesuffix("1") + "9"
        gone = deploy(app, missing, 1, environment=PORT, pull_secret=store.login)
        assert await refused(cluster, gone) == f"manifest for {missing} not found: manifest unknown"
        assert not node.tries("get", "namespace", app.app)
        await serves(cluster, app, deploy(app, image, 1, environment=PORT, pull_secret=store.login))


async def test_an_image_whose_registry_tells_the_port_or_only_the_nodes_reach(
    node: Node, controller: Starts, tmp_path: Path
) -> None:
    async with registry_on(node, tmp_path) as store:
        image = await pushed(node, store, "public/app:plain")
        await store.push(await exposing(store, "public/app", "plain", 8000), "public/app", "1")
        exposed = image.removesuffix("plain") + "1"
        async with controller(store.where) as cluster:
            app = cluster.app()
            assert (await refused(cluster, deploy(app, image, 1))).startswith("Expose a port or ")
            missing = f"{store.where}/nobody/nothing"
            said = await refused(cluster, deploy(app, missing, 1))
            assert said == f"manifest for {missing} not found: manifest unknown"
            await serves(cluster, app, deploy(app, exposed, 1))
            ports = node.get("-n", app.app, "service", app.app)["spec"]["ports"]
            assert [port["targetPort"] for port in ports] == [8000]
        async with (
            controller() as strict
        ):  # it is asked by HTTPS, which this registry does not speak
            app = strict.app()
            said = await refused(strict, deploy(app, image, 1))
            assert said.startswith(f"The registry {store.where} cannot be used: ")
            assert said.endswith(HINT)
            await serves(strict, app, deploy(app, image, 1, environment=PORT))
