"""Sessions whose client is slower than git, and git at the end of them; on both event loops."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import asyncssh
import pytest
import uvloop

from deis_services.builder.gitprocess import GitProcess
from deis_services.builder.session import GitSession

ENVIRONMENT = {"PATH": "/usr/bin:/bin"}
SECONDS = 30.0
Serve = Callable[[GitSession], Awaitable[None]]

pytestmark = pytest.mark.parametrize(
    "loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)


def in_loop(loop: Callable[[], Any], test: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(asyncio.wait_for(test, SECONDS))


@asynccontextmanager
async def connected(serve: Serve) -> AsyncIterator[asyncssh.SSHClientConnection]:
    """A client's connection to a server that serves each session so; `ping` is answered at once."""
    sessions: set[asyncio.Task[None]] = set()

    async def served(session: GitSession) -> None:
        if session.command == "ping":
            await session.finish(0)
        else:
            await serve(session)
        session.close()
        await session.wait_closed()

    def begun(session: GitSession) -> None:
        sessions.add(asyncio.create_task(served(session)))

    class Open(asyncssh.SSHServer):
        def begin_auth(self, username: str) -> bool:
            return False

        def session_requested(self) -> GitSession:
            return GitSession(begun, "a fingerprint")

    key = asyncssh.generate_private_key("ssh-ed25519")
    listener = await asyncssh.listen(
        "127.0.0.1", 0, server_factory=Open, server_host_keys=[key], encoding=None
    )
    async with listener:
        async with asyncssh.connect(
            "127.0.0.1",
            listener.get_port(),
            username="git",
            known_hosts=None,
            client_keys=None,
            config=None,
            agent_path=None,
        ) as client:
            yield client
        await asyncio.gather(*sessions)


@pytest.mark.parametrize("last", ["words", "end"])
def test_what_a_client_says_after_gits_end_costs_no_connection(
    loop: Callable[[], Any], last: str
) -> None:
    async def test() -> None:
        ended, over = asyncio.Event(), asyncio.Event()

        async def serve(session: GitSession) -> None:
            git = await GitProcess.start(session, ("true",), ENVIRONMENT)
            await git.wait()
            ended.set()
            await over.wait()
            git.close()
            await session.finish(3)

        async with connected(serve) as client:
            process = await client.create_process("push", encoding=None)
            await ended.wait()
            for _ in range(5):
                if last == "words":
                    process.stdin.write(b"more of a pack")
                # What was sent before it has been taken by the time it is answered.
                assert (await client.run("ping")).exit_status == 0
            process.stdin.write_eof()
            assert (await client.run("ping")).exit_status == 0
            over.set()
            assert (await process.wait()).exit_status == 3

    in_loop(loop, test())


def test_a_slow_client_gets_the_last_of_what_git_said(loop: Callable[[], Any]) -> None:
    count = 150_000  # fits into window, buffers and pipe, and fills all of them

    async def test() -> None:
        ended = asyncio.Event()

        async def serve(session: GitSession) -> None:
            argv = ("head", "-c", str(count), "/dev/zero")
            git = await GitProcess.start(session, argv, ENVIRONMENT)
            code = await git.wait()
            git.close()
            ended.set()
            await session.shown(SECONDS)
            await session.finish(code)

        async with connected(serve) as client:
            process = await client.create_process("clone", encoding=None, window=16_384)
            await ended.wait()
            done = await process.wait()
            assert done.exit_status == 0
            assert len(done.stdout or b"") == count

    in_loop(loop, test())


def test_a_client_that_does_not_listen_is_not_waited_for(loop: Callable[[], Any]) -> None:
    async def test() -> None:
        shown = asyncio.Event()

        async def serve(session: GitSession) -> None:
            argv = ("head", "-c", "150000", "/dev/zero")
            git = await GitProcess.start(session, argv, ENVIRONMENT)
            await git.wait()
            git.close()
            await session.shown(0.1)
            shown.set()

        async with connected(serve) as client:
            await client.create_process("clone", encoding=None, window=16_384)
            await shown.wait()

    in_loop(loop, test())
