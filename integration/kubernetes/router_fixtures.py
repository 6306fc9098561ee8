"""Fixtures of the router's tests beside a real API server: namespaces, a router, a page."""

import asyncio
import secrets
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deis_platform.groups import KubernetesSettings
from deis_platform.kubernetes import Kubernetes, kinds, open_kubernetes
from integration.cluster.node import Node
from integration.kubernetes.router_rig import (
    Page,
    Places,
    RouterProcess,
)


class WithRouter:
    """Tests that have a router of their own."""

    @pytest.fixture
    async def api(self, node: Node) -> AsyncIterator[Kubernetes]:
        async with open_kubernetes(KubernetesSettings(kubeconfig=str(node.kubeconfig))) as opened:
            yield opened

    @pytest.fixture
    async def places(self, api: Kubernetes) -> AsyncIterator[Places]:
        """Namespaces of the test's own; their end is not waited for."""
        made = Places(f"t-router-{secrets.token_hex(4)}")
        for name in made.all():
            await api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        yield made
        for name in made.all():
            await api.delete(kinds.NAMESPACE, name)

    @pytest.fixture
    async def router(
        self, node: Node, places: Places, tmp_path: Path
    ) -> AsyncIterator[RouterProcess]:
        async with RouterProcess(tmp_path, node.kubeconfig, places).running() as running:
            yield running

    @pytest.fixture
    async def page(self, node: Node) -> AsyncIterator[Page]:
        async with Page("one", node.host_address) as serving:
            yield serving


async def shown(router: RouterProcess, name: str) -> tuple[int, bytes]:
    """Status over TLS, and the certificate that was shown."""
    trusting = ssl.create_default_context()
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE
    address, _, port = router.https.rpartition(":")
    reader, writer = await asyncio.open_connection(
        address, int(port), ssl=trusting, server_hostname=name
    )
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.write(f"GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
    status = int((await reader.readline()).split()[1])
    await reader.read()
    writer.close()
    return status, der
