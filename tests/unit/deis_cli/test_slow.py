"""What takes its time: a sign of life, Ctrl-C, and platforms that are away meanwhile."""

import asyncio
import io
import os
import signal
from collections.abc import Callable

import pytest
from aiohttp import web

from deis_cli import spinner
from deis_cli.core import follow
from deis_cli.screen import Screen
from tests.unit.deis_cli.scripted import VERSIONS, Person, Terminal, rendered

OPERATION = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"
ROLLBACK = "POST /v2/apps/blog/releases/rollback/"


async def until(condition: Callable[[], bool]) -> None:
    """Until a thread or a process has made it so."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - no event of ours tells
            await asyncio.sleep(0.001)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames and pauses that do not hold up a test."""
    monkeypatch.setattr(spinner, "SECONDS", 0.001)
    monkeypatch.setattr(follow, "_pauses", lambda: iter(lambda: 0.001, None))


async def test_a_terminal_shows_that_we_live_and_nothing_of_it_stays() -> None:
    screen = Screen(io.StringIO(), err := Terminal())
    screen.begin("Creating build")
    await until(lambda: all(frame in err.getvalue() for frame in spinner.FRAMES))
    screen.done()
    told = err.getvalue()
    assert rendered(told) == ""
    await asyncio.sleep(0.01)
    assert err.getvalue() == told, "it has stopped"
    assert isinstance(screen.out, io.StringIO)
    assert screen.out.getvalue() == "Creating build... done\n"


async def test_elsewhere_nothing_moves() -> None:
    screen = Screen(out := io.StringIO(), err := io.StringIO())
    screen.begin("Creating build")
    await asyncio.sleep(0.01)
    screen.done()
    assert (out.getvalue(), err.getvalue()) == ("Creating build... done\n", "")


async def test_under_json_nothing_moves_either() -> None:
    screen = Screen(out := io.StringIO(), err := Terminal())
    screen.data_only = True
    screen.begin("Creating build")
    await asyncio.sleep(0.01)
    screen.done()
    screen.data({"a": 1})
    assert (out.getvalue(), err.getvalue()) == ('{"a": 1}\n', "")


async def test_a_word_meanwhile_gets_a_line_of_its_own() -> None:
    screen = Screen(Terminal(), err := Terminal())
    screen.out = err  # one terminal shows both
    screen.begin("Creating build")
    await until(lambda: "o.." in err.getvalue())
    screen.note("the connection was lost; asking again")
    screen.error("no")
    assert rendered(err.getvalue()) == (
        "Creating build...\nthe connection was lost; asking again\nError: no\n"
    )


async def test_on_a_real_terminal_the_answer_stands_where_the_frames_were(ada: Person) -> None:
    release = asyncio.Event()

    async def slow(_: web.Request) -> web.Response:
        await release.wait()
        return web.json_response({"version": 5}, status=201, headers=VERSIONS)

    ada.server.answers[ROLLBACK] = slow
    master, slave = os.openpty()
    process = await ada.starts("rollback", "-a", "blog", stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    loop = asyncio.get_running_loop()
    told = b""

    def read() -> None:
        nonlocal told
        try:
            told += os.read(master, 4096)
        except OSError:
            loop.remove_reader(master)

    loop.add_reader(master, read)
    try:
        await until(lambda: b"o.." in told)
        release.set()
        assert await asyncio.wait_for(process.wait(), 20) == 0
        await until(lambda: told.endswith(b"v5\r\n"))
    finally:
        loop.remove_reader(master)
        os.close(master)
    assert rendered(told.decode()) == "Rolling back one release... done, v5\n"


async def test_ctrl_c_detaches_from_a_deploy_and_says_how_to_look(ada: Person) -> None:
    asked = asyncio.Event()

    async def running(_: web.Request) -> web.Response:
        asked.set()
        return web.json_response({"id": OPERATION, "state": "running"}, headers=VERSIONS)

    ada.server.says(ROLLBACK, 202, {"operation": OPERATION, "state": "queued"})
    ada.server.answers[f"GET /v2/operations/{OPERATION}"] = running
    process = await ada.starts("rollback", "-a", "blog")
    await asyncio.wait_for(asked.wait(), 20)
    process.send_signal(signal.SIGINT)
    out, err = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 130
    assert out == b"Rolling back one release... \n"
    assert err.decode() == "The platform goes on with it; see `deis releases -a blog`.\n"


async def test_ctrl_c_ends_what_follows(ada: Person) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers=VERSIONS | {"Deis-Stream": "logs"})
        await response.prepare(request)
        await response.write(b"one\n")
        await asyncio.Event().wait()
        return response

    ada.server.answers["GET /v2/apps/blog/logs"] = endless
    process = await ada.starts("logs", "-f", "-a", "blog")
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 20) == b"one\n"
    process.send_signal(signal.SIGINT)
    _, err = await asyncio.wait_for(process.communicate(), 20)
    assert (process.returncode, err) == (130, b"")


async def test_whoever_reads_no_more_ends_us_without_a_word(ada: Person) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers=VERSIONS | {"Deis-Stream": "logs"})
        await response.prepare(request)
        for _ in range(100_000):
            await response.write(b"x" * 1000 + b"\n")
        return response

    ada.server.answers["GET /v2/apps/blog/logs"] = endless
    reader, writer = os.pipe()
    process = await ada.starts("logs", "-f", "-a", "blog", stdout=writer)
    os.close(writer)
    assert await asyncio.to_thread(os.read, reader, 100)
    os.close(reader)
    _, err = await asyncio.wait_for(process.communicate(), 20)
    assert (process.returncode, err) == (1, b"")


def plan(ada: Person, posts: list[int], platforms: list[int]) -> list[str]:
    """Answer by these statuses, 0 breaks the connection, the last one stays; gives the keys."""
    keys: list[str] = []

    def scripted(statuses: list[int], body: object) -> Callable[[web.Request], object]:
        async def answer(request: web.Request) -> web.Response:
            if request.method == "POST":
                keys.append(request.headers["Idempotency-Key"])
            status = statuses.pop(0) if len(statuses) > 1 else statuses[0]
            if status == 0 and request.transport is not None:
                request.transport.abort()
            return web.json_response(body, status=status or 200, headers=VERSIONS)

        return answer

    ada.server.answers[ROLLBACK] = scripted(posts, {"version": 4})  # type: ignore[assignment]
    ada.server.answers["GET /v2/platform"] = scripted(platforms, {"git": "x"})  # type: ignore[assignment]
    return keys


@pytest.mark.parametrize(
    ("posts", "platforms", "sent"),
    [
        ([0, 201], [200], 2),
        ([503, 201], [200], 2),
        ([0, 502, 0, 201], [200], 4),
        ([0, 201], [503, 0, 502, 200], 2),
    ],
)
async def test_a_platform_that_is_away_meanwhile_fails_no_deploy(
    ada: Person, posts: list[int], platforms: list[int], sent: int
) -> None:
    keys = plan(ada, posts, platforms)
    shown = await ada.types("rollback", "-a", "blog")
    assert (shown.code, shown.out) == (0, "Rolling back one release... done, v4\n")
    assert "sending it again" in shown.err
    assert len(keys) == sent
    assert len(set(keys)) == 1


async def test_it_does_not_go_on_for_ever(ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "RESUBMIT_SECONDS", 0.05)
    plan(ada, [503], [200])
    shown = await ada.types("rollback", "-a", "blog")
    assert shown.code == 1
    assert shown.err.splitlines()[-1].startswith("Error: Unknown Error (503)")


async def test_an_original_controller_that_is_away_gets_no_double(ada: Person) -> None:
    keys = plan(ada, [503, 201], [404])
    assert (await ada.types("rollback", "-a", "blog")).code == 1
    assert len(keys) == 1


async def test_a_refusal_is_not_asked_for_again(ada: Person) -> None:
    keys = plan(ada, [409, 201], [200])
    assert (await ada.types("rollback", "-a", "blog")).code == 1
    assert len(keys) == 1


async def test_nobody_there_is_told_at_once(ada: Person) -> None:
    keys = plan(ada, [201], [200])
    ada.server.url = "http://127.0.0.1:1"
    ada.logged_in()
    shown = await ada.types("rollback", "-a", "blog")
    assert (shown.code, keys) == (1, [])
    assert shown.err == (
        "Error: Cannot connect to 127.0.0.1:1: Connection refused. Is the platform running?\n"
    )


async def test_a_platform_that_is_away_is_not_taken_for_an_original_one(ada: Person) -> None:
    """Its builder would be derived from the controller's name, and a wrong remote written."""
    await ada.git("init", "-q")
    ada.server.says("GET /v2/platform", 503)
    shown = await ada.types("git:remote", "-a", "blog")
    assert shown.code == 1
    assert "away for the moment" in shown.err
    assert await ada.git("remote") == ""
