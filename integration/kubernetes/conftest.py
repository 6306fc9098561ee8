"""The cluster for the session, and a namespace for a test."""

import secrets
from collections.abc import Iterator

import pytest

from integration.cluster.node import Node, running_node


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
