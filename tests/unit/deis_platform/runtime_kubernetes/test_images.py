"""A registry is asked before a release of an image is written, and only then (api.md 23.3, 25)."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from aiohttp import web

from deis_bus.contracts.runtime import AppSpec, Artifact, RunTask
from deis_bus.errors import Refused
from deis_platform.groups import RegistrySettings
from deis_platform.registry import open_registry
from deis_platform.registry.transport import Limits
from deis_platform.runtime.kubernetes import KubernetesRuntime, images, names
from deis_platform.runtime.kubernetes.opening import asking
from deis_platform.settings import address
from tests.behaviour.registry import image, index
from tests.unit.deis_platform.registry.fake import LOGIN, FakeRegistry, answer, fake_registry
from tests.unit.deis_platform.runtime_kubernetes.conftest import Starts
from tests.unit.deis_platform.runtime_kubernetes.given import APP, process, spec
from tests.unit.deis_platform.runtime_kubernetes.server import Server

PORT = {"PORT": "8000"}
NOT_FOUND = "manifest for {} not found: manifest unknown"
DENIED = "Permission Denied attempting to pull image {}: "
HIDDEN = (
    "repository does not exist or may require `deis registry:set`: denied: requested access to"
    " the resource is denied"
)
WRONG = "unauthorized: incorrect username or password"


@pytest.fixture
async def registry() -> AsyncIterator[FakeRegistry]:
    """It holds blog:v1 and blog:v2, which expose 8080, and workers:v1, which exposes nothing."""
    async with fake_registry() as fake:
        for tag in ("v1", "v2"):
            await fake.push(image((8080,), command=[tag]), "blog", tag)
        await fake.push(image(), "workers", "v1")
        yield fake


@pytest.fixture
async def runtime(controller: Starts, registry: FakeRegistry) -> AsyncIterator[KubernetesRuntime]:
    settings = RegistrySettings(insecure=(address(registry.where),))
    async with (
        open_registry(settings, Limits(pause=0.001)) as client,
        controller(asking(client)) as runtime,
    ):
        yield runtime


def deploy(image: str, generation: int = 1, **more: Any) -> AppSpec:
    """Release 2, 3 … of that image, by its generation unless `release` is given."""
    release = more.pop("release", generation + 1)
    processes = more.pop("processes", [process("cmd", routable=True)])
    given = {"artifact": Artifact(image=image), "environment": {}} | more
    return spec(generation, release, *processes, **given)


async def refused(runtime: KubernetesRuntime, wanted: AppSpec) -> str:
    """The sentence, where nothing was written."""
    with pytest.raises(Refused) as caught:
        await runtime.apply(wanted)
    assert (caught.value.code, caught.value.kind) == (400, "image")
    return caught.value.detail


def target(server: Server) -> int:
    """The port that requests go to."""
    ports = server.get("services", APP.app, APP.app)["spec"]["ports"]
    return int(ports[0]["targetPort"])


@pytest.mark.parametrize("environment", [PORT, {}], ids=["with PORT", "without"])
class TestWhatTheRegistrySays:
    """The same, whether the port is known or not."""

    @pytest.mark.parametrize("name", ["blog:v9", "nothing:v1"])
    async def test_not_found(
        self, server: Server, runtime: KubernetesRuntime, registry: FakeRegistry,
        name: str, environment: dict[str, str],
    ) -> None:  # fmt: skip
        whole = f"{registry.where}/{name}"
        said = await refused(runtime, deploy(whole, environment=environment))
        assert said == NOT_FOUND.format(whole)
        assert server.writes == []

    async def test_denied(
        self, runtime: KubernetesRuntime, registry: FakeRegistry, environment: dict[str, str]
    ) -> None:
        registry.auth = "bearer"
        whole = f"{registry.where}/blog:v1"
        said = await refused(runtime, deploy(whole, environment=environment))
        assert said == DENIED.format(whole) + HIDDEN

    async def test_what_is_no_image_of_ours_to_run(
        self, runtime: KubernetesRuntime, environment: dict[str, str]
    ) -> None:
        said = await refused(runtime, deploy("deis/router:v1", environment=environment))
        assert said == "Repository name deis/router is not allowed, as it is reserved by Deis"
        said = await refused(runtime, deploy("https://ada:x@hub/y", environment=environment))
        assert said.startswith("invalid reference format: ")


async def test_a_private_image_with_the_apps_credentials(
    server: Server, runtime: KubernetesRuntime, registry: FakeRegistry
) -> None:
    registry.auth = "basic"
    whole = f"{registry.where}/blog:v1"
    private = deploy(whole, environment=PORT, pull_secret={"username": "ada", "password": "wrong"})
    assert await refused(runtime, private) == DENIED.format(whole) + WRONG
    half = msgspec.structs.replace(private, pull_secret={"password": "hunter2"})
    said = await refused(runtime, half)
    assert said == "Registry auth requires a username and a password"
    portless = deploy(whole, pull_secret=LOGIN)
    assert await refused(runtime, portless) == images.PRIVATE_PORT
    await runtime.apply(msgspec.structs.replace(private, pull_secret=LOGIN))
    assert target(server) == 8000


async def test_the_port_that_an_image_exposes(
    server: Server, runtime: KubernetesRuntime, registry: FakeRegistry
) -> None:
    await runtime.apply(deploy(f"{registry.where}/blog:v1"))
    assert target(server) == 8080
    workers = f"{registry.where}/workers:v1"
    assert await refused(runtime, deploy(workers, 2)) == images.NO_PORT
    await runtime.apply(deploy(workers, 3, processes=[process("worker")]))


async def away(fake: FakeRegistry) -> None:
    """Every request fails from now on."""
    fake.will(*[answer(503)] * 100)


async def full(fake: FakeRegistry) -> None:
    """It counts pulls."""
    fake.will(*[answer(429)] * 100)


async def odd(fake: FakeRegistry) -> None:
    """It is something else."""
    fake.will(*[answer(418)] * 100)


async def elsewhere(fake: FakeRegistry) -> None:
    """Its image is for other processors; a node may have one."""
    await fake.push(index({"s390x": image((8080,))}), "blog", "v1")


@pytest.mark.parametrize("fault", [away, full, odd, elsewhere])
async def test_what_only_the_nodes_may_know_is_left_to_them_where_the_port_is_known(
    server: Server, runtime: KubernetesRuntime, registry: FakeRegistry, fault: Any
) -> None:
    await fault(registry)
    whole = f"{registry.where}/blog:v1"
    assert (await refused(runtime, deploy(whole))).endswith(f"; {images.HINT}")
    assert server.writes == []
    await runtime.apply(deploy(whole, 2, environment=PORT))
    assert target(server) == 8000
    await runtime.apply(deploy(whole, 3, processes=[process("worker")]))


@pytest.mark.parametrize("where", ["127.0.0.1:5000", "nowhere.invalid"])
async def test_a_registry_that_we_may_not_or_cannot_ask(
    server: Server, runtime: KubernetesRuntime, where: str
) -> None:
    said = await refused(runtime, deploy(f"{where}/blog"))
    assert said.startswith(f"The registry {where} cannot be used: ")
    await runtime.apply(deploy(f"{where}/blog", environment=PORT))
    assert target(server) == 8000


async def test_a_registry_that_hangs_is_not_waited_for_where_the_port_is_known(
    server: Server,
    runtime: KubernetesRuntime,
    registry: FakeRegistry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(images, "PATIENCE_SECONDS", 0.2)

    async def hang(_: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    registry.will(hang)
    await runtime.apply(deploy(f"{registry.where}/blog:v1", environment=PORT))
    assert (len(registry.asked), target(server)) == (1, 8000)


class TestOnce:
    """A release that was let in needs no registry any more."""

    async def test_to_be_scaled_repaired_or_gone_back_to(
        self, server: Server, runtime: KubernetesRuntime, controller: Starts, registry: FakeRegistry
    ) -> None:
        first, second = f"{registry.where}/blog:v1", f"{registry.where}/blog:v2"
        await runtime.apply(deploy(first))
        labels = names.labels(APP.app, "cmd", 2)
        meta = {"name": "blog-cmd-1", "namespace": APP.app, "labels": labels}
        server.put("replicasets", {"metadata": meta})
        await runtime.apply(deploy(second, 2))
        asked = len(registry.asked)
        three = [process("cmd", 3, routable=True)]
        await runtime.apply(deploy(second, 3, release=3, processes=three))
        async with controller(_nobody) as another:
            await another.apply(deploy(first, 4, release=2))
        assert (len(registry.asked), target(server)) == (asked, 8080)
        container = server.get("deployments", APP.app, "blog-cmd")["spec"]["template"]["spec"][
            "containers"
        ][0]
        assert (container["image"], container["ports"][0]["containerPort"]) == (first, 8080)

    async def test_a_new_release_of_the_same_image_is_asked_about(
        self, runtime: KubernetesRuntime, registry: FakeRegistry
    ) -> None:
        whole = f"{registry.where}/blog:v1"
        await runtime.apply(deploy(whole, environment=PORT))
        registry.auth = "basic"
        said = await refused(runtime, deploy(whole, 2, environment=PORT))
        assert said == DENIED.format(whole) + HIDDEN

    async def test_another_image_under_a_number_that_comes_again(
        self, runtime: KubernetesRuntime, registry: FakeRegistry
    ) -> None:
        await runtime.apply(deploy(f"{registry.where}/blog:v1"))
        whole = f"{registry.where}/blog:v9"
        said = await refused(runtime, deploy(whole, 2, release=2))
        assert said == NOT_FOUND.format(whole)

    async def test_a_port_that_was_not_needed_and_is(
        self, server: Server, runtime: KubernetesRuntime, registry: FakeRegistry
    ) -> None:
        registry.will(*[answer(503)] * 3)
        whole = f"{registry.where}/blog:v1"
        await runtime.apply(deploy(whole, processes=[process("worker")]))
        await runtime.apply(deploy(whole, 2, release=2))
        assert target(server) == 8080


class TestCommands:
    """A one-off command has the port of its release, and can do without."""

    def run(self, image: str, release: int, environment: dict[str, str]) -> RunTask:
        """A command of that release."""
        return RunTask(
            app=APP.app,
            appuuid=APP.appuuid,
            release=release,
            instance=f"blog-run-{release}",
            artifact=Artifact(image=image),
            environment=environment,
            command="true",
            stream=f"stream-{release}",
        )

    async def test_of_a_release_that_is_there(
        self, server: Server, runtime: KubernetesRuntime, registry: FakeRegistry
    ) -> None:
        whole = f"{registry.where}/blog:v1"
        await runtime.apply(deploy(whole))
        asked = len(registry.asked)
        await runtime.run(self.run(whole, 2, {}))
        assert len(registry.asked) == asked
        assert "PORT" in server.get("secrets", APP.app, "blog-run-2-env")["data"]

    async def test_of_one_that_is_not(
        self, server: Server, runtime: KubernetesRuntime, registry: FakeRegistry
    ) -> None:
        whole = f"{registry.where}/blog:v9"
        with pytest.raises(Refused, match=NOT_FOUND.format(whole)):
            await runtime.run(self.run(whole, 2, {}))
        await away(registry)
        await runtime.run(self.run(whole, 3, {}))
        assert "PORT" not in server.get("secrets", APP.app, "blog-run-3-env")["data"]


async def _nobody(image: str, credentials: dict[str, str]) -> int:
    raise AssertionError(f"{image} was asked about")
