"""The log shipper on a real node: real pods, the kubelet's own files, the API server's word."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from deis_platform.settings import load
from deis_services.shipper import service
from deis_services.shipper.settings import Settings
from integration.bus_rig import OnNats
from integration.cluster.errors import ClusterError
from integration.cluster.node import Node
from integration.kubernetes.pods import apply, pod
from integration.servers import RunningNats, until
from integration.test_shipper import Kept

pytestmark = [pytest.mark.kubernetes, pytest.mark.own_node, pytest.mark.timeout(240)]

LOGS = Path("/var/log/pods")
SECONDS = 90.0
COUNT = """
import sys
for number in range({lines}):
    print(number, "x" * {width})
sys.stdout.flush()
{end}
"""


def printing(
    node: Node,
    app: str,
    name: str,
    lines: int,
    *,
    width: int = 1,
    end: str = "",
    labels: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """A pod of an application that prints so many numbered lines, and then does `end`."""
    program = COUNT.format(lines=lines, width=width, end=end)
    known = {"app": app, "heritage": "deis", "type": "web", "version": "v3"} | dict(labels or {})
    return pod(node, f"{app}-web-1234567890-{name}", ("python3", "-c", program), known)


@asynccontextmanager
async def shipping(node: Node, url: str, folder: Path) -> AsyncIterator[None]:
    """The service as it runs, on this machine: it sees the node's files."""
    if node.layout is None:
        raise ClusterError("the files of another node than ours are not on this machine")
    names = json.loads(await kube(node, "get", "nodes", "-o", "json"))["items"]
    settings = load(
        Settings,
        {
            "DEIS_NATS_URL": url,
            "DEIS_KUBECONFIG": str(node.kubeconfig),
            "DEIS_NODE_NAME": names[0]["metadata"]["name"],
            "DEIS_SHIPPER_LOGS": str(LOGS),
            "DEIS_SHIPPER_FOLDER": str(folder),
        },
    )
    stop = asyncio.Event()
    task = asyncio.create_task(service.serve(settings, stop))
    try:
        yield
    finally:
        stop.set()
        await task


async def kube(node: Node, *words: str) -> str:
    """kubectl, beside everything else."""
    return await asyncio.to_thread(node.kube, *words)


async def put(node: Node, namespace: str, *pods: dict[str, Any]) -> None:
    """Make pods."""
    await asyncio.to_thread(apply, node, namespace, *pods)


def numbered(kept: Kept, uuid: str, suffix: str) -> list[int]:
    """The numbers that this instance printed, as the application's log has them."""
    mark = f".v3.{suffix}]: "
    texts = [line.partition(mark)[2] for owner, line in kept.lines if owner == uuid]
    return [int(text.split()[0]) for text in texts if text]


class TestShipper(OnNats):
    @pytest.fixture
    async def kept(self, bus: Any) -> AsyncIterator[Kept]:
        kept = Kept(bus)
        async with kept.listening():
            yield kept

    @pytest.fixture
    async def app(self, node: Node, namespace: str) -> str:
        """A namespace that is an application's."""
        await kube(node, "label", "namespace", namespace, "heritage=deis", f"app={namespace}")
        await kube(node, "annotate", "namespace", namespace, f"deis.io/app-uuid=of-{namespace}")
        return namespace

    async def test_every_line_of_a_busy_pod_arrives_once_while_the_kubelet_rotates(
        self, node: Node, app: str, nats: RunningNats, kept: Kept, tmp_path: Path
    ) -> None:
        lines = 250_000
        busy = printing(node, app, "aaaaa", lines, width=100, end="import time; time.sleep(600)")
        async with shipping(node, nats.url, tmp_path / "state"):
            await put(node, app, busy)
            rotated = f"{app}_*/main/0.log.*"
            await until(lambda: any(LOGS.glob(rotated)), "the kubelet rotates", SECONDS)
            await until(lambda: kept.counts[f"of-{app}"] >= lines, "all lines", SECONDS)
        assert Counter(numbered(kept, f"of-{app}", "aaaaa")) == Counter(range(lines))

    async def test_a_pod_that_ends_and_one_that_starts_again_are_read_to_the_end(
        self, node: Node, app: str, nats: RunningNats, kept: Kept, tmp_path: Path
    ) -> None:
        once = printing(node, app, "bbbbb", 3000)
        again = printing(node, app, "ccccc", 500, end="sys.exit(1)")
        again["spec"]["restartPolicy"] = "Always"
        async with shipping(node, nats.url, tmp_path / "state"):
            await put(node, app, once, again)
            await until(
                lambda: len(numbered(kept, f"of-{app}", "ccccc")) >= 1000, "a second life", SECONDS
            )
            await until(
                lambda: len(numbered(kept, f"of-{app}", "bbbbb")) >= 3000, "all lines", SECONDS
            )
            await kube(node, "-n", app, "delete", "pod", "--all", "--wait=false")
        assert numbered(kept, f"of-{app}", "bbbbb") == list(range(3000))
        assert numbered(kept, f"of-{app}", "ccccc")[:1000] == [*range(500), *range(500)]

    async def test_it_goes_on_where_it_was_with_what_came_meanwhile(
        self, node: Node, app: str, nats: RunningNats, kept: Kept, tmp_path: Path
    ) -> None:
        end = "import time\nfor number in range(1000, 3000): print(number, flush=True); time.sleep(0.005)"
        for part in range(1, 4):
            async with shipping(node, nats.url, tmp_path / "state"):
                if part == 1:
                    await put(node, app, printing(node, app, "ddddd", 1000, end=end))
                await until(
                    lambda n=part: len(numbered(kept, f"of-{app}", "ddddd")) > 800 * n,  # type: ignore[misc]
                    "it goes on",
                    SECONDS,
                )
        async with shipping(node, nats.url, tmp_path / "state"):
            await until(
                lambda: len(numbered(kept, f"of-{app}", "ddddd")) >= 3000, "all lines", SECONDS
            )
        assert numbered(kept, f"of-{app}", "ddddd") == list(range(3000))

    async def test_pods_of_nobody_and_of_others_are_not_read(
        self, node: Node, app: str, nats: RunningNats, kept: Kept, tmp_path: Path
    ) -> None:
        foreign = f"{app}-foreign"
        await kube(node, "create", "namespace", foreign)
        try:
            claims = printing(node, foreign, "eeeee", 10)
            claims["metadata"]["annotations"] = {"deis.io/app-uuid": f"of-{app}"}
            bare = printing(node, app, "fffff", 10, labels={"heritage": "other"})
            astray = printing(node, app, "ggggg", 10, labels={"app": "another"})
            ours = printing(node, app, "hhhhh", 10)
            await put(node, foreign, claims)
            await put(node, app, bare, astray)
            async with shipping(node, nats.url, tmp_path / "state"):
                ended = "--for=jsonpath={.status.phase}=Succeeded"
                await kube(node, "-n", foreign, "wait", ended, "pod", "--all", "--timeout=60s")
                await kube(node, "-n", app, "wait", ended, "pod", "--all", "--timeout=60s")
                await put(node, app, ours)
                await until(
                    lambda: len(numbered(kept, f"of-{app}", "hhhhh")) >= 10, "our lines", SECONDS
                )
            mine = [line for _, line in kept.lines if app in line]
            assert len(mine) == 10
        finally:
            await kube(node, "delete", "namespace", foreign, "--wait=false")
