"""Server-sent events of the gateway, on any bus; inherited like `gateway_streams`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import aiohttp
import pytest

from deis_bus.ports import Bus
from tests.behaviour.bus import until
from tests.behaviour.gateway_rig import Controller, Running, json
from tests.behaviour.gateway_streaming import (
    BLOG,
    SHOP,
    Reader,
    Streaming,
    cut,
    end_right,
    events_of,
)


class EventsSuite(Streaming):
    """`GET /v2/events` (DESIGN 4, 5)."""

    @asynccontextmanager
    async def open(
        self, running: Running, query: str = "", **headers: str
    ) -> AsyncIterator[tuple[aiohttp.ClientResponse, Reader]]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        async with running.ask("GET", f"/v2/events{query}", headers=sent) as answer:
            assert answer.status == 200, await answer.text()
            assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
            yield answer, Reader(answer)

    async def present(self, running: Running, query: str = "") -> list[tuple[str, str]]:
        """Type and application of the events that there are."""
        async with self.open(running, f"?follow=false&{query}") as (answer, _):
            return [(told["type"], told["app"]) for told in events_of(await answer.read())]

    async def test_new_events_come_as_they_happen(
        self, running: Running, controller: Controller
    ) -> None:
        await controller.announce("blog", "release.created", {"version": 1})
        async with self.open(running) as (_, reader):
            await reader.block()
            sequence = await controller.announce("blog", "release.created", {"version": 2})
            told = await reader.event()
        assert told["data"] == {"version": 2}
        assert (told["app"], told["appuuid"], told["source"]) == ("blog", BLOG, "controller")
        assert told["cursor"].endswith(f"-{sequence}")

    async def test_from_a_cursor_on_nothing_is_left_out(
        self, running: Running, controller: Controller
    ) -> None:
        for version in range(5):
            await controller.announce("blog", "release.created", {"version": version})
        async with self.open(running, "?since=beginning") as (_, reader):
            cursors = [(await reader.event())["cursor"] for _ in range(3)]
        async with self.open(running, f"?since={cursors[1]}") as (_, reader):
            assert [(await reader.event())["data"]["version"] for _ in range(3)] == [2, 3, 4]
        async with self.open(running, "?since=now", Last_Event_ID=cursors[2]) as (_, reader):
            assert (await reader.event())["data"] == {"version": 3}

    async def test_who_is_cut_off_before_the_first_event_goes_on_from_there(
        self, running: Running, controller: Controller
    ) -> None:
        async with self.open(running) as (_, reader):
            await reader.block()
        await controller.announce("blog", "release.created")
        async with self.open(running, Last_Event_ID=reader.id) as (_, reader):
            assert (await reader.event())["type"] == "release.created"

    async def test_the_present(self, running: Running, controller: Controller) -> None:
        assert await self.present(running) == []
        for number in range(1100):
            await controller.announce("blog", "app.scaled" if number % 2 else "release.created")
        assert len(await self.present(running)) == 1100
        only = await self.present(running, "type=app.scaled&app=blog")
        assert only == [("app.scaled", "blog")] * 550
        assert await self.present(running, "since=now") == []

    async def test_only_what_may_be_seen_now(
        self, running: Running, controller: Controller
    ) -> None:
        await controller.announce("blog", "release.created")
        await controller.announce("shop", "release.created", appuuid=SHOP)
        await controller.announce("_", "user.registered", {"username": "eve"})
        await controller.announce("blog", "release.created", appuuid=SHOP)
        assert await self.present(running) == [("release.created", "blog")]
        controller.admin = True
        assert len(await self.present(running)) == 4
        controller.admin = False
        controller.visible = {"shop": SHOP}
        assert [app for _, app in await self.present(running)] == ["shop", "blog"]

    async def test_a_new_application_is_seen_at_once(
        self, running: Running, controller: Controller
    ) -> None:
        async with self.open(running) as (_, reader):
            await reader.block()
            await controller.announce("other", "app.created", appuuid=str(uuid4()))
            controller.visible = {"blog": BLOG, "shop": SHOP}
            await controller.announce("shop", "app.created")
            assert (await reader.event())["app"] == "shop"

    async def test_an_application_that_is_shared_is_seen_from_then_on(
        self, running: Running, controller: Controller
    ) -> None:
        async with self.open(running) as (_, reader):
            await reader.block()
            await controller.announce("shop", "release.created", appuuid=SHOP)
            await controller.announce("blog", "release.created")
            assert (await reader.event())["app"] == "blog"
            controller.visible = {"blog": BLOG, "shop": SHOP}
            await controller.announce("shop", "share.granted")
            assert (await reader.event())["type"] == "share.granted"

    async def test_a_revoked_share_hides_the_application(
        self, running: Running, controller: Controller
    ) -> None:
        controller.visible = {"blog": BLOG, "shop": SHOP}
        async with self.open(running) as (_, reader):
            await controller.announce("shop", "release.created")
            assert (await reader.event())["app"] == "shop"
            controller.visible = {"blog": BLOG}
            controller.there = {"shop"}
            await controller.announce("blog", "share.revoked", {"username": "ada"})
            assert (await reader.event())["type"] == "share.revoked"

            async def hidden() -> bool:
                await controller.announce("shop", "release.created", appuuid=SHOP)
                await controller.announce("blog", "release.created")
                if (await reader.event())["app"] == "blog":
                    return True
                await reader.event()
                return False

            await until(hidden)

    async def test_the_last_event_of_an_own_application(
        self, running: Running, controller: Controller
    ) -> None:
        for query in ("", "?app=blog"):
            controller.visible = {"blog": BLOG, "shop": SHOP}
            async with self.open(running, query) as (answer, reader):
                await controller.announce("blog", "release.created")
                assert (await reader.event())["type"] == "release.created"
                controller.visible = {"shop": SHOP}
                await controller.announce("blog", "app.destroyed", appuuid=BLOG)
                assert (await reader.event())["type"] == "app.destroyed"
                if query:
                    assert await answer.read() == b""

    @pytest.mark.parametrize("why", ["revoked", "token", "stop"])
    async def test_a_right_that_ends_ends_the_stream(
        self, running: Running, controller: Controller, why: str
    ) -> None:
        async with self.open(running, "?app=blog") as (answer, reader):
            await reader.block()
            await end_right(running, controller, why)
            assert b"release.created" not in await cut(answer)

    @pytest.mark.parametrize(
        ("query", "status"),
        [
            ("since=x", 400),
            ("since=x-1y", 400),
            ("since=-1", 400),
            ("type=a", 400),
            ("type=a.*", 400),
            ("type=a.b.c", 400),
            ("app=a.*", 400),
            ("app=%3E", 400),
            ("app=nothing", 404),
        ],
    )
    async def test_wrong_questions(self, running: Running, query: str, status: int) -> None:
        async with running.ask("GET", f"/v2/events?{query}") as answer:
            assert answer.status == status

    async def test_a_place_that_is_gone(
        self, running: Running, controller: Controller, other: Bus
    ) -> None:
        for _ in range(3):
            await controller.announce("blog", "release.created")
        async with self.open(running, "?since=beginning") as (_, reader):
            first = (await reader.event())["cursor"]
        epoch = first.rpartition("-")[0]
        await other.remove("EVENTS", 1)
        await other.remove("EVENTS", 2)
        oldest = f"{epoch}-2"
        for cursor in ("elsewhere-1", f"{epoch}-0", f"{epoch}-1", f"{epoch}-4"):
            async with running.ask("GET", f"/v2/events?since={cursor}") as answer:
                assert answer.status == 410, cursor
                assert (await answer.json())["cursor"] == oldest
        assert len(await self.present(running, f"since={oldest}")) == 1

    async def test_a_token_that_is_none(self, running: Running, controller: Controller) -> None:
        controller.answers["events.list"] = json(401, {"detail": "Invalid token."})
        async with running.ask("GET", "/v2/events") as answer:
            assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Token")

    async def test_nobody_takes_all_the_room(self, running: Running) -> None:
        running.parts.streams.limit = 8
        async with self.open(running) as (_, first), self.open(running) as (_, second):
            await first.block()
            await second.block()
            async with running.ask("GET", "/v2/events") as answer:
                assert answer.status == 503
            others = {"Authorization": "token somebody-else"}
            async with running.ask("GET", "/v2/events", headers=others) as answer:
                assert answer.status == 200

    async def test_too_many_streams(self, running: Running) -> None:
        running.parts.streams.limit = 1
        async with self.open(running) as (_, reader):
            await reader.block()
            async with running.ask("GET", "/v2/events") as answer:
                assert (answer.status, answer.headers["Retry-After"]) == (503, "1")

        async def free() -> bool:
            async with running.ask("GET", "/v2/events") as answer:
                return bool(answer.status == 200)

        await until(free)
