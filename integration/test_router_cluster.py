"""The router as on Kubernetes: instances at any address, names of the platform, the builder's door
(components.md 1.12 to 1.16, decision 0021). The objects that say so are in integration/kubernetes."""

import asyncio
import os
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deis_platform.embedded.ports import free_port
from deis_services.router.live import RIPE_SECONDS
from deis_services.router.model import BUILDER_KEY, PLATFORM_KEY
from deis_services.router.policy import Builder, Profile
from integration.router_pods import pod, route, say, tune, up
from integration.router_rig import Rig, pods_plan, running
from integration.test_router_certificates import pair
from integration.traffic import traffic

pytestmark = pytest.mark.server


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """A router with an empty table."""
    async with running(pods_plan(tmp_path / "router")) as rig:
        yield rig


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
