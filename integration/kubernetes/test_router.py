"""The router beside a real API server: what is written there is what a request meets, soon."""

import time
from contextlib import AsyncExitStack
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from deis_platform.kubernetes import Kubernetes, View, kinds
from integration.cluster.node import Node
from integration.kubernetes.door_rig import compact
from integration.kubernetes.pods import PORT
from integration.kubernetes.router_fixtures import WithRouter, shown
from integration.kubernetes.router_rig import (
    Page,
    Places,
    Relay,
    RouterProcess,
    apply,
    certificate,
    endpoints,
    service,
    until,
)
from integration.test_router_certificates import pair
from integration.traffic import traffic
from tests.unit.deis_services.router.test_certs import of_no_version

pytestmark = pytest.mark.kubernetes


async def of_age(api: Kubernetes, namespace: str, name: str) -> None:
    """Wait until a Service made now is younger than this one: ages are whole seconds."""
    made = (await api.get(kinds.SERVICE, name, namespace, view=View)).metadata.creation_timestamp
    born = datetime.fromisoformat(made).timestamp()
    await until(lambda: time.time() >= born + 1)


SERVER = """
import http.server, os, signal, threading
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = os.environ["HOSTNAME"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words):
        pass
server = http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Answer)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
server.serve_forever()
"""


async def _all_are(api: Kubernetes, namespace: str, version: str) -> bool:
    """Whether two pods run, both of this version, and none is about to end."""
    found = (await api.list(kinds.POD, namespace, view=View)).items
    return len(found) == 2 and all(
        pod.metadata.annotations.get("version") == version for pod in found
    )


class TestRouter(WithRouter):
    async def test_what_a_service_says_is_what_a_request_meets(
        self, api: Kubernetes, places: Places, router: RouterProcess, page: Page
    ) -> None:
        host = f"blog.{places.platform}.test"
        assert (await router.get(host))[0] == 404
        await apply(api, service(places.app, "blog", domains="blog,www.blog.test"))
        await router.shows(host, 503, "No instance")
        await apply(api, endpoints(places.app, "blog", page))
        await router.shows(host, 200, "one")
        await router.shows("www.blog.test", 200, "one")
        await apply(api, service(places.app, "blog", domains="blog", maintenance="True"))
        await router.shows(host, 503, "Maintenance")
        await router.shows("www.blog.test", 404)
        await apply(api, service(places.app, "blog", domains="blog", whitelist="10.0.0.0/8"))
        await router.shows(host, 403)
        await apply(api, service(places.app, "blog", domains="blog", ssl_enforce="true"))
        await router.shows(host, 301)
        await apply(api, service(places.app, "blog", domains="blog", tcpTimeout="10s"))
        await router.shows(host, 200, "one")
        await api.patch(
            kinds.SERVICE,
            "blog",
            places.app,
            {"metadata": {"labels": {"router.deis.io/routable": None}}},
        )
        await router.shows(host, 404)

    async def test_an_instance_that_is_about_to_end_is_out_at_once(
        self, api: Kubernetes, places: Places, router: RouterProcess, node: Node
    ) -> None:
        host = f"blog.{places.platform}.test"
        async with Page("old", node.host_address) as old, Page("new", node.host_address) as new:
            await apply(api, service(places.app, "blog", domains="blog"))
            await apply(api, endpoints(places.app, "blog", old))
            await router.shows(host, 200, "old")
            await apply(api, endpoints(places.app, "blog", new))
            await apply(api, endpoints(places.app, "blog", out=[old]))
            await router.shows(host, 200, "new")
            for _ in range(50):
                assert await router.get(host) == (200, "new")
            # A port of another name is another port.
            await apply(api, endpoints(places.app, "blog", new, port="metrics"))
            await router.shows(host, 503)

    async def test_nonsense_costs_only_who_says_it(
        self, api: Kubernetes, places: Places, router: RouterProcess, node: Node, page: Page
    ) -> None:
        host = f"good.{places.platform}.test"
        async with Page("thief", node.host_address) as thief:
            await apply(api, service(places.app, "good", domains="good"))
            await apply(api, endpoints(places.app, "good", page))
            await router.shows(host, 200, "one")
            await of_age(api, places.app, "good")
            await apply(
                api,
                service(
                    places.other,
                    "bad",
                    domains="good,a b,x;return 200,bad",
                    certificates="nothing",
                    whitelist="all of you",
                    connectTimeout="soon",
                    nginx_proxyBuffers_size="-1}",
                    proxyDomain="good",
                    proxyLocations="/x",
                ),
                endpoints(places.other, "bad", thief),
            )
            await router.shows(f"bad.{places.platform}.test", 403)
            for path in ("/", "/x"):
                assert await router.get(host, path) == (200, "one")
            await until(lambda: f"{host} is held by {places.app}/good" in router.log.read_text())
            # Who is next in age has it once the older one lets go.
            await apply(api, service(places.other, "bad", domains="good"))
            await api.delete(kinds.SERVICE, "good", places.app)
            await router.shows(host, 200, "thief")
            await of_age(api, places.other, "bad")
            await apply(api, service(places.app, "good", domains="good"))
            await until(lambda: f"{host} is held by {places.other}/bad" in router.log.read_text())
            assert await router.get(host) == (200, "thief")

    async def test_a_certificate_that_does_not_fit_costs_only_its_name(
        self, api: Kubernetes, places: Places, router: RouterProcess, page: Page
    ) -> None:
        a, b = pair("a.example.com"), pair("b.example.com")
        domains = "a.example.com,b.example.com,own"
        said = {"domains": domains, "certificates": "a.example.com:first,b.example.com:second"}
        await apply(
            api,
            service(places.app, "blog", **said),
            endpoints(places.app, "blog", page),
            certificate(places.certificates, "first-cert", a),
            certificate(places.certificates, "second-cert", b),
        )

        async def statuses() -> list[int]:
            own = f"own.{places.platform}.test"
            return [
                (await shown(router, name))[0] for name in ("a.example.com", "b.example.com", own)
            ]

        async def become(*wanted: int) -> None:
            async def holds() -> bool:
                return await statuses() == list(wanted)

            await until(holds)

        await become(200, 200, 404)
        for wrong in (
            (a[0], b[1]),
            (of_no_version(a[0]), a[1]),
            ("no certificate", a[1]),
            ("", ""),
        ):
            await apply(api, certificate(places.certificates, "first-cert", wrong))
            await become(404, 200, 404)
            await apply(api, certificate(places.certificates, "first-cert", a))
            await become(200, 200, 404)
        assert a[1] not in router.log.read_text()
        renewed = pair("a.example.com")
        before = (await shown(router, "a.example.com"))[1]
        await apply(api, certificate(places.certificates, "first-cert", renewed))

        async def replaced() -> bool:
            return (await shown(router, "a.example.com"))[1] != before

        await until(replaced)
        await apply(api, certificate(places.platform, "deis-router-platform-cert", pair("x.test")))
        await become(200, 200, 200)

    async def test_routes_stand_while_the_api_server_is_away(
        self, api: Kubernetes, places: Places, node: Node, tmp_path: Path
    ) -> None:
        host = f"blog.{places.platform}.test"
        relay = Relay(node.kubeconfig, tmp_path)
        await relay.open()
        async with AsyncExitStack() as stack:
            old = await stack.enter_async_context(Page("old", node.host_address))
            new = await stack.enter_async_context(Page("new", node.host_address))
            await apply(api, service(places.app, "blog", domains="blog"))
            await apply(api, endpoints(places.app, "blog", old))
            router = RouterProcess(tmp_path, relay.kubeconfig, places)
            await stack.enter_async_context(router.running())
            await router.shows(host, 200, "old")
            await relay.close()
            assert await router.get(host) == (200, "old")
            # Killed and started again without an API server, it has its last good table.
            await router.kill()
            await router.start()
            await router.until_ready()
            assert await router.get(host) == (200, "old")
            await apply(
                api, endpoints(places.app, "blog", new), service(places.app, "more", domains="m")
            )
            await api.delete(kinds.ENDPOINT_SLICE, f"blog-{old.port}", places.app)
            compact(node)  # what was missed cannot be watched any more
            await relay.open()
            await router.shows(host, 200, "new")
            await router.shows(f"m.{places.platform}.test", 503)
            await relay.close()

    @pytest.mark.own_node
    async def test_a_watch_that_is_too_old_begins_anew(
        self, api: Kubernetes, places: Places, node: Node, tmp_path: Path, page: Page
    ) -> None:
        relay = Relay(node.kubeconfig, tmp_path)
        await relay.open()
        async with RouterProcess(tmp_path, relay.kubeconfig, places).running() as router:
            await apply(api, service(places.app, "gone", domains="gone"))
            await router.shows(f"gone.{places.platform}.test", 503)
            await relay.close()
            await api.delete(kinds.SERVICE, "gone", places.app)
            await apply(api, service(places.app, "blog", domains="blog"))
            await apply(api, endpoints(places.app, "blog", page))
            compact(node)
            await relay.open()
            await router.shows(f"blog.{places.platform}.test", 200, "one")
            await router.shows(f"gone.{places.platform}.test", 404)
            await relay.close()

    async def test_replicas_agree(
        self, api: Kubernetes, places: Places, node: Node, tmp_path: Path, page: Page
    ) -> None:
        folders = [tmp_path / str(number) for number in range(3)]
        async with AsyncExitStack() as stack:
            routers = []
            for folder in folders:
                folder.mkdir()
                one = RouterProcess(folder, node.kubeconfig, places)
                routers.append(await stack.enter_async_context(one.running()))
            await apply(api, service(places.other, "first", domains="blog"))
            await of_age(api, places.other, "first")
            await apply(api, service(places.app, "blog", domains="blog", tcpTimeout="5s"))
            await apply(api, endpoints(places.other, "first", page))
            for router in routers:
                await router.shows(f"blog.{places.platform}.test", 200, "one")
            # One that starts later, and hears of both at once, gives the name to the same one.
            await routers[0].kill()
            await routers[0].start()
            await routers[0].until_ready()
            assert await routers[0].get(f"blog.{places.platform}.test") == (200, "one")

    @pytest.mark.timeout(240)
    @pytest.mark.own_node
    async def test_no_request_fails_while_pods_are_rolled(
        self, api: Kubernetes, places: Places, router: RouterProcess, node: Node
    ) -> None:
        labels = {"app": "web"}
        container: dict[str, Any] = {
            "name": "web",
            "image": node.base_image,
            "command": ["python3", "-c", SERVER],
            "env": [{"name": "PORT", "value": str(PORT)}],
            "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
            "lifecycle": {"preStop": {"exec": {"command": ["sleep", "3"]}}},
        }
        routed = service(places.app, "web", domains="web")
        routed["spec"] = {
            "selector": labels,
            "ports": [{"name": "http", "port": 80, "targetPort": PORT}],
        }
        workload: dict[str, Any] = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web", "namespace": places.app},
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": labels},
                "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"terminationGracePeriodSeconds": 10, "containers": [container]},
                },
            },
        }
        await apply(api, routed, workload)
        host = f"web.{places.platform}.test"
        await router.shows(host, 200)
        async with traffic(router.port, host) as seen:
            for version in "123":
                workload["spec"]["template"]["metadata"]["annotations"] = {"version": version}
                await apply(api, workload)
                await until(partial(_all_are, api, places.app, version))
                await seen.some_more(50)
        assert seen.failures == []
        assert len(seen.bodies) >= 6
