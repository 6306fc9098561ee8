"""A node comes, goes and leaves nothing, however it ends.

Each test has a node of its own, so these run before the others share one, and are left out where
a node is up already or $KUBECONFIG names a cluster (conftest.py says so).
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from integration.cluster import node as nodes
from integration.cluster.layout import Layout, node_layout
from integration.cluster.node import Node, running_node
from integration.cluster.programs import ROOT, ourselves
from integration.cluster.state import load
from integration.kubernetes.pods import PORT, apply, server, service, wait_ready
from integration.kubernetes.traces import Traces, remains, traces
from integration.kubernetes.waiting import until

pytestmark = [pytest.mark.kubernetes, pytest.mark.node_life, pytest.mark.timeout(240)]


@pytest.fixture
def before() -> Iterator[Traces]:
    """The machine before the test's node; whatever happens, the node is down afterwards."""
    yield traces()
    nodes.down()


def start(*words: str) -> subprocess.Popen[bytes]:
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen([*ourselves("up"), *words], env=env, stdout=subprocess.DEVNULL)


def busy(node: Node) -> None:
    """Pods that make mounts, host ports, rules and links."""
    pod = server(node, "web", {"app": "web"})
    pod["spec"]["volumes"] = [{"name": "memory", "emptyDir": {"medium": "Memory"}}]
    main = pod["spec"]["containers"][0]
    main["volumeMounts"] = [{"name": "memory", "mountPath": "/memory"}]
    main["ports"][0]["hostPort"] = PORT
    on_the_node = server(node, "on-the-node")
    on_the_node["spec"]["hostNetwork"] = True
    balanced = service("balanced", {"app": "web"}, type="LoadBalancer")
    apply(node, "default", pod, on_the_node, balanced)
    wait_ready(node, "default", "web")


def gone(layout: Layout) -> bool:
    return load(layout) is None


def test_down_leaves_the_machine_as_it_was(before: Traces) -> None:
    layout = node_layout()
    with running_node() as node:
        busy(node)
        assert {entry.split()[0] for entry in remains(layout)} == {
            "link",
            "cgroup",
            "mount",
            "folder",
            "process",
        }
        assert traces() != before
    assert remains(layout) == []
    assert traces() == before


def test_the_node_ends_with_its_owner(before: Traces) -> None:
    """The owner is killed without a word, as a test run may be."""
    layout = node_layout()
    owner = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    assert start("--owner", str(owner.pid)).wait(120) == 0
    owner.kill()
    owner.wait(10)
    until(lambda: gone(layout), "the end of the node")
    assert remains(layout) == []
    assert traces() == before


def test_the_node_ends_with_its_time(before: Traces) -> None:
    layout = node_layout()
    assert start("--hours", "0.006").wait(120) == 0
    until(lambda: gone(layout), "the end of the node", 60)
    assert remains(layout) == []
    assert traces() == before


def test_a_start_that_was_killed_is_cleaned_up(before: Traces) -> None:
    """By `down`, and as well by the next `up`."""
    layout = node_layout()
    cleaners: tuple[Callable[[], object], ...] = (nodes.down, lambda: start().wait(120))
    for cleaner in cleaners:
        starter = start()
        until(lambda: "kubelet" in _programs(layout), "a kubelet")
        starter.send_signal(signal.SIGKILL)
        starter.wait(10)
        assert not nodes.is_up(layout)
        cleaner()
    assert nodes.is_up(layout)
    assert nodes.down()
    assert not nodes.down()
    assert remains(layout) == []
    assert traces() == before


def _programs(layout: Layout) -> set[str]:
    state = load(layout)
    return set() if state is None else set(state.programs)
