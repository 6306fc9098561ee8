"""A build's output from its first line, followed until the build ends (DESIGN 5, A push, 3)."""

import msgspec
from aiohttp import web

from deis_bus import subjects
from deis_bus.contracts import buildlog
from deis_bus.contracts.http import ApiAnswer, ApiCall
from deis_bus.ports import Received
from deis_bus.streams import BUILDLOGS
from deis_services.gateway.answers import Problem, of_answer
from deis_services.gateway.streams.open_streams import Streams
from deis_services.gateway.streams.pump import Pump
from deis_services.gateway.streams.sender import Sender

LOOK_SECONDS = 5.0
LAST_SECONDS = 1.0
"""A build that has ended without its last line (lost worker) is read to its present end."""
RUNNING = ("receiving", "queued", "building")


class _Build(msgspec.Struct, frozen=True, kw_only=True):
    build: str
    app: str
    appuuid: str
    state: str


async def build_output(streams: Streams, request: web.Request, call: ApiCall) -> web.StreamResponse:
    """`GET …/builds/<build>/output`; `?state=only` tells which build and how far it is."""
    answer = await streams.calls.ask(call)
    if answer.status != 200 or call.query.get("state") == "only" or request.method == "HEAD":
        return of_answer(answer)
    build = _build(answer)
    with streams.room(call):
        sender = Sender(request, "text/plain; charset=utf-8", Deis_Stream="build")
        await sender.open()
        await streams.whole(
            _relay(streams, call, build, sender),
            streams.revoked(call, build.app, build.appuuid),
        )
        return await sender.close()


def _build(answer: ApiAnswer) -> _Build:
    return msgspec.json.decode(bytes(answer.body), type=_Build)


class Attempts:
    """Lets through what belongs to the newest attempt so far of this application's build."""

    def __init__(self, appuuid: str) -> None:
        self._appuuid = appuuid
        self._newest = 0

    def takes(self, message: Received) -> bool:
        """Whether the message is to be shown."""
        if message.headers.get(buildlog.APPUUID) != self._appuuid:
            return False
        text = message.headers.get(buildlog.ATTEMPT, "0")
        attempt = int(text) if text.isascii() and text.isdigit() else 0
        self._newest = max(self._newest, attempt)
        return attempt == self._newest


async def _relay(streams: Streams, call: ApiCall, build: _Build, sender: Sender) -> None:
    attempts = Attempts(build.appuuid)
    subject = subjects.buildlog(build.app, build.build)
    pump = Pump(streams.bus.replay(BUILDLOGS.name, (subject,), 1))
    running = build.state in RUNNING
    try:
        while True:
            message = await pump.next(LOOK_SECONDS if running else LAST_SECONDS)
            if message is None:
                if not running:
                    return
                running = await _runs(streams, call, build)
            elif attempts.takes(message):
                if message.data:
                    await sender.send(message.data)
                if buildlog.END in message.headers:
                    return
    finally:
        await pump.close()


async def _runs(streams: Streams, call: ApiCall, build: _Build) -> bool:
    """Whether the build still runs; while nobody can say, it does."""
    again = msgspec.structs.replace(call, path=call.path | {"build": build.build})
    try:
        answer = await streams.calls.ask(again)
    except Problem:
        return True
    return answer.status >= 500 or (answer.status == 200 and _build(answer).state in RUNNING)
