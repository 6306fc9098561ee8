"""Settings that change nginx while it runs (components.md 1.5 to 1.11, decision 0021), on instances as
on Kubernetes."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from aiohttp import web
from multidict import CIMultiDict

from deis_services.router.annotations import PREFIX, router_settings
from deis_services.router.model import TUNING_KEY
from deis_services.router.policy import Profile
from integration.router_pods import pod, route, say, tune, up
from integration.router_rig import Rig, eventually, pods_plan, running
from integration.traffic import traffic

pytestmark = pytest.mark.server


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """A router with an empty table."""
    async with running(pods_plan(tmp_path / "router")) as rig:
        yield rig


async def test_the_access_log_has_fourteen_fields(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    planned = pods_plan(tmp_path / "router", access_log=str(path))
    async with running(planned) as rig, pod("one") as one:
        await rig.put(route("blog/web#x", hosts=("blog", "*.w.org")), up("blog/web#x", one))
        await rig.get("nobody.localhost", "/healthz")
        await rig.get("blog.localhost", "/a?b", headers={"User-Agent": "me"})
        await rig.get("a.w.org")
        await rig.get("nobody.localhost", "/x")
        await eventually(lambda: path.exists() and path.read_text().count("\n") == 3)
        lines = [line.split(" - ") for line in path.read_text().splitlines()]
    first = lines[0]
    assert [line[1] for line in lines] == ["blog/web", "blog/web", "router-default-vhost"]
    assert len(first) == 14
    assert first[2:10] == [
        "127.0.0.1", "-", "200", '"GET /a?b HTTP/1.1"', first[6], '"-"', '"me"', '"blog.localhost"',
    ]  # fmt: skip
    assert int(first[6]) > 0
    assert first[10].endswith(one.address)


async def test_timeouts_of_one_application_are_its_own(rig: Rig) -> None:
    never = asyncio.Event()

    async def slow(_: web.Request) -> web.StreamResponse:
        await never.wait()
        return web.Response()

    async with pod("slow", slow) as instance, pod("one") as one:
        await rig.put(route("plain"), up("plain", one))
        profile = Profile(idle_ms=100, referrer="origin", request_start=False)
        rig.tell("up.slow", msgspec.json.encode(up("slow", instance)))
        await say(rig, "app.slow", route("slow", profile=profile))
        workers = rig.workers()
        assert (await rig.get("slow.localhost"))[0] == 504
        assert (await rig.get("slow.localhost", method="POST", data=b"x"))[0] == 504
        assert (await rig.get("plain.localhost"))[0] == 200
        # The same wishes of another application need no other configuration.
        await rig.put(route("more", profile=profile), up("more", one))
        async with rig.request("more.localhost") as answer:
            assert answer.headers["Referrer-Policy"] == "origin"
        assert rig.workers() == workers
        never.set()


async def test_a_websocket_outlives_another_configuration(rig: Rig) -> None:
    async def echo(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str("echo " + str(message.data))
        return socket

    async with pod("chat", echo) as chat:
        await rig.put(route("chat"), up("chat", chat))
        headers = {"Host": "chat.localhost"}
        async with rig.session.ws_connect(rig.base + "/", headers=headers) as socket:
            await socket.send_str("a")
            assert await socket.receive_str() == "echo a"
            await tune(rig, requestIDs="true", alone=False)
            await socket.send_str("b")
            assert await socket.receive_str() == "echo b"


async def test_request_ids_and_start_times(rig: Rig) -> None:
    async with pod("one") as one:
        await rig.put(route("blog"), up("blog", one))
        await tune(rig, requestIDs="true", requestStartHeader="true", referrerPolicy="same-origin")
        async with rig.request("blog.localhost", headers={"X-Correlation-Id": "c"}) as answer:
            told = CIMultiDict((await answer.json())["headers"])
            assert answer.headers["X-Request-Id"] == told["X-Request-Id"]
            assert answer.headers["Referrer-Policy"] == "same-origin"
        assert len(told["X-Request-Id"]) == 32
        assert told["X-Correlation-Id"] == f"c,{told['X-Request-Id']}"
        assert float(told["X-Request-Start"].removeprefix("t=")) > 1e9
        async with rig.request("nothing.localhost") as answer:
            assert len(answer.headers["X-Request-Id"]) == 32
        profile = Profile(request_start=False, referrer="none")
        await say(rig, "app.blog", route("blog", profile=profile))
        async with rig.request("blog.localhost") as answer:
            told = CIMultiDict((await answer.json())["headers"])
            assert "Referrer-Policy" not in answer.headers
        assert "X-Request-Start" not in told
        assert len(told["X-Request-Id"]) == 32


async def test_limits_and_lists_of_the_router(rig: Rig) -> None:
    async with pod("one") as one:
        await rig.put(route("blog"), up("blog", one))
        await tune(rig, bodySize="1k", enforceWhitelists="true")
        assert (await rig.get("blog.localhost"))[0] == 403
        await rig.put(route("blog", maintenance=True))
        assert (await rig.get("blog.localhost"))[0] == 503
        await rig.put(route("blog"))
        await tune(rig, bodySize="1k", defaultWhitelist="127.0.0.1")
        assert (await rig.get("blog.localhost"))[0] == 200
        assert (await rig.get("blog.localhost", method="POST", data=b"x" * 2000))[0] == 413
        await rig.put(route("blog", allow=("10.0.0.0/8",)))
        assert (await rig.get("blog.localhost"))[0] == 200
        await tune(rig, defaultWhitelist="127.0.0.1", whitelistMode="override")
        assert (await rig.get("blog.localhost"))[0] == 403


async def test_the_domain_is_a_setting_of_the_router(rig: Rig) -> None:
    async with pod("one") as one:
        await rig.put(route("blog"), up("blog", one))
        await tune(rig, platformDomain="example.com")
        assert (await rig.get("blog.example.com"))[0] == 200
        assert (await rig.get("blog.localhost"))[0] == 404
        rig.tell(TUNING_KEY, None)
        await rig.applied(rig.revision)
        assert (await rig.get("blog.localhost"))[0] == 200


async def test_addresses_of_clients_behind_a_balancer(rig: Rig) -> None:
    async with pod("one") as one:
        await rig.put(route("blog", allow=("9.9.9.9",)), up("blog", one))
        forwarded = {"X-Forwarded-For": "9.9.9.9"}
        assert (await rig.get("blog.localhost", headers=forwarded))[0] == 403
        await tune(rig, proxyRealIpCidrs="127.0.0.0/8")
        told = (await rig.get("blog.localhost", headers=forwarded))[1]["headers"]
        assert told["X-Forwarded-For"] == "9.9.9.9"
        spoofed = {"X-Forwarded-For": "9.9.9.9, 8.8.8.8"}
        assert (await rig.get("blog.localhost", headers=spoofed))[0] == 403


async def test_the_proxy_protocol_tells_who_asked(rig: Rig) -> None:
    async with pod("one") as one:
        await rig.put(route("blog"), up("blog", one))
        await tune(rig, useProxyProtocol="true", proxyRealIpCidrs="127.0.0.0/8")
        reader, writer = await asyncio.open_connection(*rig.plan.layout.http.split(":"))
        writer.write(b"PROXY TCP4 9.8.7.6 127.0.0.1 1 80\r\n")
        writer.write(b"GET / HTTP/1.1\r\nHost: blog.localhost\r\nConnection: close\r\n\r\n")
        assert b'"X-Forwarded-For": "9.8.7.6"' in await reader.read()
        writer.close()
        async with rig.session.get(f"http://{rig.plan.layout.health}/healthz") as answer:
            assert answer.status == 200


async def test_what_nginx_refuses_costs_only_itself(rig: Rig) -> None:
    async with pod("one") as one:
        await rig.put(route("blog"), up("blog", one))
        tuning, _ = router_settings(
            {f"{PREFIX}nginx.ssl.ciphers": "NONSENSE", f"{PREFIX}nginx.requestIDs": "true"}
        )
        rig.tell(TUNING_KEY, msgspec.json.encode(tuning))
        await eventually(lambda: rig.router.server.nginx.layout.structure.request_ids)
        await eventually(lambda: len(rig.workers()) == 1)
        async with rig.request("blog.localhost") as answer:
            assert answer.status == 200
            assert "X-Request-Id" in answer.headers
        assert rig.router.server.nginx.layout.structure.ssl_ciphers == ""
        # Others can still change theirs.
        await tune(rig, requestIDs="true", bodySize="1k")
        assert (await rig.get("blog.localhost", method="POST", data=b"x" * 2000))[0] == 413


async def test_unknown_hosts_may_go_to_a_fallback(rig: Rig) -> None:
    unknown = await rig.get("nobody.localhost")
    assert unknown[0] == 404
    # What answers on port 80 there, if anything does, is seen on a cluster only
    # (integration/kubernetes/test_router_settings.py): here, that our own page is not.
    await tune(rig, defaultServiceEnabled="true", defaultServiceIP="127.0.0.1")
    assert await rig.get("nobody.localhost") != unknown
    assert (await rig.get("nobody.localhost", "/healthz"))[0] == 200
    assert "proxy_pass http://127.0.0.1:80;" in (rig.plan.folder / "nginx.conf").read_text()


async def test_compressed_pages_still_come_piece_by_piece(rig: Rig) -> None:
    more = asyncio.Event()

    async def stream(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await answer.prepare(request)
        await answer.write(b"first" * 100)
        await more.wait()
        await answer.write(b"second" * 100)
        return answer

    async with pod("one", stream) as one:
        await rig.put(route("blog"), up("blog", one))
        async with rig.request("blog.localhost", headers={"Accept-Encoding": "gzip"}) as answer:
            assert answer.headers["Content-Encoding"] == "gzip"
            assert (await answer.content.readexactly(500)) == b"first" * 100
            more.set()
            assert (await answer.content.read()) == b"second" * 100


async def test_no_request_fails_while_nginx_takes_over_other_settings(rig: Rig) -> None:
    port = int(rig.plan.layout.http.rpartition(":")[2])
    async with pod("one") as one:
        await rig.put(route("blog"), up("blog", one))
        async with traffic(port, "blog.localhost") as seen:
            for size in ("2m", "3m"):
                await tune(rig, bodySize=size)
                await seen.some_more(50)
        assert seen.failures == []
