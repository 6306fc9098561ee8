"""What the router itself is told, and what it tells, beside a real API server."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deis_bus.routes import AppRoute
from deis_platform.embedded.ports import free_port
from deis_platform.kubernetes import Kubernetes, kinds
from deis_services.controller.first_page import FirstPage
from deis_services.controller.model import App
from deis_services.router.views import ServiceView
from integration.cluster.node import Node
from integration.kubernetes.router_fixtures import WithRouter, shown
from integration.kubernetes.router_rig import (
    GIVE_UP_SECONDS,
    Page,
    Places,
    RouterProcess,
    apply,
    deployment,
    endpoints,
    service,
    until,
)

pytestmark = pytest.mark.kubernetes


class TestSettings(WithRouter):
    async def test_a_first_deploy_waits_until_the_router_leads_to_it(
        self, api: Kubernetes, places: Places, router: RouterProcess, page: Page
    ) -> None:
        made = datetime.now(UTC)
        blog = App(
            uuid="u",
            id="blog",
            owner_id=1,
            owner="ada",
            structure={"web": 1},
            created=made,
            updated=made,
        )
        route = AppRoute(app="blog", appuuid="u", hosts=("blog",))
        first = FirstPage(f"http://{router.http}", f"{places.platform}.test", GIVE_UP_SECONDS)
        host = f"blog.{places.platform}.test"
        await router.shows(host, 404)  # what the test before had is forgotten
        seeing = asyncio.create_task(first.seen(blog, route))
        await apply(api, service(places.app, "blog", domains="blog"))
        await router.shows(host, 503)
        assert not seeing.done()
        await apply(api, endpoints(places.app, "blog", page))
        assert await seeing
        assert await router.get(host) == (200, "one")

    async def test_the_routers_own_annotations(
        self, api: Kubernetes, places: Places, router: RouterProcess, page: Page
    ) -> None:
        await apply(api, service(places.app, "blog", domains="blog"))
        await apply(api, endpoints(places.app, "blog", page))
        await router.shows(f"blog.{places.platform}.test", 200)
        said = {"platformDomain": "example.org", "bodySize": "1k", "ssl_ciphers": "NONSENSE"}
        await apply(api, deployment(places.platform, **said, gzip_compLevel="99"))
        await router.shows("blog.example.org", 200)
        await router.shows("blog.example.org", 413, method="POST", data=b"x" * 2000)
        assert "nginx.gzip.compLevel" in router.log.read_text()
        assert "ssl_ciphers" in router.log.read_text()
        await apply(api, deployment(places.platform, enforceWhitelists="true"))
        await router.shows(f"blog.{places.platform}.test", 403)

    async def test_unknown_hosts_get_the_page_of_the_fallback(
        self, api: Kubernetes, places: Places, router: RouterProcess, page: Page
    ) -> None:
        """A Service's own address has a port 80, wherever its pods listen."""
        fallback = service(places.other, "fallback")
        fallback["metadata"]["labels"] = {}
        await apply(api, fallback, endpoints(places.other, "fallback", page))
        view = await api.get(kinds.SERVICE, "fallback", places.other, view=ServiceView)
        assert (await router.get("nobody.test"))[0] == 404
        said = {"defaultServiceEnabled": "true", "defaultServiceIP": view.spec.cluster_ip}
        await apply(api, deployment(places.platform, **said))
        await router.shows("nobody.test", 200, "one")
        assert (await shown(router, "nobody.test"))[0] == 404

    async def test_statistics_are_for_loopback_whatever_a_header_says(
        self, api: Kubernetes, places: Places, node: Node, tmp_path: Path, page: Page
    ) -> None:
        near, far = "127.0.0.1", node.host_address
        port = free_port("0.0.0.0")
        listening = {"DEIS_ROUTER_HEALTH": f"0.0.0.0:{port}"}
        await apply(api, service(places.app, "blog", domains="blog", whitelist="127.0.0.1"))
        await apply(api, endpoints(places.app, "blog", page))
        async with RouterProcess(
            tmp_path, node.kubeconfig, places, **listening
        ).running() as router:
            router.health = f"{near}:{port}"

            async def status(host: str, path: str, **headers: str) -> int:
                url = f"http://{host}:{port}{path}"
                async with router.session.get(url, headers=headers) as answer:
                    return answer.status

            forged = {"X-Forwarded-For": near}
            await router.shows(f"blog.{places.platform}.test", 200)
            await apply(api, deployment(places.platform, proxyRealIpCidrs="0.0.0.0/0"))
            # In force: who asks is who the header names, so the list lets nobody else in.
            other = {"X-Forwarded-For": "192.0.2.77"}
            await router.shows(f"blog.{places.platform}.test", 403, headers=other)
            for path in ("/stats", "/nginx_status"):
                assert await status(near, path) == 200
                assert await status(near, path, **other) == 200
                assert await status(far, path) == 403
                assert await status(far, path, **forged) == 403
            assert await status(far, "/healthz") == 200

    async def test_git_goes_to_the_builders_service(
        self, api: Kubernetes, places: Places, router: RouterProcess, node: Node
    ) -> None:
        async with Page("git", node.host_address) as git:
            builder = service(places.platform, "deis-builder", nginx_tcpTimeout="10s")
            builder["spec"] = {"ports": [{"name": "http", "port": 2222}]}
            builder["metadata"]["labels"] = {}
            await apply(api, builder, endpoints(places.platform, "deis-builder", git))

            async def answers() -> bool:
                address, _, port = router.git.rpartition(":")
                try:
                    reader, writer = await asyncio.open_connection(address, int(port))
                    writer.write(b"GET / HTTP/1.1\r\n\r\n")
                    head = await reader.readline()
                    writer.close()
                except OSError:
                    return False
                return b"200" in head

            await until(answers)
