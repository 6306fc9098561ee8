"""Watches, logs and sockets: they end, and free what they hold. Tokens, on all of them."""

import asyncio
import contextlib
import traceback
from typing import cast

import pytest
from aiohttp import web

from deis_bus.errors import Refused, Transient
from deis_platform.kubernetes import (
    Bookmark,
    Gone,
    Kubernetes,
    NotFound,
    View,
    client,
    kinds,
    transport,
)
from deis_platform.kubernetes.tokens import Credential, Token, Unreadable
from tests.unit.deis_platform.kubernetes.fake import (
    Fake,
    answer,
    bookmark,
    cut,
    door,
    event,
    lines,
    obj,
    refusal,
    told,
)

MAP = kinds.CONFIG_MAP


class Refreshed(Token):
    """Tokens `t1`, `t2` and so on, one at each read."""

    def __init__(self) -> None:
        self.reads = 0
        super().__init__(self._next)

    async def _next(self) -> Credential:
        self.reads += 1
        return Credential(f"t{self.reads}")


async def test_a_refused_token_is_read_again_at_once(fake: Fake) -> None:
    fake.will(refusal(401), answer(obj("a", 1)), answer(obj("a", 1)))
    token = Refreshed()
    async with door(fake, token) as api:
        await api.apply(obj("a", 1))
        await api.get(MAP, "a", "blog", view=dict)
    assert [asked.token for asked in fake.asked] == ["t1", "t2", "t2"]
    assert fake.asked[0].body == fake.asked[1].body


async def test_a_token_that_stays_refused_is_tried_twice(fake: Fake) -> None:
    fake.will(refusal(401), refusal(401, message="who?"))
    async with door(fake, Refreshed()) as api:
        with pytest.raises(Transient, match="who"):
            await api.get(MAP, "a", "blog", view=dict)
    assert len(fake.asked) == 2


async def test_watches_and_sockets_use_a_new_token_too(fake: Fake) -> None:
    fake.will(refusal(401), lines(event("ADDED", obj("a", 2))), refusal(401), refusal(404))
    async with door(fake, Refreshed()) as api:
        assert len([line async for line in api.watch(MAP, version="1", view=View)]) == 1
        with pytest.raises(NotFound):
            await api.attach("a", "blog", container="c", tty=False)
    assert [asked.token for asked in fake.asked] == ["t1", "t2", "t2", "t3"]


async def test_without_a_token_it_is_transient(fake: Fake) -> None:
    async def broken() -> Credential:
        raise Unreadable("no file")

    async with door(fake, Token(broken)) as api:
        with pytest.raises(Transient, match="no file"):
            await api.get(MAP, "a", "blog", view=dict)
    assert fake.asked == []


async def test_a_watch(fake: Fake, api: Kubernetes) -> None:
    fake.will(
        lines(event("ADDED", obj("a", 2)), bookmark(3), event("DELETED", obj("a", 4)), rest=b'{"ty')
    )
    seen = [line async for line in api.watch(MAP, "blog", version="1", view=View, labels="a=b")]
    assert seen[1] == Bookmark("3")
    assert [line.type for line in seen if not isinstance(line, Bookmark)] == ["ADDED", "DELETED"]
    assert fake.asked[0].query == {
        "watch": "1",
        "allowWatchBookmarks": "true",
        "timeoutSeconds": str(client.WATCH_SECONDS),
        "resourceVersion": "1",
        "labelSelector": "a=b",
    }


async def test_a_watch_that_is_too_old_says_so_in_two_ways(fake: Fake, api: Kubernetes) -> None:
    fake.will(refusal(410, "Expired"), lines(event("ERROR", told(410, "Expired"))))
    for _ in range(2):
        with pytest.raises(Gone):
            _ = [line async for line in api.watch(MAP, version="1", view=View)]


async def test_a_watch_that_breaks(fake: Fake, api: Kubernetes) -> None:
    fake.will(lines(event("ADDED", obj("a", 2)), then=cut))
    async with contextlib.aclosing(api.watch(MAP, version="1", view=View)) as watch:
        await anext(watch)
        with pytest.raises(Transient):
            await anext(watch)


async def test_a_watch_that_is_silent_hangs(
    fake: Fake, api: Kubernetes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "SILENT_SECONDS", 0.1)
    fake.will(lines(event("ADDED", obj("a", 2)), then=fake.hang))
    with pytest.raises(Transient):
        _ = [line async for line in api.watch(MAP, version="1", view=View)]


async def test_whoever_closes_a_watch_frees_its_connection(fake: Fake, api: Kubernetes) -> None:
    fake.will(lines(event("ADDED", obj("a", 2)), then=fake.hang))
    async with contextlib.aclosing(api.watch(MAP, version="1", view=View)) as watch:
        await anext(watch)
        assert fake.open == 1
    await fake.until(lambda: fake.open == 0)


async def test_a_cancelled_call_frees_its_connection(fake: Fake, api: Kubernetes) -> None:
    asking = asyncio.create_task(api.get(MAP, "a", "blog", view=dict))
    await fake.until(lambda: fake.open == 1)
    asking.cancel()
    await fake.until(lambda: fake.open == 0)
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_followed_logs_do_not_starve_calls(fake: Fake, api: Kubernetes) -> None:
    async def follow() -> None:
        async with contextlib.aclosing(api.logs("build", "deis-builds", follow=True)) as chunks:
            async for _ in chunks:
                pass

    count = transport.CALLS + 40
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(follow()) for _ in range(count)]
        await fake.until_asked(count)
        fake.will(answer(obj("a", 1)), path="/configmaps/a")
        view = await api.get(MAP, "a", "blog", view=View)
        assert view.metadata.key == "blog/a"
        for task in tasks:
            task.cancel()


async def test_logs(fake: Fake, api: Kubernetes) -> None:
    fake.will(lines("a", "b"), lines("a", then=cut))
    chunks = api.logs("p", "blog", container="c", since="2026-01-01T00:00:00Z", timestamps=True)
    assert b"".join([chunk async for chunk in chunks]) == b'"a"\n"b"\n'
    assert fake.asked[0].path == "/api/v1/namespaces/blog/pods/p/log"
    assert fake.asked[0].query == {
        "container": "c",
        "sinceTime": "2026-01-01T00:00:00Z",
        "timestamps": "true",
    }
    with pytest.raises(Transient):
        _ = [chunk async for chunk in api.logs("p", "blog", follow=True)]
    assert fake.asked[1].query == {"follow": "true"}


@pytest.mark.parametrize("code", [400, 401, 403, 500])
async def test_no_token_in_a_fault(fake: Fake, api: Kubernetes, code: int) -> None:
    fake.will(*[refusal(code)] * 4)
    for ask in (
        api.get(MAP, "a", "blog", view=dict),
        api.attach("a", "blog", container="c", tty=False),
    ):
        with pytest.raises((Refused, Transient)) as caught:
            await ask
        shown, fault = "", cast("BaseException | None", caught.value)
        while fault is not None:
            shown += repr(fault)
            fault = fault.__cause__ or (None if fault.__suppress_context__ else fault.__context__)
        shown += "".join(traceback.format_exception(caught.value))
        assert "secret-token" not in shown


async def test_a_socket(fake: Fake, api: Kubernetes) -> None:
    async def echo(request: web.Request) -> web.StreamResponse:
        channel = web.WebSocketResponse(protocols=("v5.channel.k8s.io",))
        await channel.prepare(request)
        await channel.send_bytes(b"\1" + (await channel.receive_bytes())[1:])
        await channel.close()
        return channel

    fake.will(echo, echo)
    async with await api.attach("p", "blog", container="c", tty=False) as socket:
        await socket.send_bytes(b"\0hello")
        assert await socket.receive_bytes() == b"\1hello"
    async with await api.attach("p", "blog", container="c", tty=True, stdin=False) as socket:
        await socket.send_bytes(b"\0x")
    assert {asked.path for asked in fake.asked} == {"/api/v1/namespaces/blog/pods/p/attach"}
    plain = {"container": "c", "stdin": "true", "stdout": "true", "stderr": "true", "tty": "false"}
    assert [asked.query for asked in fake.asked] == [
        plain,
        plain | {"stdin": "false", "stderr": "false", "tty": "true"},
    ]


async def test_a_socket_of_another_protocol_is_refused(fake: Fake, api: Kubernetes) -> None:
    async def older(request: web.Request) -> web.StreamResponse:
        channel = web.WebSocketResponse(protocols=("v4.channel.k8s.io",))
        await channel.prepare(request)
        await channel.receive()
        return channel

    fake.will(older)
    with pytest.raises(Refused, match="v5"):
        await api.attach("a", "blog", container="c", tty=False)
