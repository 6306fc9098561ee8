"""The API's wire: methods, slashes, bodies, headers and refusals (api.md 1, 2, 22)."""

import asyncio
import gzip
import json as text
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path

import aiohttp
import msgspec
import pytest

from deis_bus.contracts.http import ApiAnswer, ApiCall
from deis_bus.errors import Refused, Transient
from deis_bus.memory import MemoryBroker
from deis_services.gateway import bodies
from tests.behaviour.gateway_rig import TOKEN, Controller, Running, gateway, json

ALWAYS = {
    "DEIS_API_VERSION": "2.3",
    "DEIS_PLATFORM_VERSION": "2.3.0",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "X-XSS-Protection": "1; mode=block",
    "Access-Control-Allow-Origin": "*",
}
MB = 1024 * 1024
NOT_PROVIDED = {"detail": "Authentication credentials were not provided."}


def has_always(answer: aiohttp.ClientResponse) -> bool:
    return all(answer.headers.get(name) == value for name, value in ALWAYS.items())


async def test_a_request_and_its_answer(running: Running, controller: Controller) -> None:
    controller.answers["apps.create"] = json(201, {"id": "blog"})
    async with running.ask(
        "POST",
        "/v2/apps/?a=1&a=2&b=%C3%A4",
        json={"id": "blog"},
        headers={
            "Host": "deis.example.com",
            "X-Forwarded-Proto": "https",
            "X-Forwarded-For": "192.0.2.7",
        },
    ) as answer:
        assert (answer.status, await answer.json()) == (201, {"id": "blog"})
        assert answer.headers["Content-Type"].startswith("application/json")
        assert answer.headers["Allow"] == "GET, POST, HEAD, OPTIONS"
        assert has_always(answer)
    call = controller.calls[0]
    assert call.token == running.keyring.token_hash(TOKEN)
    assert TOKEN not in msgspec.json.encode(call).decode()
    assert (call.endpoint, call.path, call.query) == ("apps.create", {}, {"a": "2", "b": "ä"})
    assert bytes(call.body) == b'{"id": "blog"}'
    assert call.url == "https://deis.example.com/v2/apps/"
    assert call.address == "192.0.2.7"
    assert call.request_id
    assert call.traceparent.startswith("00-")


@pytest.mark.parametrize("status", [200, 201, 204])
async def test_an_empty_answer_has_no_body_and_no_type(
    running: Running, controller: Controller, status: int
) -> None:
    controller.answers["apps.scale"] = ApiAnswer(status=status)
    async with running.ask("POST", "/v2/apps/blog/scale", json={"web": 1}) as answer:
        assert (answer.status, await answer.read()) == (status, b"")
        assert "Content-Type" not in answer.headers


async def test_text_and_headers_of_an_answer(running: Running, controller: Controller) -> None:
    controller.answers["apps.logs"] = ApiAnswer(status=200, text="a\nb\n", headers={"X-A": "b"})
    async with running.ask("GET", "/v2/apps/blog/logs") as answer:
        assert await answer.text() == "a\nb\n"
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert answer.headers["X-A"] == "b"


async def test_one_slash_at_the_end_is_optional(running: Running, controller: Controller) -> None:
    for path in (
        "/v2/apps",
        "/v2/apps/",
        "/v2/auth/whoami/",
        "/v2",
        "/v2/",
        "/v2/apps/a/pods/web/",
    ):
        async with running.ask("GET", path, allow_redirects=False) as answer:
            assert answer.status == 200, path
    for path in (
        "/v2/apps//",
        "//v2/apps",
        "/v3/apps",
        "/v2/nothing",
        "/healthz/",
        "/v2/apps/A",
        "/",
    ):
        async with running.ask("GET", path) as answer:
            assert (answer.status, await answer.json()) == (404, {"detail": "Not found."}), path
            assert has_always(answer)
    assert [call.endpoint for call in controller.calls].count("apps.list") == 2


async def test_methods_that_are_not_offered(running: Running) -> None:
    for method, path in (("PUT", "/v2/apps"), ("PATCH", "/v2/apps/blog"), ("DELETE", "/healthz")):
        async with running.ask(method, path) as answer:
            assert answer.status == 405
            assert await answer.json() == {"detail": f'Method "{method}" not allowed.'}
            assert "GET" in answer.headers["Allow"]
            assert has_always(answer)


async def test_head_is_get_without_the_body(running: Running, controller: Controller) -> None:
    controller.answers["apps.list"] = json(200, {"count": 0, "results": []})
    async with running.ask("HEAD", "/v2/apps") as answer:
        assert (answer.status, await answer.read()) == (200, b"")
        assert answer.headers["Content-Length"] == str(len('{"count":0,"results":[]}'))
        assert has_always(answer)
    async with running.ask("HEAD", "/v2/auth/login") as answer:
        assert answer.status == 405


async def test_what_a_browser_asks_first(running: Running, controller: Controller) -> None:
    async with running.http.options(running.url("/v2/apps/blog")) as answer:
        assert answer.status == 204
        assert answer.headers["Allow"] == "DELETE, GET, POST, HEAD, OPTIONS"
        assert answer.headers["Access-Control-Allow-Methods"] == answer.headers["Allow"]
        assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]
        assert has_always(answer)
    assert controller.calls == []


async def test_bodies(running: Running, controller: Controller) -> None:
    typed = {"Content-Type": "application/json"}
    for body, headers, wanted in (
        (b"", typed, b""),
        (b"  ", typed, b""),
        (b"", {}, b""),
        (b' {"a": [1]} ', {"Content-Type": "application/json; charset=utf-8"}, b'{"a": [1]}'),
        (
            b"a=1&b=x+y",
            {"Content-Type": "application/x-www-form-urlencoded"},
            b'{"a":"1","b":"x y"}',
        ),
    ):
        async with running.ask("DELETE", "/v2/auth/cancel", data=body, headers=headers) as answer:
            assert answer.status == 200, body
        assert bytes(controller.calls[-1].body) == wanted
    form = aiohttp.FormData({"a": "1"})
    form.add_field("b", b"file", filename="b.txt")
    async with running.ask("POST", "/v2/keys", data=form) as answer:
        assert answer.status == 200
    assert text.loads(bytes(controller.calls[-1].body)) == {"a": "1", "b": "file"}


@pytest.mark.parametrize(
    ("body", "kind", "status", "wanted"),
    [
        (b"{", "application/json", 400, "JSON parse error - "),
        (b'{"a": NaN}', "application/json", 400, "JSON parse error - "),
        (b'"\xff"', "application/json", 400, "JSON parse error - "),
        (b'{"a": "\\ud800"}', "application/json", 400, "JSON parse error - "),
        (b"[" * 100_000, "application/json", 400, "JSON parse error - "),
        (b'{"a":' + b"[" * 70 + b"]" * 70 + b"}", "application/json", 400, "nested too deeply"),
        (b"[]", "application/json", 400, "Invalid data. Expected a dictionary, but got list."),
        (b"{}", "text/xml", 415, 'Unsupported media type \\"text/xml\\" in request.'),
        (b"x", "multipart/form-data", 400, "Form parse error - "),
        (b"a=%ff", "application/x-www-form-urlencoded; charset=no", 400, "Form parse error - "),
    ],
)
async def test_bodies_that_are_refused(
    running: Running, controller: Controller, body: bytes, kind: str, status: int, wanted: str
) -> None:
    headers = {"Content-Type": kind}
    async with running.ask("POST", "/v2/apps", data=body, headers=headers) as answer:
        assert (answer.status, wanted in await answer.text()) == (status, True), await answer.text()
    assert controller.calls == []
    async with running.http.post(running.url("/v2/apps"), data=body, headers=headers) as answer:
        assert (answer.status, await answer.json()) == (401, NOT_PROVIDED)
        assert answer.headers["WWW-Authenticate"] == "Token"


PART = b'--x\r\nContent-Disposition: form-data; name="%b"\r\n%b\r\nv\r\n--x--\r\n'


@pytest.mark.parametrize(
    ("header", "body", "status"),
    [
        (b"X-Deis-Builder-Auth: \xff", b"", 200),
        (b"Content-Type: a/\xff", b"x", 415),
        (b"Content-Encoding: \xff", b"x", 415),
        (b"Content-Type: multipart/form-data; boundary=x", PART % (b"\xff", b""), 200),
        (
            b"Content-Type: multipart/form-data; boundary=x",
            PART % (b"a", b"Content-Transfer-Encoding: no\r\n"),
            400,
        ),
    ],
)
async def test_bytes_that_no_json_can_hold(
    running: Running, controller: Controller, header: bytes, body: bytes, status: int
) -> None:
    address = running.parts.api.address
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(
        b"POST /v2/apps HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: token a\r\n"
        b"%b\r\nContent-Length: %d\r\n\r\n%b" % (header, len(body), body)
    )
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 %d " % status)


@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded"])
@pytest.mark.parametrize("body", [b"abcde", gzip.compress(b'{"a": 1}')], ids=["text", "gzip"])
async def test_nothing_is_unpacked(
    running: Running, controller: Controller, kind: str, body: bytes
) -> None:
    headers = {"Content-Type": kind, "Content-Encoding": "gzip"}
    async with running.ask("POST", "/v2/apps", data=body, headers=headers) as answer:
        assert (answer.status, "content encoding" in await answer.text()) == (415, True)
    assert controller.calls == []


async def test_the_limit_of_a_body(running: Running, controller: Controller) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 65536

    headers = {"Content-Type": "application/json"}
    whole = b'{"a": "' + b"x" * (2 * MB - 9) + b'"}'
    async with running.ask("POST", "/v2/apps", data=BytesIO(whole), headers=headers) as answer:
        assert answer.status == 200
    for data in (BytesIO(whole + b" "), endless()):
        async with running.ask("POST", "/v2/apps", data=data, headers=headers) as answer:
            assert (answer.status, "too large" in await answer.text()) == (413, True)
            assert has_always(answer)
    assert len(controller.calls) == 1


async def test_a_body_that_never_comes(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "READ_SECONDS", 0.05)
    address = running.parts.api.address
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(b"POST /v2/apps HTTP/1.1\r\nHost: x\r\nAuthorization: token x\r\n")
    writer.write(b"Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{")
    assert (await reader.readline()).split()[1] == b"408"
    writer.close()


async def test_credentials(running: Running, controller: Controller) -> None:
    hashed = running.keyring.token_hash(TOKEN)
    builder = running.keyring.derive("builder-key").hex()
    for headers, wanted in (
        ({}, ("", False)),
        ({"Authorization": f"Token {TOKEN}"}, (hashed, False)),
        ({"Authorization": f"token  {TOKEN} "}, (hashed, False)),
        ({"Authorization": f"Bearer {TOKEN}"}, ("", False)),
        ({"Authorization": "token"}, ("-", False)),
        ({"Authorization": "token a b"}, ("-", False)),
        ({"X-Deis-Builder-Auth": builder}, ("", True)),
        ({"X-Deis-Builder-Auth": "x"}, ("", False)),
    ):
        async with running.http.get(running.url("/v2/"), headers=headers) as answer:
            assert answer.status == 200
        assert (controller.calls[-1].token, controller.calls[-1].builder) == wanted, headers


async def test_refusals_of_the_controller(running: Running, controller: Controller) -> None:
    async def refuse(_: ApiCall) -> ApiAnswer:
        raise Refused(403, "no")

    async def away(_: ApiCall) -> ApiAnswer:
        raise Transient("no database")

    controller.answers["apps.list"] = refuse
    async with running.ask("GET", "/v2/apps") as answer:
        assert (answer.status, await answer.json()) == (403, {"detail": "no"})
    controller.answers["apps.list"] = json(401, {"detail": "Invalid token."})
    async with running.ask("GET", "/v2/apps") as answer:
        assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Token")
    controller.answers["apps.list"] = away
    async with running.ask("GET", "/v2/apps") as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        assert has_always(answer)


async def test_bytes_that_are_no_text(running: Running, controller: Controller) -> None:
    host = running.parts.api.address
    for line, headers, status in (
        (b"GET /v2/apps?x=%ff&y=%00 HTTP/1.1", b"", 200),
        (b"GET /v2/apps HTTP/1.1", b"Idempotency-Key: \xff\r\n", 400),
        (b"GET /v2/apps HTTP/1.1", b"Idempotency-Key: " + b"k" * 201 + b"\r\n", 400),
        (b"GET /v2/apps HTTP/1.1", b"Authorization: token \xff\r\n", 200),
        (b"GET /v2/apps HTTP/1.1", b"traceparent: \xff\r\nX-Forwarded-For: \xff\r\n", 200),
        (b"GET /v2/apps/%ff HTTP/1.1", b"", 404),
        (b"GET /v2/apps/a%0Ab HTTP/1.1", b"", 404),
        (b"GET /v2/keys/%ff%fe HTTP/1.1", b"", 200),
    ):
        reader, writer = await asyncio.open_connection(host.host, host.port)
        writer.write(line + b"\r\nHost: x\r\nConnection: close\r\n" + headers + b"\r\n")
        answer = await reader.read()
        writer.close()
        assert int(answer.split()[1]) == status, (line, headers, answer)


async def test_one_connection_carries_many_requests(running: Running) -> None:
    host = running.parts.api.address
    reader, writer = await asyncio.open_connection(host.host, host.port)
    for path, status in (("/v2/", 200), ("/nothing", 404), ("/healthz", 200), ("/v2/apps", 200)):
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        assert head.startswith(f"HTTP/1.1 {status} ")
        length = next(line for line in head.split("\r\n") if line.startswith("Content-Length"))
        await reader.readexactly(int(length.partition(": ")[2]))
    writer.close()


async def test_health(running: Running, controller: Controller) -> None:
    for path in ("/healthz", "/readiness"):
        async with running.http.get(running.url(path)) as answer:
            assert (answer.status, await answer.text()) == (200, "OK")
            assert answer.headers["Content-Type"].startswith("text/html")
            assert has_always(answer)
        async with running.http.head(running.url(path)) as answer:
            assert answer.status == 200
    assert controller.calls == []


async def test_without_a_controller(tmp_path: Path, broker: MemoryBroker) -> None:
    async with gateway(broker.bus("gateway"), tmp_path) as running:
        for path, status in (("/v2/apps", 503), ("/readiness", 503), ("/healthz", 200)):
            async with running.ask("GET", path) as answer:
                assert answer.status == status
                assert has_always(answer)
                if status == 503:
                    assert answer.headers["Retry-After"] == "1"


async def test_requests_are_counted(running: Running) -> None:
    async with running.ask("GET", "/v2/apps"):
        pass
    async with running.http.get(f"http://{running.parts.health.address}/metrics") as answer:
        numbers = await answer.text()
    assert 'deis_request_seconds_count{endpoint="apps.list",status="200"} 1.0' in numbers
    assert "deis_bus_disconnects_total 0.0" in numbers
    async with running.http.get(f"http://{running.parts.health.address}/readiness") as answer:
        assert (answer.status, await answer.json()) == (200, {"status": "ready", "missing": []})
