"""The cluster for the session, and a namespace for a test."""

import os
import secrets
from collections.abc import Iterator

import pytest

from integration.cluster.layout import node_layout
from integration.cluster.node import Node, is_up, running_node
from integration.kubernetes.installed import images
from integration.kubernetes.platform import ClusterPlatform, cluster_platform


@pytest.fixture(scope="session")
def node() -> Iterator[Node]:
    """The cluster of $KUBECONFIG, else the node that is up (it stays), else one for the session."""
    with running_node() as running:
        yield running


@pytest.fixture
def namespace(node: Node) -> Iterator[str]:
    """A namespace of the test's own. Its end is not waited for: another test takes another."""
    name = f"test-{secrets.token_hex(4)}"
    node.kube("create", "namespace", name)
    yield name
    node.kube("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="session")
def stack_image(node: Node) -> str:
    """The image that builds and runs slugs, of this tree, as pods of the node name it."""
    prefix, tag = images(node)
    return f"{prefix}/stack:{tag}"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests with nodes of their own come first; where there is a cluster already, not at all."""
    own = [item for item in items if item.get_closest_marker("node_life")]
    rest = [item for item in items if item not in own]
    if own and (os.environ.get("KUBECONFIG") or is_up(node_layout())):
        config.hook.pytest_deselected(items=own)
        for item in own:
            print(f"not run, needs that there is no cluster yet: {item.name}")
        own = []
    items[:] = own + rest


@pytest.fixture(scope="session")
def platform(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterPlatform]:
    """The platform, installed with Helm for all tests of the session that use it."""
    with cluster_platform(tmp_path_factory.mktemp("platform"), node) as running:
        yield running
