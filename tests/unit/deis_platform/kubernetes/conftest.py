"""A fake API server and our client of it."""

from collections.abc import AsyncIterator

import pytest

from deis_platform.kubernetes import Kubernetes
from tests.unit.deis_platform.kubernetes.fake import Fake, door, fake_server


@pytest.fixture
async def fake() -> AsyncIterator[Fake]:
    async with fake_server() as running:
        yield running


@pytest.fixture
async def api(fake: Fake) -> AsyncIterator[Kubernetes]:
    async with door(fake) as client:
        yield client
