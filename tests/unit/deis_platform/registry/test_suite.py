"""The fake registry shows what a real one does, in each of three ways to log in."""

from collections.abc import AsyncIterator

import pytest

from tests.behaviour.registry import RegistrySuite, Store
from tests.unit.deis_platform.registry.fake import fake_registry


class TestFake(RegistrySuite):
    """Every promise of the suite."""

    @pytest.fixture(params=["", "basic", "bearer"])
    async def store(self, request: pytest.FixtureRequest) -> AsyncIterator[Store]:
        """A registry of the test's own."""
        async with fake_registry() as fake:
            fake.auth = request.param
            yield fake
