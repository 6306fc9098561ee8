"""Our client of image registries on Debian's docker-registry.

It needs that package, not the cluster; what brings up the node installs it.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deis_platform.groups import RegistrySettings
from deis_platform.registry import open_registry
from deis_platform.settings import address
from integration.registry_servers import (
    PASSWORDS,
    TOKENS,
    RunningRegistry,
    docker_registry,
    own_address,
    program,
)
from tests.behaviour.registry import RegistrySuite, image, refusal

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(120)]


class TestDockerRegistry(RegistrySuite):
    """Every promise of the suite, with each way to log in."""

    @pytest.fixture(params=["", PASSWORDS, TOKENS])
    async def store(
        self, request: pytest.FixtureRequest, tmp_path: Path
    ) -> AsyncIterator[RunningRegistry]:
        """A registry of the test's own."""
        async with docker_registry(tmp_path, request.param) as running:
            yield running


async def test_https_by_an_authority_of_the_operator(tmp_path: Path) -> None:
    """A registry on an address that everybody may connect to, and that is not listed."""
    async with docker_registry(tmp_path, PASSWORDS, own_address(), tls=True) as store:
        await store.push(image((8080,)), "example/blog", "v1")
        name = f"{store.where}/example/blog:v1"
        async with open_registry(RegistrySettings()) as registry:
            refused = await refusal(registry, name, store.login)
        assert refused.detail == (
            f"The registry {store.where} cannot be used: its certificate is not trusted"
        )
        async with open_registry(RegistrySettings(ca_file=store.ca_file)) as registry:
            assert (await registry.inspect(name, store.login)).ports == (8080,)
            assert (await refusal(registry, name)).kind == "denied"


async def test_http_needs_to_be_listed(tmp_path: Path) -> None:
    async with docker_registry(tmp_path, host=own_address()) as store:
        await store.push(image((8080,)), "example/blog", "v1")
        name = f"{store.where}/example/blog:v1"
        async with open_registry(RegistrySettings()) as registry:
            refused = await refusal(registry, name)
        assert (
            refused.detail == f"The registry {store.where} cannot be used: it does not speak HTTPS"
        )
        async with open_registry(RegistrySettings(insecure=(address(store.where),))) as registry:
            assert (await registry.inspect(name, {})).ports == (8080,)


async def test_the_token_is_for_the_repository_and_for_pulling(tmp_path: Path) -> None:
    async with docker_registry(tmp_path, TOKENS) as store:
        await store.push(image((8080,)), "example/blog", "v1")
        listed = (address(store.where), address(store.realm))
        async with open_registry(RegistrySettings(insecure=listed)) as registry:
            await registry.inspect(f"{store.where}/example/blog:v1", store.login)
        wanted = {"service": "registry", "scope": "repository:example/blog:pull"}
        assert store.tokens_asked == [wanted]


@pytest.mark.parametrize("kind", ["oci", "docker"])
async def test_an_image_that_buildah_made(tmp_path: Path, kind: str) -> None:
    async with docker_registry(tmp_path, PASSWORDS) as store:
        name = f"{store.where}/example/built:v1"
        await buildah(tmp_path, "from", "--name", "built", "scratch")
        await buildah(
            *(tmp_path, "config", "--port", "8080", "--port", "53/udp", "--cmd", "--all"),
            *("--entrypoint", '["/bin/server"]', "built"),
        )
        await buildah(tmp_path, "commit", "--format", kind, "built", name)
        login = f"{store.login['username']}:{store.login['password']}"
        digest = tmp_path / "digest"
        await buildah(
            *(tmp_path, "push", "--tls-verify=false", "--creds", login),
            *("--digestfile", str(digest), name),
        )
        async with open_registry(RegistrySettings(insecure=(address(store.where),))) as registry:
            found = await registry.inspect(name, store.login)
        assert found == (digest.read_text(), (8080,), ("/bin/server",), ("--all",))


async def buildah(folder: Path, *words: str) -> None:
    """Run it with its storage in `folder`."""
    storage = ("--root", str(folder / "storage"), "--runroot", str(folder / "run"))
    child = await asyncio.create_subprocess_exec(
        *(program("buildah", "buildah"), *storage, "--storage-driver", "vfs", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await child.communicate()
    assert child.returncode == 0, said.decode()
