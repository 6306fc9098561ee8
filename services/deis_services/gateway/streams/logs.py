"""Logs: the tail as one text, or followed as a chunked answer (api.md 12)."""

import msgspec
from aiohttp import web

from deis_bus.clock import new_id
from deis_bus.contracts.http import ApiCall
from deis_bus.errors import StreamClosed
from deis_bus.ports import ByteStream
from deis_services.gateway.answers import of_answer
from deis_services.gateway.streams.open_streams import Cut, Streams
from deis_services.gateway.streams.sender import Sender

MARK = {"Deis_Stream": "logs"}
"""Tells a client that the answer follows; the original's ends."""


async def logs(streams: Streams, request: web.Request, call: ApiCall) -> web.StreamResponse:
    """`GET …/logs`; with `?follow=true` the newest lines and every new one."""
    wanted = call.query.get("follow", "").lower() in ("1", "true", "yes")
    if not wanted or request.method == "HEAD":
        query = {key: value for key, value in call.query.items() if key != "follow"}
        return of_answer(await streams.calls.ask(msgspec.structs.replace(call, query=query)))
    with streams.room(call):
        stream = await streams.bus.open_stream(new_id(), "opener")
        try:
            appuuid = await streams.identity(call)
            answer = await streams.calls.ask(msgspec.structs.replace(call, stream=stream.id))
            if answer.status != 200 or answer.text is not None:
                return of_answer(answer)
            sender = Sender(request, "text/plain; charset=utf-8", **MARK)
            await sender.open()
            revoked = streams.revoked(call, call.path["app"], appuuid)
            await streams.whole(_relay(stream, sender), revoked)
            return await sender.close()
        finally:
            await stream.close()


async def _relay(stream: ByteStream, sender: Sender) -> None:
    """Until the logger ends it, which it does for an application that is gone."""
    try:
        async for frame in stream.frames():
            if frame.kind == "data":
                await sender.send(frame.data)
            elif frame.kind in ("end", "exit"):
                return
    except StreamClosed as fault:
        raise Cut(str(fault)) from fault
    raise Cut("the logger ended the stream")
