"""`kill -9` of every component in the middle of a push and of a deploy, on the cluster (DESIGN 1).

Within a minute all is as it should be: every component ready, nothing doubled, each release number
used once, what was acknowledged is there, what was cut off can be done again.
"""

import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from integration.kubernetes.fire import in_the_middle, under_fire
from integration.kubernetes.platform import ClusterPlatform
from integration.kubernetes.victims import BUILD_POD, POD_VICTIMS, kill

pytestmark = [pytest.mark.kubernetes, pytest.mark.server, pytest.mark.timeout(900)]


@asynccontextmanager
async def killed(platform: ClusterPlatform, name: str) -> AsyncIterator[None]:
    await kill(platform, name)
    yield


async def test_killed_in_the_middle(platform: ClusterPlatform, tmp_path: Path) -> None:
    async with under_fire(platform, tmp_path, "crow", "raven") as fires:
        for name in (*POD_VICTIMS, BUILD_POD):
            await in_the_middle(fires, functools.partial(killed, platform, name))
