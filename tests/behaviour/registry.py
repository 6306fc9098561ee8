"""What any image registry shows our client, and images made by hand to put into it."""

import json
import os
from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple, Protocol

import pytest

from deis_bus.errors import Refused
from deis_platform.groups import RegistrySettings
from deis_platform.registry import ImageFacts, Registry, open_registry
from deis_platform.registry.manifests import (
    CONFIG_TYPES,
    INDEX_TYPES,
    MACHINES,
    MANIFEST_TYPES,
    digest_of,
)
from deis_platform.settings import address

OCI, DOCKER = 0, 1
"""Of the media types, which."""
MACHINE = MACHINES.get(os.uname().machine, os.uname().machine)


class Made(NamedTuple):
    """An image, or an index with its images, ready to be put into a registry."""

    digest: str
    blobs: dict[str, bytes]
    manifests: dict[str, tuple[str, bytes]]
    """Media type and body by digest, in the order of their writing: the last one is what the
    image's name stands for."""


class Store(Protocol):
    """A registry that a test fills."""

    where: str
    """host:port"""
    realm: str
    """host:port of its token service, where that is another."""

    @property
    def login(self) -> dict[str, str]:
        """What it asks for; empty: nothing."""
        ...

    async def push(self, made: Made, repository: str, tag: str) -> None:
        """Put an image there."""
        ...


def image(
    ports: tuple[int, ...] = (),
    entrypoint: list[str] | None = None,
    command: list[str] | None = None,
    *,
    kind: int = OCI,
    **more: Any,
) -> Made:
    """An image without files."""
    start: dict[str, Any] = {
        "ExposedPorts": {f"{port}/tcp": {} for port in ports},
        "Entrypoint": entrypoint,
        "Cmd": command,
    }
    config = json.dumps({"architecture": MACHINE, "os": "linux", "config": start, **more}).encode()
    described = {"mediaType": CONFIG_TYPES[kind], "digest": digest_of(config), "size": len(config)}
    told = {"mediaType": MANIFEST_TYPES[kind], "config": described, "layers": []}
    body = json.dumps({"schemaVersion": 2, **told}).encode()
    digest = digest_of(body)
    return Made(digest, {digest_of(config): config}, {digest: (MANIFEST_TYPES[kind], body)})


def index(images: Mapping[str, Made], *, kind: int = OCI) -> Made:
    """An index of images by architecture."""
    blobs: dict[str, bytes] = {}
    manifests: dict[str, tuple[str, bytes]] = {}
    entries = []
    for architecture, made in images.items():
        blobs |= made.blobs
        manifests |= made.manifests
        media, body = made.manifests[made.digest]
        platform = {"architecture": architecture, "os": "linux"}
        entries.append(
            {"mediaType": media, "digest": made.digest, "size": len(body), "platform": platform}
        )
    told = {"schemaVersion": 2, "mediaType": INDEX_TYPES[kind], "manifests": entries}
    body = json.dumps(told).encode()
    return Made(digest_of(body), blobs, manifests | {digest_of(body): (INDEX_TYPES[kind], body)})


async def refusal(registry: Registry, name: str, login: Mapping[str, str] | None = None) -> Refused:
    """Why an image is refused; everything of the kind is a 400."""
    with pytest.raises(Refused) as caught:
        await registry.inspect(name, login or {})
    assert caught.value.code == 400
    return caught.value


class RegistrySuite:
    """With a fixture `store`; every test takes repositories of its own."""

    @pytest.fixture
    async def registry(self, store: Store) -> AsyncIterator[Registry]:
        """Our client, allowed to speak to the store by HTTP."""
        listed = tuple(address(where) for where in (store.where, store.realm) if where)
        async with open_registry(RegistrySettings(insecure=listed)) as registry:
            yield registry

    @pytest.mark.parametrize("kind", [OCI, DOCKER])
    async def test_an_image_by_tag_and_by_digest(
        self, store: Store, registry: Registry, kind: int
    ) -> None:
        made = image((8080, 443), ["/bin/server"], ["--all"], kind=kind)
        await store.push(made, "example/blog", f"v{kind}")
        facts = ImageFacts(made.digest, (443, 8080), ("/bin/server",), ("--all",))
        blog = f"{store.where}/example/blog"
        assert await registry.inspect(f"{blog}:v{kind}", store.login) == facts
        assert await registry.inspect(f"{blog}@{made.digest}", store.login) == facts
        assert await registry.inspect(f"{blog}:gone@{made.digest}", store.login) == facts

    @pytest.mark.parametrize("kind", [OCI, DOCKER])
    async def test_an_image_for_several_architectures(
        self, store: Store, registry: Registry, kind: int
    ) -> None:
        made = index({"s390x": image((1,), kind=kind), MACHINE: image((2,), kind=kind)}, kind=kind)
        await store.push(made, "example/several", "latest")
        found = await registry.inspect(f"{store.where}/example/several", store.login)
        assert (found.digest, found.ports) == (made.digest, (2,))

    async def test_an_image_for_other_architectures_alone(
        self, store: Store, registry: Registry
    ) -> None:
        await store.push(index({"s390x": image((1,))}), "example/other", "v1")
        refused = await refusal(registry, f"{store.where}/example/other:v1", store.login)
        assert refused.kind == "platform"
        assert f"no matching manifest for linux/{MACHINE} in the manifest list" in refused.detail

    async def test_a_tag_that_moves(self, store: Store, registry: Registry) -> None:
        for port in (1000, 2000):
            made = image((port,))
            await store.push(made, "example/moves", "latest")
            found = await registry.inspect(f"{store.where}/example/moves:latest", store.login)
            assert (found.digest, found.ports) == (made.digest, (port,))

    @pytest.mark.parametrize("ending", ["there:v9", "nowhere:v1", f"there@sha256:{'0' * 64}"])
    async def test_what_is_not_there(self, store: Store, registry: Registry, ending: str) -> None:
        await store.push(image(), "example/there", "v1")
        name = f"{store.where}/example/{ending}"
        refused = await refusal(registry, name, store.login)
        assert refused.detail == f"manifest for {name} not found: manifest unknown"
        assert refused.kind == "absent"

    async def test_who_may_not(self, store: Store, registry: Registry) -> None:
        """Of a registry for everybody, nothing is asked for."""
        await store.push(image((80,)), "example/private", "v1")
        name = f"{store.where}/example/private:v1"
        wrong = {"username": "ada", "password": "wrong-one"}
        away = store.login | {"hostname": "quay.io"}
        if not store.login:
            for login in ({}, wrong, away):
                assert (await registry.inspect(name, login)).ports == (80,)
            return
        denied = f"Permission Denied attempting to pull image {name}: "
        unknown = (
            f"{denied}repository does not exist or may require `deis registry:set`: denied:"
            " requested access to the resource is denied"
        )
        assert (await refusal(registry, name)).detail == unknown
        assert (await refusal(registry, name, away)).detail == unknown
        refused = await refusal(registry, name, wrong)
        assert refused.detail == f"{denied}unauthorized: incorrect username or password"
        assert refused.kind == "denied"
        assert (await registry.inspect(name, store.login)).ports == (80,)
        here = store.login | {"hostname": f"http://{store.where}/v2/"}
        assert (await registry.inspect(name, here)).ports == (80,)
