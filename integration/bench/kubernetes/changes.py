"""config:set, scale and rollback beside kubectl doing the same to a bare Deployment.

By turns, and each of the two is first in every other round, so that both meet the same machine; what
the change before left to end has ended. Ours is the API request, which returns once the release
serves; the baseline is kubectl's change and its `rollout status`.
"""

import asyncio
import functools
import json
import statistics
import time
from collections.abc import Awaitable, Callable

from integration.bench.figures import line
from integration.bench.kubernetes.bare import NAME, bare_deployment, bare_secret
from integration.cluster.node import Node
from integration.kubernetes.platform import ClusterPlatform
from integration.person import Person
from integration.rest import Rest
from integration.servers import until

REACH = 1.3
INSTANCES = 3
FIRST_VERSION = 2
"""Of the application as it was pushed."""
Timed = tuple[list[float], list[float]]


class Bare:
    """kubectl and the bare Deployment."""

    def __init__(self, node: Node, app: str) -> None:
        self._node = node
        self._app = app

    async def make(self) -> None:
        """Copy the application's own Deployment as it is now."""
        found = self._node.get("--namespace", self._app, "deployment", f"{self._app}-web")
        version = found["spec"]["template"]["metadata"]["labels"]["version"]
        secret = self._node.get("--namespace", self._app, "secret", f"{self._app}-{version}-env")
        items = [bare_secret(secret), bare_deployment(found)]
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
        await asyncio.to_thread(self._node.kube, "apply", "-f", "-", text=text)
        await self.settles()

    async def does(self, *words: str) -> None:
        """One change, until it is through."""
        await self._kube(*words)
        await self.settles()

    async def settles(self) -> None:
        """Wait as a person would."""
        await self._kube("rollout", "status", f"deployment/{NAME}", "--timeout=120s")

    async def quiet(self) -> None:
        """Wait until the instances that earlier changes ended are gone."""
        await until(self._nothing_ends, "ended instances are gone", 60)

    def _nothing_ends(self) -> bool:
        pods = self._node.get("--namespace", self._app, "pods")["items"]
        return not any("deletionTimestamp" in pod["metadata"] for pod in pods)

    async def _kube(self, *words: str) -> None:
        command = ("--namespace", self._app, *words)
        await asyncio.to_thread(self._node.kube, *command, seconds=130)


async def measure(platform: ClusterPlatform, person: Person, app: str, rounds: int) -> None:
    """Print the figures."""
    bare = Bare(platform.node, app)
    await bare.make()
    times: dict[str, Timed] = {}
    async with Rest(platform, person) as api:
        version = FIRST_VERSION
        for number in range(1, rounds + 1):
            await _round(api, bare, f"/apps/{app}", number, version, times)
            version += 2  # the change of configuration, and the rollback
    for what, (ours, theirs) in times.items():
        ratio = statistics.median(mine / his for mine, his in zip(ours, theirs, strict=True))
        line(what, "s", ours, base=theirs, reach=f"<= {REACH} of it", met=ratio <= REACH,
             note="baseline: kubectl on a bare copy of the Deployment, and rollout status")  # fmt: skip


async def _round(
    api: Rest, bare: Bare, path: str, number: int, version: int, times: dict[str, Timed]
) -> None:
    target = f"deployment/{NAME}"
    pair = functools.partial(_both, bare, number % 2 == 0)
    await pair(
        times.setdefault("config:set", ([], [])),
        lambda: api.post(f"{path}/config", values={"ROUND": str(number)}),
        lambda: bare.does("set", "env", target, f"ROUND={number}"),
    )
    for before, after in ((1, INSTANCES), (INSTANCES, 1)):
        await pair(
            times.setdefault(f"scale from {before} to {after}", ([], [])),
            lambda after=after: api.post(f"{path}/scale", web=after),  # type: ignore[misc]
            lambda after=after: bare.does("scale", target, f"--replicas={after}"),  # type: ignore[misc]
        )
    await pair(
        times.setdefault("rollback", ([], [])),
        lambda: api.post(f"{path}/releases/rollback", version=version),
        lambda: bare.does("rollout", "undo", target),
    )


async def _both(
    bare: Bare,
    theirs_first: bool,
    times: Timed,
    ours: Callable[[], Awaitable[object]],
    theirs: Callable[[], Awaitable[object]],
) -> None:
    both = list(zip(times, (ours, theirs), strict=True))
    for kept, work in reversed(both) if theirs_first else both:
        await bare.quiet()
        began = time.monotonic()
        await work()
        kept.append(time.monotonic() - began)
