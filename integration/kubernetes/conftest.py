"""The cluster for the session, and a namespace for a test."""

import contextlib
import dataclasses
import os
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from integration.cluster.errors import ClusterError
from integration.cluster.layout import cache, node_layout
from integration.cluster.locks import locked
from integration.cluster.node import Node, is_up, running_node
from integration.kubernetes.installed import HOUSE, check_free, images
from integration.kubernetes.platform import ClusterPlatform, cluster_platform
from integration.kubernetes.victims import steady


@pytest.fixture(scope="session")
def node() -> Iterator[Node]:
    """The cluster of $KUBECONFIG, else the node that is up (it stays), else one for the session.

    Where none can be had, the session ends with one sentence.
    """
    with contextlib.ExitStack() as stack:
        try:
            running = stack.enter_context(running_node())
            if running.layout is None:
                check_free(running)
                # What has bash and Python there: an image of our own.
                prefix, tag = images(running)
                running = dataclasses.replace(running, base_image=f"{prefix}/stack:{tag}")
        except ClusterError as fault:
            pytest.exit(f"cluster: {fault}", returncode=1)
        yield running


@pytest.fixture
def namespace(node: Node) -> Iterator[str]:
    """A namespace of the test's own. Its end is not waited for: another test takes another."""
    name = f"test-{secrets.token_hex(4)}"
    node.kube("create", "namespace", name)
    yield name
    node.kube("delete", "namespace", name, "--wait=false")


@pytest.fixture
def steadied(node: Node) -> Iterator[None]:
    """For a test that disturbs the node: the next one finds the platform as it was."""
    yield
    steady(node)


@pytest.fixture(scope="session")
def stack_image(node: Node) -> str:
    """The image that builds and runs slugs, of this tree, as pods of the node name it."""
    prefix, tag = images(node)
    return f"{prefix}/stack:{tag}"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Of tests that run beside each other, one that disturbs the node has it for itself.

    Outside the test, so that waiting is none of its time.
    """
    if os.environ.get("PYTEST_XDIST_WORKER"):
        with locked(cache() / "tests.lock", shared=not item.get_closest_marker("disturbs")):
            return (yield)
    return (yield)


class _TwoGroups(LoadScopeScheduling):  # type: ignore[misc]
    """Modules that use the installed platform are one worker's, all others another's."""

    def _split_scope(self, nodeid: str) -> str:
        text = (HOUSE / nodeid.partition("::")[0]).read_text()
        return "platform" if ClusterPlatform.__name__ in text else "node"


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """For `-n 2`. Not by marks: xdist cannot read groups off the ids of this pytest."""
    return _TwoGroups(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests with nodes of their own come first; where there is a cluster already, not at all.
    Who takes the platform down comes last.

    On the cluster of $KUBECONFIG those are left out too that need the machine of our node.
    """
    own = [item for item in items if item.get_closest_marker("node_life")]
    last = [item for item in items if item.get_closest_marker("takes_down")]
    rest = [item for item in items if item not in own and item not in last] + last
    given = bool(os.environ.get("KUBECONFIG"))
    left_out = {"needs that there is no cluster yet": own if given or is_up(node_layout()) else []}
    if given:
        left_out["needs the machine of our own node"] = [
            item for item in rest if item.get_closest_marker("own_node")
        ]
    chosen = [item for item in own + rest if not any(item in some for some in left_out.values())]
    for why, some in left_out.items():
        config.hook.pytest_deselected(items=some)
        for item in some:  # by the terminal: what is printed here is not shown
            config.get_terminal_writer().line(f"not run, {why}: {item.name}")
    items[:] = chosen


@pytest.fixture(scope="session")
def platform(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterPlatform]:
    """The platform, installed with Helm for all tests of the session that use it."""
    with cluster_platform(tmp_path_factory.mktemp("platform"), node) as running:
        yield running
