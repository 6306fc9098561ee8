"""A registry in this process, and our client allowed to speak to it."""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from deis_bus.errors import Refused, Transient
from deis_platform.groups import RegistrySettings
from deis_platform.registry import Registry, open_registry
from deis_platform.registry.transport import Limits
from deis_platform.settings import address
from tests.behaviour.registry import image, refusal
from tests.unit.deis_platform.registry.fake import LOGIN, SECRETS, FakeRegistry, fake_registry

QUICK = Limits(pause=0.001)
MADE = image((8080,), ["/bin/server"])


@asynccontextmanager
async def asking(*fakes: FakeRegistry, limits: Limits = QUICK) -> AsyncIterator[Registry]:
    """A client that may speak to these by HTTP."""
    listed = tuple(address(fake.where) for fake in fakes)
    async with open_registry(RegistrySettings(insecure=listed), limits) as registry:
        yield registry


@pytest.fixture
async def fake() -> AsyncIterator[FakeRegistry]:
    """It holds `MADE` as example/blog:v1."""
    async with fake_registry() as fake:
        await fake.push(MADE, "example/blog", "v1")
        yield fake


@pytest.fixture
async def other() -> AsyncIterator[FakeRegistry]:
    """Another host."""
    async with fake_registry() as fake:
        yield fake


@pytest.fixture
async def registry(fake: FakeRegistry) -> AsyncIterator[Registry]:
    async with asking(fake) as registry:
        yield registry


@pytest.fixture(autouse=True)
def _no_secret_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.DEBUG)
    yield
    assert not [secret for secret in SECRETS if secret in caplog.text]


def blog(fake: FakeRegistry) -> str:
    return f"{fake.where}/example/blog:v1"


async def refused(registry: Registry, name: str) -> Refused:
    """The refusal of an image asked for with a login, which is in no text of it."""
    fault = await refusal(registry, name, LOGIN)
    assert not [secret for secret in SECRETS if secret in f"{fault!r} {fault.detail}"]
    return fault


async def gone(registry: Registry, name: str) -> str:
    """The text when the registry is away."""
    with pytest.raises(Transient) as caught:
        await registry.inspect(name, LOGIN)
    assert not [secret for secret in SECRETS if secret in repr(caught.value)]
    return str(caught.value)
