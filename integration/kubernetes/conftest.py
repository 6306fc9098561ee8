"""The cluster for the session, and a namespace for a test."""

import os
import secrets
from collections.abc import Iterator

import pytest

from integration.cluster.layout import node_layout
from integration.cluster.node import Node, is_up, running_node


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


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests with nodes of their own come first; where there is a cluster already, not at all."""
    own = [item for item in items if item.get_closest_marker("node_life")]
    rest = [item for item in items if item not in own]
    if own and ("KUBECONFIG" in os.environ or is_up(node_layout())):
        config.hook.pytest_deselected(items=own)
        for item in own:
            print(f"not run, needs that there is no cluster yet: {item.name}")
        own = []
    items[:] = own + rest
