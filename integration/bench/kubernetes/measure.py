"""Every measurement in turn, on one installation; each figure is one JSON line (figures.py).

python -m integration.bench.kubernetes.measure
"""

import asyncio
import json
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from integration.bench.kubernetes import (
    annotations,
    changes,
    installing,
    many,
    memory,
    pushing,
)
from integration.cluster.layout import node_layout
from integration.cluster.node import Node, is_up, running_node
from integration.kubernetes.installed import images
from integration.kubernetes.platform import ClusterPlatform, cluster_platform
from integration.kubernetes.sample import pushed
from integration.person import Person

APP = "sample-app"
ROUNDS = int(os.environ.get("DEIS_BENCH_ROUNDS", "7"))
SERVICES = int(os.environ.get("DEIS_BENCH_SERVICES", "1000"))
APPS = int(os.environ.get("DEIS_BENCH_APPS", "1000"))
APPS_SECONDS = 300.0
"""So long applications are made; where that is not enough, the figures name fewer."""
ANNOTATIONS = 30
REMOVE_SECONDS = 1800.0


@contextmanager
def step(name: str) -> Iterator[None]:
    """One measurement: where it breaks the others go on, and the table says so."""
    began = time.monotonic()
    try:
        yield
    except Exception as fault:  # noqa: BLE001 - shown as a figure that is not there
        traceback.print_exc()
        row = {"what": name, "unit": "", "met": False, "note": f"broke: {str(fault)[:200]}"}
        print(json.dumps(row), flush=True)
    print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)


async def with_an_app(platform: ClusterPlatform, person: Person) -> None:
    """What needs an application that serves."""
    with step("changes"):
        await changes.measure(platform, person, APP, ROUNDS)
    with step("pushes"):
        await pushing.measure(platform, person, APP, ROUNDS)
    with step("annotations"):
        await annotations.measure(platform, SERVICES, ANNOTATIONS)


def measured(folder: Path, node: Node, names: list[str]) -> None:
    """All of them; the names of the applications that were made come to `names`."""
    images(node)
    with installing.Answers(node) as answered, cluster_platform(folder, node) as platform:
        with step("installing"):
            installing.report(platform.installation, answered)
        with step("memory"):
            time.sleep(many.QUIET_SECONDS)
            idle = memory.of_services(platform.installation)
            memory.report(idle, "idle")
        names.append(APP)
        person = asyncio.run(pushed(platform, folder / "home", "ada", APP))
        asyncio.run(with_an_app(platform, person))
        with step("many apps"):
            asyncio.run(many.make(platform, person, APPS, APPS_SECONDS, names))
            many.measure(platform, idle, len(names))


def main() -> None:
    """Measure, and leave the cluster as it was; one that ends now is not waited for."""
    stays = "KUBECONFIG" in os.environ or is_up(node_layout())
    names: list[str] = []
    with tempfile.TemporaryDirectory(prefix="deis-") as folder, running_node() as node:
        try:
            measured(Path(folder), node, names)
        finally:
            wait = f"--wait={str(stays).lower()}"
            words = ("delete", "namespace", "--ignore-not-found", wait, *names)
            if names:
                node.kube(*words, seconds=REMOVE_SECONDS)


if __name__ == "__main__":
    main()
