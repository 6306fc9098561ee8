"""The router as on Kubernetes: instances at any address, settings that change nginx while it runs
(components.md 1.5 to 1.16, decision 0021). The objects that say so are in integration/kubernetes."""

import asyncio
import itertools
import os
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from multidict import CIMultiDict

from deis_bus.routes import Upstreams
from deis_platform.embedded.ports import free_port
from deis_services.router.annotations import PREFIX, router_settings
from deis_services.router.live import RIPE_SECONDS
from deis_services.router.model import BUILDER_KEY, PLATFORM_KEY, TUNING_KEY, Route
from deis_services.router.policy import Builder, Profile
from integration.router_rig import (
    Instance,
    Rig,
    eventually,
    pods_plan,
    running,
)
from integration.test_router_certificates import pair
from integration.traffic import traffic

pytestmark = pytest.mark.server
ADDRESSES = itertools.count(2)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """A router with an empty table."""
    async with running(pods_plan(tmp_path / "router")) as rig:
        yield rig


def pod(name: str, handler: Any = None, *, host: str = "", port: int = 0) -> Instance:
    """An instance with an address of its own, as pods have."""
    number = next(ADDRESSES)
    host = host or f"127.{20 + number // 250}.0.{2 + number % 250}"
    return Instance(name, port or free_port(), handler, host)


def route(app: str, **said: Any) -> Route:
    """A route; the namespace is the application's own unless told otherwise."""
    return Route(**({"app": app, "appuuid": app.partition("/")[0], "hosts": (app,)} | said))


def up(app: str, *instances: Instance | str) -> Upstreams:
    """The instances of an application."""
    addresses = tuple(i if isinstance(i, str) else i.address for i in instances)
    owner = app.partition("/")[0]
    return Upstreams(app=app, appuuid=owner, generation=0, addresses=addresses)


async def tune(rig: Rig, *, alone: bool = True, **settings: str) -> None:
    """Annotate the router, and wait until that is in force."""
    tuning, problems = router_settings(
        {f"{PREFIX}nginx.{key.replace('_', '.')}": text for key, text in settings.items()}
    )
    assert problems == []
    await say(rig, TUNING_KEY, tuning, alone=alone)


async def say(rig: Rig, key: str, value: Any, *, alone: bool = True) -> None:
    """One entry; nginx' configuration follows where it has to. `alone` waits until the worker
    that had the last one is gone: it takes its last connections while the new one starts."""
    rig.tell(key, msgspec.json.encode(value))
    await rig.applied(rig.revision)
    live = rig.router.live
    nginx = rig.router.server.nginx
    await eventually(lambda: nginx.layout == live.layout(rig.base_layout))
    await rig.applied(rig.revision)
    if alone:
        await eventually(lambda: len(rig.workers()) == 1)


async def test_a_pod_is_asked_at_once_and_soon_over_kept_connections(rig: Rig) -> None:
    async with pod("one") as one, pod("two") as two:
        await rig.put(route("blog"), up("blog", one))
        assert (await rig.get("blog.localhost"))[1]["name"] == "one"
        await rig.put(up("blog", two))
        assert (await rig.get("blog.localhost"))[1]["name"] == "two"
        posted = await rig.get("blog.localhost", method="POST", data=b"abc")
        assert (posted[1]["name"], posted[1]["length"]) == ("two", 3)

        async def kept() -> bool:
            before = two.connections
            for _ in range(10):
                assert (await rig.get("blog.localhost"))[0] == 200
            return two.connections - before < 2

        async with asyncio.timeout(20):
            while not await kept():
                pass


async def test_every_instance_of_many_gets_requests(rig: Rig) -> None:
    pods = [pod(str(number)) for number in range(30)]
    async with asyncio.TaskGroup() as group:
        for one in pods:
            group.create_task(one.__aenter__())
    await rig.put(route("blog"), up("blog", *pods))
    seen = Counter([(await rig.get("blog.localhost"))[1]["name"] for _ in range(900)])
    assert len(seen) == 30
    for one in pods:
        await one.__aexit__(None, None, None)


async def test_a_pod_that_is_gone_is_tried_elsewhere(rig: Rig) -> None:
    gone = pod("gone")
    async with pod("one") as one:
        await rig.put(route("blog"), up("blog", one, gone))
        for method in ("GET", "POST", "PUT", "PATCH") * 10:
            status, told = await rig.get("blog.localhost", method=method, data=b"body")
            assert (status, told["method"], told["length"]) == (200, method, 4)
        await rig.put(up("blog", gone))
        assert (await rig.get("blog.localhost"))[0] == 502


async def test_an_address_that_went_to_another_application_is_never_asked_for_the_first(
    rig: Rig,
) -> None:
    async with pod("two") as two:
        await rig.put(route("one"), up("one", two))
        assert (await rig.get("one.localhost"))[0] == 200
        await rig.put(route("two"), up("two", two))  # the address came back under another owner
        assert (await rig.get("one.localhost"))[0] == 503
        assert (await rig.get("two.localhost"))[1]["name"] == "two"


async def test_ports_are_those_the_world_sees(tmp_path: Path) -> None:
    planned = pods_plan(tmp_path / "router", public_http=80, public_https=443)
    async with running(planned) as rig, pod("one") as one:
        await rig.put(route("blog"), up("blog", one))
        told = (await rig.get("blog.localhost"))[1]["headers"]
        assert told["X-Forwarded-Port"] == "80"
        assert told["Host"] == "blog.localhost"
        await rig.put(route("blog", enforce_https=True))
        async with rig.request("blog.localhost", "/a?b") as answer:
            assert answer.headers["Location"] == "https://blog.localhost/a?b"


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
    await tune(
        rig,
        defaultServiceEnabled="true",
        defaultServiceIP="127.0.0.1",
        proxyBuffers_size="8k",
    )
    # Nobody listens on port 80 there: that it is asked is all that can be seen.
    assert (await rig.get("nobody.localhost"))[0] in (200, 404, 502)
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


async def test_paths_of_another_application(rig: Rig) -> None:
    async with pod("one") as one, pod("api") as api, pod("foreign") as foreign:
        await rig.put(
            route("blog", hosts=("blog", "*.wild.org")),
            up("blog", one),
            route("blog/api", hosts=(), graft_domain="blog", graft_paths=("/api", "/api/v2/x")),
            up("blog/api", api),
            route("thief", hosts=(), graft_domain="blog", graft_paths=("/steal",)),
            up("thief", foreign),
        )
        names = [
            (await rig.get("blog.localhost", path))[1]["name"]
            for path in ("/", "/api", "/api/1", "/steal")
        ]
        assert names == ["one", "api", "api", "one"]
        posted = await rig.get("blog.localhost", "/api", method="POST", data=b"x")
        assert posted[1]["name"] == "api"
        await rig.put(up("blog/api"))
        assert (await rig.get("blog.localhost", "/api"))[0] == 503
        assert (await rig.get("blog.localhost"))[0] == 200
        await rig.put(route("blog/api", hosts=(), graft_domain="*.wild.org", graft_paths=("/",)))
        await rig.put(up("blog/api", api))
        assert (await rig.get("a.wild.org", "/x"))[1]["name"] == "api"
        assert (await rig.get("blog.localhost", "/api"))[1]["name"] == "one"


async def test_names_of_the_platform_need_its_certificate(rig: Rig) -> None:
    trusting = ssl.create_default_context()
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE
    https = f"https://{rig.plan.layout.https}/"

    async def status() -> int:
        headers = {"Host": "blog.localhost"}
        async with rig.session.get(https, headers=headers, ssl=trusting) as answer:
            return answer.status

    async with pod("one") as one:
        await rig.put(route("blog"), up("blog", one))
        assert await status() == 404
        rig.router.certificates.put("f1", *pair("localhost"))
        rig.tell(PLATFORM_KEY, b'"f1"')
        rig.router.live.certify("f1", usable=True)
        await rig.applied(rig.revision)
        assert await status() == 200


async def test_health_and_statistics(rig: Rig) -> None:
    base = f"http://{rig.plan.layout.health}"
    for path, status in {"/healthz": 200, "/stats": 200, "/nginx_status": 200, "/x": 404}.items():
        async with rig.session.get(base + path) as answer:
            assert answer.status == status
    async with rig.session.get(base + "/stats", headers={"X-Forwarded-For": "1.2.3.4"}) as answer:
        assert (await answer.json())["worker"] in rig.workers()


async def test_git_goes_to_the_builder(tmp_path: Path) -> None:
    async def hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello " + await reader.readline())
        writer.close()

    git = free_port()
    async with (
        running(pods_plan(tmp_path / "router", git=f"127.0.0.1:{git}")) as rig,
        await asyncio.start_server(hello, "127.9.9.9", 0) as server,
    ):
        port = server.sockets[0].getsockname()[1]
        await say(rig, BUILDER_KEY, Builder(address=f"127.9.9.9:{port}"))
        reader, writer = await asyncio.open_connection("127.0.0.1", git)
        writer.write(b"git\n")
        assert await reader.read() == b"hello git\n"
        writer.close()


async def replacing(rig: Rig, rounds: int, ripe: int = 0) -> None:
    """Replace one of three pods after the other while requests flow. Every `ripe` rounds the new
    one is asked by way of its group before it goes, and the router gets another setting."""
    port = int(rig.plan.layout.http.rpartition(":")[2])
    current = [pod(str(number)) for number in range(3)]
    for one in current:
        await one.__aenter__()
    await rig.put(route("blog"), up("blog", *current))
    async with traffic(port, "blog.localhost") as seen:
        for number in range(3, 3 + rounds):
            fresh = pod(str(number))
            await fresh.__aenter__()
            old, current = current[0], [*current[1:], fresh]
            await rig.put(up("blog", *current))
            if ripe and number % ripe == 0:
                await asyncio.sleep(RIPE_SECONDS + 1)
                await tune(rig, alone=False, bodySize=f"{number}m")
            await seen.some_more(20)
            await old.__aexit__(None, None, None)
            await seen.some_more(20)
    for one in current:
        await one.__aexit__(None, None, None)
    assert seen.failures == []
    assert seen.answered > 30 * rounds
    # A new pod is not looked for where nginx cannot know it yet: the log would be full of it.
    assert "no live upstreams" not in (rig.plan.folder / "error.log").read_text()


async def test_no_request_fails_while_pods_are_replaced(rig: Rig) -> None:
    await replacing(rig, 12)


@pytest.mark.soak
async def test_soak_no_request_fails_while_pods_are_replaced(tmp_path: Path) -> None:
    async with running(pods_plan(tmp_path / "router", workers=2)) as rig:
        await replacing(rig, int(os.environ.get("DEIS_SOAK_ROUNDS", "50")), ripe=4)


async def test_no_request_fails_while_nginx_takes_over_other_settings(rig: Rig) -> None:
    port = int(rig.plan.layout.http.rpartition(":")[2])
    async with pod("one") as one:
        await rig.put(route("blog"), up("blog", one))
        async with traffic(port, "blog.localhost") as seen:
            for size in ("2m", "3m"):
                await tune(rig, bodySize=size)
                await seen.some_more(50)
        assert seen.failures == []


async def test_the_last_good_table_is_served_without_a_cluster(tmp_path: Path) -> None:
    planned = pods_plan(tmp_path / "router")
    profile = Profile(idle_ms=5000, referrer="origin")
    async with pod("one") as one:
        async with running(planned) as rig:
            await rig.put(route("blog", profile=profile), up("blog", one))
            await tune(rig, platformDomain="example.org", requestIDs="true")
        async with (
            running(planned, present=False) as rig,
            rig.request("blog.example.org") as answer,
        ):
            assert answer.status == 200
            assert answer.headers["Referrer-Policy"] == "origin"
            assert "X-Request-Id" in answer.headers
