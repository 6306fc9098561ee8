"""The API over HTTP with the real controller behind it: gateway, NATS, controller, PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from deis_bus import subjects
from deis_bus.contracts import buildlog
from deis_bus.contracts.push import PUSH_OPEN, PushOpen
from deis_bus.jetstream import JetStreamBus, connect
from deis_bus.ports import ServiceInfo
from deis_bus.rpc import endpoints
from deis_platform.crypto import Keyring
from deis_platform.metrics import Metrics
from deis_platform.runtime.memory import MemoryRuntime
from deis_services.controller.rules.keys import fingerprint
from deis_services.controller.served import served
from integration.bus_rig import OnNats
from integration.controller_api.rig import public_text
from integration.controller_rig import OWNER, Controller, controller, settings_of
from integration.databases import fresh_database
from integration.servers import RunningNats, RunningPostgres, until
from tests.behaviour.gateway_rig import Running, gateway
from tests.behaviour.gateway_streaming import Reader, cut, started, told

pytestmark = pytest.mark.server
PASSWORD = "correct horse"


class Person:
    """Somebody with a token."""

    def __init__(self, running: Running, token: str = "") -> None:
        self._running = running
        self.token = token

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> Any:
        """A request, as a context."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token:
            sent["Authorization"] = f"token {self.token}"
        return self._running.http.request(method, self._running.url(path), json=body, headers=sent)

    async def do(
        self, method: str, path: str, body: object = None, **headers: str
    ) -> tuple[int, Any]:
        """Status and body of a request."""
        async with self.ask(method, path, body, **headers) as answer:
            raw = await answer.read()
            return answer.status, msgspec.json.decode(raw) if raw else None

    async def ok(self, method: str, path: str, body: object = None) -> Any:
        """The body of a request that succeeds."""
        status, answer = await self.do(method, path, body)
        assert status < 300, answer
        return answer


class Platform:
    """Everything that answers an API request."""

    def __init__(self, running: Running, behind: Controller) -> None:
        self.running = running
        self.behind = behind

    async def person(self, name: str) -> Person:
        """A new user; the first one is an admin."""
        nobody = Person(self.running)
        body = {"username": name, "password": PASSWORD, "email": f"{name}@example.com"}
        await nobody.ok("POST", "/v2/auth/register/", body)
        login = {"username": name, "password": PASSWORD}
        return Person(self.running, (await nobody.ok("POST", "/v2/auth/login/", login))["token"])

    async def deployed(self, name: str) -> None:
        """An application with a release that runs."""
        await self.behind.api.deployed(name)


def _unexpected(subject: str, fault: Exception) -> None:
    raise AssertionError(f"{subject} broke: {fault!r}") from fault


class TestApi(OnNats):
    """One platform per test."""

    @pytest.fixture
    async def platform(
        self, nats: RunningNats, postgres: RunningPostgres, bus: JetStreamBus, tmp_path: Path
    ) -> AsyncIterator[Platform]:
        settings = settings_of(await fresh_database(postgres, OWNER), tmp_path)
        keyring = Keyring.open(tmp_path / "master.key")
        async with controller(settings, bus, MemoryRuntime(bus), keyring) as behind:
            info = ServiceInfo(name="controller", version="1.0.0")
            answers = endpoints(served(behind.deps, Metrics("controller")), _unexpected)
            async with (
                bus.serve(info, answers),
                connect(nats.url, "gateway") as front,
                gateway(front, tmp_path) as running,
            ):
                yield Platform(running, behind)

    async def test_the_first_minutes(self, platform: Platform) -> None:
        nobody = Person(platform.running)
        assert await nobody.do("GET", "/v2/") == (
            401, {"detail": "Authentication credentials were not provided."},
        )  # fmt: skip
        ada = await platform.person("ada")
        assert await ada.ok("GET", "/v2/") == {}
        assert (await ada.ok("GET", "/v2/auth/whoami/"))["username"] == "ada"
        assert (await ada.do("POST", "/v2/apps/", {"id": "amber"}))[0] == 201
        assert (await ada.do("POST", "/v2/apps/", {"id": "Amber"}))[0] == 400
        assert await ada.do("GET", "/v2/apps/nothing/") == (404, "No App matches the given query.")
        for name in ("birch", "cedar"):
            await ada.ok("POST", "/v2/apps/", {"id": name})
        page = await ada.ok("GET", "/v2/apps/?limit=1&offset=1")
        url = platform.running.url("/v2/apps/")
        assert [app["id"] for app in page["results"]] == ["birch"]
        assert (page["count"], page["next"], page["previous"]) == (
            3, f"{url}?limit=1&offset=2", f"{url}?limit=1",
        )  # fmt: skip
        assert await Person(platform.running, "x" * 40).do("GET", "/v2/apps/") == (
            401, {"detail": "Invalid token."},
        )  # fmt: skip

    async def test_a_change_waits_for_its_end(self, platform: Platform) -> None:
        ada = await platform.person("ada")
        await ada.ok("POST", "/v2/apps/", {"id": "amber"})
        status, config = await ada.do("POST", "/v2/apps/amber/config/", {"values": {"A": "1"}})
        assert (status, config["values"]) == (201, {"A": "1"})
        assert (await ada.ok("GET", "/v2/apps/amber/releases/"))["results"][0]["version"] == 2
        status, said = await ada.do("POST", "/v2/apps/amber/config/", {"values": {"A": "1"}})
        assert (status, said) == (409, {"detail": "ada changed nothing - release stopped"})
        assert (await ada.do("DELETE", "/v2/apps/amber/"))[0] == 204
        assert (await ada.do("GET", "/v2/apps/amber/"))[0] == 404

    async def test_a_change_that_is_answered_at_once(self, platform: Platform) -> None:
        ada = await platform.person("ada")
        await ada.ok("POST", "/v2/apps/", {"id": "amber"})
        headers = {"Prefer": "respond-async", "Idempotency_Key": "once"}
        body = {"values": {"A": "1"}}
        status, first = await ada.do("POST", "/v2/apps/amber/config/", body, **headers)
        assert status == 202

        async def ended() -> bool:
            return bool((await ada.ok("GET", first["url"]))["state"] == "succeeded")

        await until(ended, "the end of the operation")
        told = await ada.ok("GET", first["url"])
        assert (told["status"], told["answer"]["values"]) == (201, {"A": "1"})
        status, again = await ada.do("POST", "/v2/apps/amber/config/", body, **headers)
        assert (status, again["operation"]) == (202, first["operation"])
        status, config = await ada.do(
            "POST", "/v2/apps/amber/config/", body, Idempotency_Key="once"
        )
        assert (status, config["values"]) == (201, {"A": "1"})
        assert (await ada.ok("GET", "/v2/apps/amber/releases/"))["count"] == 2
        eve = await platform.person("eve")
        assert (await eve.do("GET", first["url"]))[0] == 403

    async def test_events_until_the_right_is_gone(self, platform: Platform) -> None:
        ada, bob = await platform.person("ada"), await platform.person("bob")
        await ada.ok("POST", "/v2/apps/", {"id": "amber"})
        assert (await bob.do("GET", "/v2/events?app=amber"))[0] == 403
        await ada.ok("POST", "/v2/apps/amber/perms/", {"username": "bob"})
        async with bob.ask("GET", "/v2/events?app=amber&since=beginning") as answer:
            reader = Reader(answer)
            assert (await reader.event())["type"] == "app.created"
            await ada.ok("POST", "/v2/apps/amber/config/", {"values": {"A": "secret"}})
            while (told := await reader.event())["type"] != "release.created":
                pass
            assert (told["app"], told["actor"]) == ("amber", "ada")
            assert "secret" not in str(told)
            await ada.ok("DELETE", "/v2/apps/amber/perms/bob")
            assert b"secret" not in await cut(answer)
        assert (await bob.do("GET", "/v2/events?app=amber"))[0] == 403
        async with bob.ask("GET", "/v2/events?follow=false") as answer:
            assert b'"app":"amber"' not in await answer.read()
        async with ada.ask("GET", "/v2/events?follow=false") as answer:
            assert b'"app":"amber"' in await answer.read()

    async def test_a_new_token_ends_what_the_old_one_opened(self, platform: Platform) -> None:
        await platform.person("root")
        ada = await platform.person("ada")
        async with ada.ask("GET", "/v2/events") as answer:
            await Reader(answer).block()
            await ada.ok("POST", "/v2/auth/tokens/")
            await cut(answer)
        assert (await ada.do("GET", "/v2/events"))[0] == 401

    async def test_one_off_commands(self, platform: Platform) -> None:
        ada = await platform.person("ada")
        await ada.ok("POST", "/v2/apps/", {"id": "amber"})
        run = "/v2/apps/amber/run"
        assert await ada.do("POST", run, {"command": "echo hi"}) == (
            400, {"detail": "No build associated with this release to run this command"},
        )  # fmt: skip
        await platform.deployed("amber")
        assert await ada.ok("POST", run, {"command": "echo hi"}) == {
            "exit_code": 0, "output": "hi\n",
        }  # fmt: skip
        assert (await ada.ok("POST", run, {"command": "exit 7"}))["exit_code"] == 7
        assert (await ada.do("POST", run, {}))[0] == 400
        bob = await platform.person("bob")
        assert (await bob.do("POST", run, {"command": "echo hi"}))[0] == 403
        async with self.socket(platform, bob, "cat") as socket:
            assert (await socket.receive_json())["status"] == 403

    async def test_a_command_over_a_socket(self, platform: Platform) -> None:
        ada = await platform.person("ada")
        await ada.ok("POST", "/v2/apps/", {"id": "amber"})
        await platform.deployed("amber")
        async with self.socket(platform, ada, "cat") as socket:
            await started(socket)
            await socket.send_bytes(b"\0typed")
            assert await told(socket) == b"\x01typed"
            await socket.send_json({"type": "end"})
            assert await told(socket) == {"type": "exit", "code": 0}

    @asynccontextmanager
    async def socket(
        self, platform: Platform, who: Person, command: str
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        url = platform.running.url("/v2/apps/amber/run")
        headers = {"Authorization": f"token {who.token}"}
        async with (
            asyncio.timeout(30),
            platform.running.http.ws_connect(url, headers=headers) as socket,
        ):
            await socket.send_json({"type": "start", "command": command})
            yield socket

    async def test_a_builds_output(self, platform: Platform, other: JetStreamBus) -> None:
        ada, api = await platform.person("ada"), platform.behind.api
        await ada.ok("POST", "/v2/apps/", {"id": "amber"})
        output = "/v2/apps/amber/builds/newest/output"
        assert await ada.do("GET", output) == (404, "No Build matches the given query.")
        await ada.ok("POST", "/v2/keys/", {"id": "laptop", "public": public_text("laptop")})
        key = fingerprint(public_text("laptop")) or ""
        opened = await api.ask(PUSH_OPEN, PushOpen(key, "amber", "session"))
        subject = subjects.buildlog("amber", opened.push)
        headers = {buildlog.APPUUID: opened.appuuid, buildlog.ATTEMPT: "1"}
        await other.store(subject, b"-----> one\n", headers)
        async with ada.ask("GET", output) as answer:
            assert await answer.content.readline() == b"-----> one\n"
            await other.store(subject, b"-----> two\n", headers | {buildlog.END: "failed"})
            assert await answer.read() == b"-----> two\n"
        told = await ada.ok("GET", f"/v2/apps/amber/builds/{opened.push}/output?state=only")
        assert (told["build"], told["state"]) == (opened.push, "receiving")
        bob = await platform.person("bob")
        assert (await bob.do("GET", output))[0] == 403

    async def test_without_its_database(self, platform: Platform) -> None:
        ada = await platform.person("ada")
        await platform.behind.deps.db.close()
        async with ada.ask("GET", "/v2/apps/") as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        assert (await ada.do("GET", "/v2/events"))[0] == 503
