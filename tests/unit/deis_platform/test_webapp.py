"""Applications over HTTP: ids, one place for faults, visible cuts, a graceful end."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from deis_bus.errors import DeadlineExceeded, Refused, Transient
from deis_platform import webapp
from deis_platform.settings import Address
from deis_platform.webapp import WebServer, application

UUID = re.compile(r"[0-9a-f-]{36}")


@asynccontextmanager
async def served(app: web.Application) -> AsyncIterator[tuple[WebServer, aiohttp.ClientSession]]:
    """The application on a free port, and a client of it."""
    stop = asyncio.Event()
    server = WebServer("web", app, Address("127.0.0.1", 0))
    task = asyncio.create_task(server.run(stop))
    await server.serving.wait()
    try:
        async with aiohttp.ClientSession(f"http://{server.address}") as http:
            yield server, http
    finally:
        stop.set()
        await task


def answering(fault: Exception) -> web.Application:
    """An application whose one path raises that."""

    async def handler(_: web.Request) -> web.Response:
        raise fault

    app = application()
    app.router.add_get("/", handler)
    return app


@pytest.mark.parametrize(
    ("fault", "status", "detail"),
    [
        (Refused(409, "busy"), 409, "busy"),
        (Transient("the database is away"), 503, "the database is away"),
        (DeadlineExceeded(), 503, "a dependency is away"),
        (web.HTTPForbidden(), 403, "Forbidden"),
        (web.HTTPUnauthorized(headers={"WWW-Authenticate": "Bearer"}), 401, "Unauthorized"),
        (ValueError("secret"), 500, "Server Error"),
        (ConnectionResetError("gone"), 499, "The client is gone."),
    ],
)
async def test_faults_become_answers_once(fault: Exception, status: int, detail: str) -> None:
    async with served(answering(fault)) as (_, http), http.get("/") as answer:
        assert (answer.status, await answer.json()) == (status, {"detail": detail})
        assert ("Retry-After" in answer.headers) == (status == 503)
        assert ("WWW-Authenticate" in answer.headers) == (status == 401)
        assert UUID.fullmatch(answer.headers["X-Request-Id"])
        assert answer.headers["Server"] == "deis"


async def test_a_redirect_stays_one() -> None:
    app = answering(web.HTTPFound("/there"))
    async with served(app) as (_, http), http.get("/", allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (302, "/there")


async def test_what_is_not_there() -> None:
    async with served(answering(ValueError())) as (_, http):
        async with http.get("/nothing") as answer:
            assert (answer.status, await answer.json()) == (404, {"detail": "Not Found"})
        async with http.post("/") as answer:
            assert (answer.status, answer.headers["Allow"]) == (405, "GET,HEAD")


async def test_a_good_request_id_is_kept() -> None:
    async with served(answering(ValueError())) as (_, http):
        for given, kept in (("abc-1.2_3", True), ("a b", False), ("x" * 65, False)):
            async with http.get("/", headers={"X-Request-Id": given}) as answer:
                assert (answer.headers["X-Request-Id"] == given) == kept


async def test_the_limit_of_bodies() -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    app = application(max_body_bytes=10)
    app.router.add_post("/", handler)
    async with served(app) as (_, http):
        async with http.post("/", data=b"x" * 10) as answer:
            assert await answer.read() == b"x" * 10
        async with http.post("/", data=b"x" * 11) as answer:
            assert answer.status == 413


@pytest.mark.parametrize("fault", [Transient("x"), TimeoutError(), ValueError("bug"), KeyError()])
async def test_an_answer_that_breaks_off_does_not_look_whole(fault: Exception) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"begun")
        raise fault

    app = application()
    app.router.add_get("/", handler)
    async with served(app) as (_, http):
        with pytest.raises(aiohttp.ClientError):
            async with http.get("/") as answer:
                await answer.read()


async def test_requests_are_logged_without_what_may_be_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[tuple[str, dict[str, object]]] = []

    class Log:
        def __getattr__(self, level: str) -> object:
            return lambda _event, **fields: told.append((level, fields))

    monkeypatch.setattr(webapp, "log", Log())
    async with served(answering(Refused(403, "no"))) as (_, http):
        for path in ("/?token=secret", "/healthz"):
            async with http.get(path, headers={"Authorization": "token secret"}):
                pass
    requests = [(level, fields) for level, fields in told if "ms" in fields]
    assert [(level, fields["status"]) for level, fields in requests] == [
        ("info", 403),
        ("debug", 404),
    ]
    assert "secret" not in str(told)
    app = answering(web.HTTPFound("/there"))
    async with served(app) as (_, http), http.get("/", allow_redirects=False):
        assert told[-1][1]["status"] == 302


async def test_what_has_begun_is_finished_at_the_end() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def handler(_: web.Request) -> web.Response:
        begun.set()
        await go_on.wait()
        return web.Response(text="whole")

    async def ask(http: aiohttp.ClientSession) -> str:
        async with http.get("/") as answer:
            return await answer.text()

    app = application()
    app.router.add_get("/", handler)
    stop = asyncio.Event()
    server = WebServer("web", app, Address("127.0.0.1", 0))
    serving = asyncio.create_task(server.run(stop))
    await server.serving.wait()
    async with aiohttp.ClientSession(f"http://{server.address}") as http:
        asking = asyncio.create_task(ask(http))
        await begun.wait()
        stop.set()
        go_on.set()
        assert await asking == "whole"
        await serving
        with pytest.raises(aiohttp.ClientConnectorError):
            await ask(http)


async def test_a_taken_port_is_told() -> None:
    async with served(application()) as (server, _):
        second = WebServer("web", application(), server.address)
        with pytest.raises(OSError, match="in use"):
            await second.run(asyncio.Event())


async def test_a_client_that_goes_ends_its_handler(tmp_path: Path) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def handler(_: web.Request) -> web.Response:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return web.Response()

    app = application()
    app.router.add_get("/", handler)
    async with served(app) as (_, http):
        task = asyncio.create_task(_get(http))
        await begun.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.wait_for(ended.wait(), 10)


async def _get(http: aiohttp.ClientSession) -> None:
    async with http.get("/"):
        pass
