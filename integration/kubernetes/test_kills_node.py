"""`kill -9` of the node's own programs in the middle of a push and of a deploy (DESIGN 1).

None of them lies in the way of a request, and none of ours ends with them: the application serves
meanwhile, push and deploy come to their end, no build is begun again and no line of it lost.
"""

import asyncio
import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from integration.kubernetes.fire import BEGUN, WENT_ON, Fire, in_the_middle, under_fire
from integration.kubernetes.installed import NAMESPACE
from integration.kubernetes.platform import ClusterPlatform
from integration.kubernetes.victims import containers
from integration.servers import until

pytestmark = [
    pytest.mark.kubernetes,
    pytest.mark.own_node,
    pytest.mark.disturbs,
    pytest.mark.usefixtures("steadied"),
    pytest.mark.server,
    pytest.mark.timeout(600),
]

PAGES = 20
"""So many requests are answered before something else happens: a second, for each application."""


@asynccontextmanager
async def without(name: str, fires: list[Fire]) -> AsyncIterator[None]:
    """A program of the node is away while the block runs, and the applications serve."""
    node = fires[0].platform.node
    programs = node.programs()
    await asyncio.to_thread(programs.end, name)
    try:
        await keep_serving(fires)
        yield
        await keep_serving(fires)
    finally:
        programs.start_again(name)
    works = ("--namespace", NAMESPACE, "exec", "deis-database-0", "--", "true")
    await until(lambda: asyncio.to_thread(node.tries, *works), f"what needs {name} works again")


@asynccontextmanager
async def restarted(name: str, fires: list[Fire]) -> AsyncIterator[None]:
    """It was away when the block runs: containerd writes the logs, and what a container prints
    that ends before it is back is lost."""
    async with without(name, fires):
        pass
    yield


async def keep_serving(fires: list[Fire]) -> None:
    for fire in fires:
        await fire.keeps_serving(PAGES)


PROGRAMS = {"kube-apiserver": without, "kubelet": without, "containerd": restarted}


async def test_programs_of_the_node_killed_in_the_middle(
    platform: ClusterPlatform, tmp_path: Path
) -> None:
    async with under_fire(platform, tmp_path, "dove", "dodo") as fires:
        before = containers(platform.node)
        for name, harm in PROGRAMS.items():
            pushed, changed = await in_the_middle(fires, functools.partial(harm, name, fires))
            assert (pushed.code, changed.code) == (0, 0), pushed.output + changed.output
            assert [pushed.output.count(line) for line in (BEGUN, WENT_ON)] == [1, 1]
            assert containers(platform.node) == before, name
            if name == "kube-apiserver":
                await asked_meanwhile(fires)


async def asked_meanwhile(fires: list[Fire]) -> None:
    """A deploy that is asked for while the API server is away begins when it is back."""
    fire = fires[1]
    async with without("kube-apiserver", fires):
        changing = asyncio.create_task(fire.person.types("deis", "config:set", "ASKED=meanwhile"))
    await changing
    await fire.holds()
