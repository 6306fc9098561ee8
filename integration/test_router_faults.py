"""The router when things end: instances, nginx, the router itself (DESIGN 7, router-upstreams.md)."""

import asyncio
import itertools
import operator
import os
import signal
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import msgspec
import psutil
import pytest
from aiohttp import web

from deis_services.router.parts import router
from integration.router_rig import (
    GIVE_UP_SECONDS,
    Instance,
    Rig,
    children,
    eventually,
    plan,
    route,
    running,
    upstreams,
)

pytestmark = pytest.mark.server
SWAPS = 12


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """A router with an empty table."""
    async with running(plan(tmp_path / "router")) as rig:
        yield rig


class Rude:
    """An instance that takes a request and hangs up without an answer, as a killed one does."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.address = f"127.0.0.1:{port}"
        self.asked = 0

    async def __aenter__(self) -> "Rude":
        self._server = await asyncio.start_server(self._hang_up, "127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _hang_up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.asked += 1
        writer.close()


class Gone:
    """An instance that is not there any more."""

    def __init__(self, port: int) -> None:
        self.address = f"127.0.0.1:{port}"


async def test_a_refused_connection_is_tried_at_another_instance(rig: Rig) -> None:
    async with Instance("one", rig.ports[0]) as one:
        await rig.put(route("blog"), upstreams("blog", one, Gone(rig.ports[1])))  # type: ignore[arg-type]
        for method in ("GET", "POST", "PATCH", "PUT", "DELETE") * 6:
            status, told = await rig.get("blog.localhost", method=method, data=b"body")
            assert (status, told["method"], told["length"]) == (200, method, 4)


async def test_a_killed_instance_costs_a_read_nothing_and_a_write_is_not_sent_twice(
    rig: Rig,
) -> None:
    async with Instance("one", rig.ports[0]) as one, Rude(rig.ports[1]) as rude:
        await rig.put(route("blog"), upstreams("blog", one, rude))  # type: ignore[arg-type]
        for _ in range(30):
            assert (await rig.get("blog.localhost"))[0] == 200
        assert rude.asked > 0
        before = rude.asked
        statuses = [
            (await rig.get("blog.localhost", method="POST", data=b"x"))[0] for _ in range(30)
        ]
        assert statuses.count(502) == rude.asked - before > 0
        # Unless the application says that its writes may be sent twice.
        await rig.put(route("blog", retry_writes=True))
        for _ in range(30):
            assert (await rig.get("blog.localhost", method="POST", data=b"x"))[0] == 200


async def test_no_instance_answering_is_a_bad_gateway(rig: Rig) -> None:
    await rig.put(route("blog"), upstreams("blog", Gone(rig.ports[1])))  # type: ignore[arg-type]
    assert (await rig.get("blog.localhost"))[0] == 502


async def test_an_applications_own_502_is_passed_on(rig: Rig) -> None:
    asked = 0

    async def broken(_: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        return web.Response(status=502, text="mine")

    async with Instance("one", rig.ports[0], broken) as one:
        await rig.serve("blog", one)
        assert await rig.get("blog.localhost") == (502, "mine")
    assert asked == 1


async def test_a_late_answer_is_not_asked_for_again(tmp_path: Path) -> None:
    asked = 0
    done = asyncio.Event()

    async def slow(_: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        await done.wait()
        return web.Response()

    async with (
        running(plan(tmp_path / "router", idle_seconds=1)) as rig,
        Instance("one", rig.ports[0], slow) as one,
    ):
        await rig.serve("blog", one)
        assert (await rig.get("blog.localhost"))[0] == 504
        done.set()
    assert asked == 1


async def test_connections_to_instances_are_kept(rig: Rig) -> None:
    async with Instance("one", rig.ports[0]) as one:
        await rig.serve("blog", one)
        for _ in range(50):
            assert (await rig.get("blog.localhost"))[0] == 200
        assert one.connections <= 2


async def test_no_request_fails_while_instances_are_swapped(rig: Rig) -> None:
    ports = itertools.cycle(rig.ports[:40])
    held = [await Instance("i", next(ports)).__aenter__() for _ in range(3)]
    await rig.serve("blog", *held)
    finished = asyncio.Event()
    failed: list[object] = []
    visitors = ("GET", "POST") * 3
    answered = [0] * len(visitors)

    async def visit(number: int, method: str) -> None:
        while not finished.is_set():
            try:
                status, _ = await rig.get("blog.localhost", method=method, data=b"x")
                if status != 200:
                    failed.append(status)
            except aiohttp.ClientError as fault:
                failed.append(fault)
            answered[number] += 1

    async def all_answered(times: int) -> None:
        least = [count + times for count in answered]
        await eventually(lambda: all(map(operator.ge, answered, least)))

    visits = [asyncio.create_task(visit(*visitor)) for visitor in enumerate(visitors)]
    for _ in range(SWAPS):
        held.append(await Instance("i", next(ports)).__aenter__())
        old = held.pop(0)
        await rig.put(upstreams("blog", *held))
        await all_answered(3)  # what was on its way to the old one is, too
        await old.__aexit__(None, None, None)
    finished.set()
    await asyncio.gather(*visits)
    for instance in held:
        await instance.__aexit__(None, None, None)
    assert failed == []


async def test_killed_nginx_is_back_with_its_table_and_no_stale_worker(rig: Rig) -> None:
    async with Instance("one", rig.ports[0]) as one, Instance("two", rig.ports[1]) as two:
        await rig.serve("blog", one)
        old = [psutil.Process(pid) for pid in rig.workers()]
        assert old
        os.kill(rig.master(), signal.SIGKILL)
        await eventually(lambda: not rig.router.server.serving.is_set())
        rig.tell("up.blog", msgspec.json.encode(upstreams("blog", two)))
        await rig.router.server.serving.wait()
        await rig.applied(rig.revision)
        async with aiohttp.ClientSession() as fresh:
            headers = {"Host": "blog.localhost"}
            async with fresh.get(rig.base, headers=headers) as answer:
                assert (await answer.json())["name"] == "two"
        await rig.session.close()  # kept connections let an old worker live a little longer
        await asyncio.to_thread(psutil.wait_procs, old, GIVE_UP_SECONDS)
        assert not any(process.is_running() and alive(process) for process in old)


def alive(process: psutil.Process) -> bool:
    """Running, and more than a zombie that nobody has fetched."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


async def test_a_stale_socket_does_not_keep_nginx_from_starting(tmp_path: Path) -> None:
    planned = plan(tmp_path / "router")
    (tmp_path / "router" / "admin").mkdir(parents=True)
    (tmp_path / "router" / "admin" / "control.sock").write_text("")
    async with running(planned) as rig:
        assert (await rig.get("x.localhost", "/healthz"))[0] == 200


async def test_a_new_router_serves_the_last_good_table_without_a_bus(tmp_path: Path) -> None:
    planned = plan(tmp_path / "router")
    async with Instance("one", planned.layout.ports[0]) as one:
        async with running(planned) as rig:
            await rig.serve("blog", one)
            await rig.put(route("other"))
        with (tmp_path / "router" / "table.jsonl").open("ab") as file:
            file.write(b'["up.blog",99,"torn')
        async with running(planned) as rig:
            assert (await rig.get("blog.localhost"))[1]["name"] == "one"
            assert (await rig.get("other.localhost"))[0] == 503


async def test_a_taken_port_is_waited_for(tmp_path: Path) -> None:
    planned = plan(tmp_path / "router", https="")
    host, _, port = planned.layout.http.rpartition(":")
    taker = await asyncio.start_server(lambda _, writer: writer.close(), host, int(port))
    stop = asyncio.Event()
    async with router(planned) as live:
        live.present.set()
        serving = asyncio.create_task(live.server.run(stop))
        log = planned.folder / "error.log"
        await eventually(lambda: log.exists() and "bind() to" in log.read_text())
        assert not live.server.serving.is_set()
        taker.close()
        await taker.wait_closed()
        await asyncio.wait_for(live.server.serving.wait(), 20)
        stop.set()
        await serving


async def test_only_we_reach_the_admin_socket(rig: Rig) -> None:
    admin = rig.plan.folder / "admin"
    assert stat.S_IMODE(admin.stat().st_mode) == 0o700
    assert stat.S_IMODE((admin / "control.sock").stat().st_mode) == 0o600
    assert stat.S_IMODE((rig.plan.folder / "table.jsonl").stat().st_mode) == 0o600


async def test_after_a_long_silence_a_change_needs_no_new_nginx(tmp_path: Path) -> None:
    # nginx gives a silent connection up, the one to its admin socket too.
    async with running(plan(tmp_path / "router", idle_seconds=1)) as rig:
        await rig.put(route("blog"))
        master = rig.master()
        kept = rig.router.server.nginx.admin._streams
        assert kept is not None
        await eventually(kept[0].at_eof)
        await rig.put(route("other"))
        assert (await rig.get("other.localhost"))[0] == 503
        assert rig.master() == master


async def test_nothing_is_left_after_a_stop(tmp_path: Path) -> None:
    async with running(plan(tmp_path / "router")) as rig:
        group = [rig.master(), *rig.workers()]
        assert len(group) >= 2
        me = os.getpid()
    assert not any(psutil.pid_exists(pid) and alive(psutil.Process(pid)) for pid in group)
    assert not set(group) & set(children(me))


async def test_ten_thousand_applications_load_in_pieces(tmp_path: Path) -> None:
    async with (
        running(plan(tmp_path / "router")) as rig,
        Instance("one", rig.ports[0]) as one,
    ):
        await rig.serve("blog", one)
        for number in range(10_000):
            rig.tell(f"app.a{number}", msgspec.json.encode(route(f"a{number}")))
        assert (await rig.get("blog.localhost"))[0] == 200
        await rig.applied(rig.revision)
        assert (await rig.get("a9999.localhost"))[0] == 503


async def test_a_full_table_starts_nginx_anew(tmp_path: Path) -> None:
    async with running(plan(tmp_path / "router", table_mb=1)) as rig:
        master = rig.master()
        for turn in range(3):  # hosts that come and go leave their keys behind
            names = [f"t{turn}n{number}" for number in range(400)]
            for name in names:
                rig.tell(f"app.{name}", msgspec.json.encode(route(name)))
            await rig.applied(rig.revision)
            await rig.router.server.serving.wait()
            assert (await rig.get(f"{names[-1]}.localhost"))[0] == 503
            for name in names:
                rig.tell(f"app.{name}", None)
            await rig.applied(rig.revision)
        assert rig.master() != master
