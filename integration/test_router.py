"""What a request meets at the router: hosts, policy, headers, bodies (components.md 1.9 to 1.12)."""

import asyncio
import io
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from msgspec.structs import replace

from deis_platform.embedded.ports import free_port
from integration.router_rig import Instance, Rig, plan, route, running, upstreams

pytestmark = pytest.mark.server


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """A router with an empty table."""
    async with running(plan(tmp_path / "router")) as rig:
        yield rig


async def test_unknown_host_is_not_found_and_health_answers(rig: Rig) -> None:
    assert (await rig.get("nobody.localhost"))[0] == 404
    assert (await rig.get("nobody.localhost", "/healthz"))[0] == 200
    assert (await rig.get("nobody.localhost", "/healthz/"))[0] == 200


async def test_routes_change_without_a_reload(rig: Rig) -> None:
    first, second = rig.ports[0], rig.ports[1]
    async with Instance("one", first) as one, Instance("two", second) as two:
        workers = rig.workers()
        await rig.serve("blog", one)
        assert (await rig.get("blog.localhost"))[1]["name"] == "one"
        await rig.put(upstreams("blog", two))
        assert (await rig.get("blog.localhost"))[1]["name"] == "two"
        rig.tell("app.blog", None)
        await rig.applied(rig.revision)
        assert (await rig.get("blog.localhost"))[0] == 404
        assert (await rig.get("blog.localhost", "/healthz"))[0] == 200
        assert rig.workers() == workers


async def test_hosts_are_completed_and_wildcards_match(rig: Rig) -> None:
    async with Instance("one", rig.ports[0]) as one, Instance("two", rig.ports[101]) as two:
        await rig.serve("blog", one, hosts=("blog", "www.example.com", "*.example.com"))
        await rig.serve("deep", two, hosts=("*.deep.example.com", "*.test"))
        for host, name in {
            "any.test": "two",
            "BLOG.localhost:99": "one",
            "www.example.com": "one",
            "a.b.example.com": "one",
            "x.deep.example.com": "two",
        }.items():
            assert (await rig.get(host))[1]["name"] == name
        posted = await rig.get("x.deep.example.com", method="POST", data=b"x")
        assert posted[1]["name"] == "two"
        assert (await rig.get("example.com"))[0] == 404


async def test_without_a_domain_the_first_label_decides(tmp_path: Path) -> None:
    planned = replace(plan(tmp_path / "router"), domain="")
    async with (
        running(planned) as rig,
        Instance("one", rig.ports[0]) as one,
    ):
        await rig.serve("blog", one)
        assert (await rig.get("blog.anything.test"))[1]["name"] == "one"
        assert (await rig.get("deis.anything.test"))[0] == 503
        assert (await rig.get("other.anything.test"))[0] == 404


async def test_the_load_is_spread_evenly(rig: Rig) -> None:
    async with Instance("a", rig.ports[0]) as a, Instance("b", rig.ports[1]) as b:
        await rig.serve("blog", a, b)
        seen = Counter([(await rig.get("blog.localhost"))[1]["name"] for _ in range(200)])
        assert min(seen["a"], seen["b"]) > 60
        assert a.connections + b.connections < 20


async def test_the_application_is_told_who_asked(rig: Rig) -> None:
    async with Instance("one", rig.ports[0]) as one:
        await rig.serve("blog", one)
        port = rig.plan.layout.http.rpartition(":")[2]
        sent = {"X-Forwarded-For": "9.9.9.9", "Host": "Blog.LOCALHOST:81"}
        told = (await rig.get("", headers=sent))[1]["headers"]
        assert told["Host"] == "blog.localhost"
        assert told["X-Forwarded-For"] == "127.0.0.1"
        assert told["X-Forwarded-Proto"] == "http"
        assert told["X-Forwarded-Port"] == port
        assert "X-Real-IP" not in told
        sent = {"X-Forwarded-Proto": "http, https", "X-Forwarded-Port": "443"}
        told = (await rig.get("blog.localhost", headers=sent))[1]["headers"]
        assert (told["X-Forwarded-Proto"], told["X-Forwarded-Port"]) == ("https", "443")
        told = (await rig.get("blog.localhost", headers={"X-Forwarded-Proto": "gopher"}))[1]
        assert told["headers"]["X-Forwarded-Proto"] == "http"


async def test_the_path_arrives_as_it_was_sent(rig: Rig) -> None:
    async with Instance("one", rig.ports[0]) as one:
        await rig.serve("blog", one)
        reader, writer = await asyncio.open_connection(*rig.plan.layout.http.split(":"))
        writer.write(b"GET /a//b/%2e%2F?q=%20 HTTP/1.1\r\nHost: blog.localhost\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.read(len(head) + 2000)
        writer.close()
        assert b'"path": "/a//b/%2e%2F?q=%20"' in body


async def test_an_application_with_nothing_up_shows_a_page(rig: Rig) -> None:
    await rig.put(route("blog"))
    status, page = await rig.get("blog.localhost", "/any")
    assert status == 503
    assert "No instance" in page
    async with rig.request("blog.localhost", method="POST", data=b"x" * 100_000) as answer:
        assert answer.status == 503
        assert int(answer.headers["Retry-After"]) > 0


async def test_not_routable_is_not_found(rig: Rig) -> None:
    await rig.put(route("blog", routable=False))
    assert (await rig.get("blog.localhost"))[0] == 404


async def test_maintenance_comes_before_the_allow_list(rig: Rig) -> None:
    async with Instance("one", rig.ports[0]) as one:
        await rig.serve("blog", one, maintenance=True, allow=("10.0.0.0/8",))
        status, page = await rig.get("blog.localhost")
        assert status == 503
        assert "Maintenance" in page
        await rig.put(route("blog", allow=("10.0.0.0/8",)))
        assert (await rig.get("blog.localhost"))[0] == 403
        await rig.put(route("blog", allow=("10.0.0.0/8", "127.0.0.0/30")))
        assert (await rig.get("blog.localhost"))[0] == 200
        posted = await rig.get("blog.localhost", method="POST", data=b"abc")
        assert posted[1]["length"] == 3
        await rig.put(route("blog", allow=("not-an-address",)))
        assert (await rig.get("blog.localhost"))[0] == 403
        await rig.put(route("blog"))
        assert (await rig.get("blog.localhost"))[0] == 200


async def test_https_can_be_enforced(rig: Rig) -> None:
    async with Instance("one", rig.ports[0]) as one:
        await rig.serve("blog", one, enforce_https=True, allow=("10.0.0.0/8",))
        port = rig.plan.layout.https.rpartition(":")[2]
        async with rig.request("blog.localhost", "/x?y=1") as answer:
            assert answer.status == 301
            assert answer.headers["Location"] == f"https://blog.localhost:{port}/x?y=1"
        await rig.put(route("blog", enforce_https=True))
        behind_a_balancer = {"X-Forwarded-Proto": "https"}
        assert (await rig.get("blog.localhost", headers=behind_a_balancer))[0] == 200
        async with rig.request("blog.localhost", headers={"X-Forwarded-Proto": "ws"}) as answer:
            assert answer.headers["Location"].startswith("wss://")


async def test_tls_with_the_platform_certificate(rig: Rig) -> None:
    insecure = ssl.create_default_context()
    insecure.check_hostname = False
    insecure.verify_mode = ssl.CERT_NONE
    https = f"https://{rig.plan.layout.https}/"
    async with Instance("one", rig.ports[0]) as one:
        await rig.serve("blog", one, hosts=("blog", "www.example.com"), enforce_https=True)
        async with rig.session.get(
            https, headers={"Host": "blog.localhost"}, ssl=insecure
        ) as answer:
            told = (await answer.json())["headers"]
        assert told["X-Forwarded-Proto"] == "https"
        # A name of one's own is not served over TLS with somebody else's certificate.
        headers = {"Host": "www.example.com"}
        async with rig.session.get(https, headers=headers, ssl=insecure) as answer:
            assert answer.status == 404


async def test_the_api_is_behind_the_same_port(tmp_path: Path) -> None:
    planned = plan(tmp_path / "router")
    async with running(planned) as rig:
        assert (await rig.get("deis.localhost", "/v2/"))[0] == 503
        async with rig.request("deis.localhost") as answer:
            assert answer.headers["Retry-After"] == "1"
        port = int(planned.layout.api.rpartition(":")[2])
        async with Instance("api", port):
            body = b"x" * 200_000
            status, told = await rig.get("deis.localhost", "/v2/a?b=c", method="POST", data=body)
            assert (status, told["length"], told["path"]) == (200, len(body), "/v2/a?b=c")
            assert told["headers"]["Host"] == "deis.localhost"
            await rig.put(route("thief", hosts=("deis",)))
            assert (await rig.get("deis.localhost"))[1]["name"] == "api"


async def test_large_bodies_pass(rig: Rig) -> None:
    size = 50 * 1024 * 1024
    seen: list[int] = []

    async def count(request: web.Request) -> web.StreamResponse:
        total = 0
        async for chunk in request.content.iter_any():
            total += len(chunk)
        seen.append(total)
        return web.Response(body=b"y" * size)

    async with Instance("one", rig.ports[0], count) as one:
        await rig.serve("blog", one)
        async with rig.request(
            "blog.localhost", method="PUT", data=io.BytesIO(b"x" * size)
        ) as answer:
            assert len(await answer.read()) == size
    assert seen == [size]


async def test_a_streamed_answer_passes_as_it_comes(rig: Rig) -> None:
    more = asyncio.Event()

    async def stream(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(b"first")
        await more.wait()
        await answer.write(b"second")
        return answer

    async with Instance("one", rig.ports[0], stream) as one:
        await rig.serve("blog", one)
        async with rig.request("blog.localhost") as answer:
            assert await answer.content.readexactly(5) == b"first"
            more.set()
            assert await answer.content.read() == b"second"


async def test_a_streamed_answer_without_length_passes_as_it_comes(rig: Rig) -> None:
    more = asyncio.Event()

    async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nfirst")
        await more.wait()
        writer.write(b"second")
        writer.close()

    async with await asyncio.start_server(stream, "127.0.0.1", rig.ports[0]):
        await rig.put(route("blog"), upstreams("blog", Instance("one", rig.ports[0])))
        async with rig.request("blog.localhost") as answer:
            assert await asyncio.wait_for(answer.content.readexactly(5), 20) == b"first"
            more.set()
            assert await answer.content.read() == b"second"


async def test_a_websocket_outlives_a_route_change(rig: Rig) -> None:
    async def echo(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str("echo " + str(message.data))
        return socket

    async with Instance("one", rig.ports[0], echo) as one, Instance("two", rig.ports[1]) as two:
        await rig.serve("chat", one)
        async with rig.session.ws_connect(
            rig.base + "/", headers={"Host": "chat.localhost"}
        ) as socket:
            await socket.send_str("a")
            assert await socket.receive_str() == "echo a"
            await rig.put(upstreams("chat", two))
            assert (await rig.get("chat.localhost"))[1]["name"] == "two"
            await socket.send_str("b")
            assert await socket.receive_str() == "echo b"


async def test_a_wrong_entry_costs_only_its_app(rig: Rig) -> None:
    async with Instance("one", rig.ports[0]) as one:
        await rig.serve("good", one)
        rig.tell("app.bad", b"{not json")
        rig.tell("up.bad", b'{"app":"other"}')
        await rig.put(route("odd", hosts=("odd", "a b", "x;return 200", "$host", "good")))
        assert (await rig.get("good.localhost"))[1]["name"] == "one"
        assert (await rig.get("odd.localhost"))[0] == 503
        assert (await rig.get("bad.localhost"))[0] == 404


async def test_an_address_outside_the_pool_is_never_asked(rig: Rig) -> None:
    async with Instance("one", free_port()) as one:
        assert one.port not in rig.ports
        await rig.serve("blog", one)
        assert (await rig.get("blog.localhost"))[0] == 503


async def test_several_workers_share_the_table(tmp_path: Path) -> None:
    async with (
        running(plan(tmp_path / "router", workers=2)) as rig,
        Instance("one", rig.ports[0]) as one,
    ):
        await rig.serve("blog", one)
        for _ in range(20):
            async with (
                aiohttp.ClientSession() as fresh,
                fresh.get(rig.base, headers={"Host": "blog.localhost"}) as answer,
            ):
                assert answer.status == 200
