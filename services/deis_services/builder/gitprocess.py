"""`git receive-pack` and `git upload-pack` at the end of an SSH session."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence

from deis_platform.pipes import pipe_file, read_pipe
from deis_services.builder.session import GitSession

END_SECONDS = 3.0


class GitProcess:
    """One git with its pipes tied to a session; it leads a process group of its own."""

    def __init__(self, running: asyncio.subprocess.Process, kept: tuple[int, ...]) -> None:
        self._running = running
        self._kept = kept

    @classmethod
    async def start(
        cls,
        session: GitSession,
        argv: Sequence[str],
        environment: Mapping[str, str],
        inherited: Sequence[int] = (),
    ) -> "GitProcess":
        """Run git. Raises OSError."""
        into, given = os.pipe()
        shown, out = os.pipe()
        told, err = os.pipe()
        # Read on when the client is gone: git must not die of a broken pipe before its hook ends.
        kept = (os.dup(shown), os.dup(told))
        try:
            # Before git runs: nothing of what it says may come, or end, before it is heard.
            await session.redirect(
                stdin=pipe_file(given, "wb"),
                stdout=pipe_file(shown, "rb"),
                stderr=pipe_file(told, "rb"),
                send_eof=False,
            )
            running = await asyncio.create_subprocess_exec(
                *argv,
                stdin=into,
                stdout=out,
                stderr=err,
                env=dict(environment),
                pass_fds=tuple(inherited),
                start_new_session=True,
            )
        except BaseException:
            for descriptor in kept:
                os.close(descriptor)
            raise
        finally:
            for descriptor in (into, out, err):
                os.close(descriptor)
        return cls(running, kept)

    async def wait(self) -> int:
        """The exit code; negative where a signal ended it."""
        return await self._running.wait()

    async def swallow(self) -> None:
        """Read what git says to nobody, so that it can end in its own time."""
        kept, self._kept = self._kept, ()
        for descriptor in kept:
            transport, _ = await read_pipe(_Nobody, descriptor)
            transport.resume_reading()

    async def end(self) -> None:
        """Ask git to end (it cleans up then), and insist."""
        self._signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await self._running.wait()
        self._signal(signal.SIGKILL)
        await self._running.wait()

    def close(self) -> None:
        """Free what was kept open."""
        kept, self._kept = self._kept, ()
        for descriptor in kept:
            os.close(descriptor)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._running.pid, number)


class _Nobody(asyncio.Protocol):
    """Bytes for nobody."""
