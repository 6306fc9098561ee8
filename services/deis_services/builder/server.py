"""The SSH server: keys only, git only, everything bounded (components.md 2.3)."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import asyncssh
import structlog

from deis_bus.contracts.push import REPO_OPEN, RepoOpen
from deis_bus.errors import Refused, Transient
from deis_bus.rpc import call
from deis_platform.metrics import Metrics
from deis_services.builder import parse, render
from deis_services.builder.door import Connections, Door
from deis_services.builder.gitprocess import GitProcess
from deis_services.builder.receive import Receiver
from deis_services.builder.repositories import GitFault
from deis_services.builder.session import GitSession
from deis_services.builder.settings import Settings

log = structlog.get_logger(__name__)

CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes256-ctr")
"""AES-GCM is a third faster here than what OpenSSH likes best (dependencies.md 4)."""
FETCH_SECONDS = 10.0
KEEPALIVE_SECONDS = 15.0
KEEPALIVES = 4
STOP_SECONDS = 5.0
CLOSE_SECONDS = 5.0


class SshServer:
    """A part: listens, and serves sessions until stopped."""

    name = "ssh"

    def __init__(
        self,
        settings: Settings,
        receiver: Receiver,
        keys: Sequence[asyncssh.SSHKey],
        metrics: Metrics,
    ) -> None:
        self.settings = settings
        self.port = 0
        """Where it listens, once it does."""
        self.listening = asyncio.Event()
        self.connections = Connections(receiver.bus, settings.connections, self.start)
        self._receiver = receiver
        self._keys = keys
        self._stop = asyncio.Event()
        self._sessions: set[asyncio.Task[None]] = set()
        self._gauge = metrics.gauge("builder_sessions", "SSH sessions that are open")
        self._served = metrics.counter(
            "builder_served_total", "SSH sessions that ended", ("kind", "code")
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until stopped; pushes whose build goes on elsewhere say so and end."""
        address = self.settings.address
        listener = await asyncssh.listen(
            address.host,
            address.port,
            server_factory=lambda: Door(self.connections),
            server_host_keys=list(self._keys),
            encoding=None,
            allow_pty=False,
            line_editor=False,
            agent_forwarding=False,
            x11_forwarding=False,
            gss_host=None,
            encryption_algs=CIPHERS,
            compression_algs=["none"],
            login_timeout=self.settings.login_seconds,
            keepalive_interval=KEEPALIVE_SECONDS,
            keepalive_count_max=KEEPALIVES,
            server_version="deis-builder",
        )
        self.port = listener.get_port()
        self.listening.set()
        log.info("git over SSH is served", address=address.host, port=self.port)
        try:
            await stop.wait()
        finally:
            listener.close()
            self._stop.set()
            if self._sessions:
                await asyncio.wait(self._sessions, timeout=STOP_SECONDS)
            for task in self._sessions:
                task.cancel()
            if self._sessions:
                await asyncio.wait(self._sessions)
            for connection in tuple(self.connections.open):
                connection.abort()
            await listener.wait_closed()
            self.listening.clear()

    def start(self, session: GitSession) -> None:
        """A session began: serve it in a task that outlives its client."""
        task = asyncio.create_task(self._serve(session), name="ssh session")
        self._sessions.add(task)
        task.add_done_callback(self._sessions.discard)

    async def _serve(self, session: GitSession) -> None:
        self._gauge.inc()
        kind, code = "other", 1
        try:
            kind, code = await self._command(session)
        except Exception as fault:
            # One session's bug ends that session; the others go on.
            log.exception("a session failed", fault=f"{type(fault).__name__}: {fault}")
            with contextlib.suppress(OSError):
                await session.finish(1, err=b"Something went wrong here; it is in the log.\n")
        finally:
            self._gauge.dec()
            self._served.labels(kind, str(code)).inc()
            session.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await session.wait_closed()

    async def _command(self, session: GitSession) -> tuple[str, int]:
        if session.command is None or session.subsystem is not None:
            await session.finish(1, err=render.NO_SHELL.encode())
            return "shell", 1
        try:
            asked = parse.command(session.command)
        except parse.NotServed as fault:
            await session.finish(1, err=f"{fault}\n".encode())
            return "refused", 1
        if isinstance(asked, parse.Ping):
            await session.finish(0, out=b"pong\n")
            return "ping", 0
        kind = "push" if asked.write else "fetch"
        try:
            code = await (self._push if asked.write else self._fetch)(session, asked.app)
        except Refused as fault:
            log.info("refused", kind=kind, app=asked.app, reason=fault.detail)
            await session.finish(1, out=render.packet(fault.detail))
            return kind, 1
        except (Transient, GitFault, OSError) as fault:
            log.warning("not served", kind=kind, app=asked.app, fault=str(fault))
            await session.finish(1, out=render.packet(render.AWAY))
            return kind, 1
        await session.shown(self.settings.stall_seconds)
        await session.finish(code)
        return kind, code

    async def _push(self, session: GitSession, app: str) -> int:
        return await self._receiver.receive(session, app, self._stop)

    async def _fetch(self, session: GitSession, app: str) -> int:
        asked = RepoOpen(fingerprint=session.fingerprint, app=app, write=False)
        opened = await call(self._receiver.bus, REPO_OPEN, asked, seconds=FETCH_SECONDS)
        repositories, limit = self._receiver.repositories, self.settings.stall_seconds
        path = await repositories.ensure(opened.appuuid)
        environment = repositories.git.environment(repositories.folder)
        argv = (repositories.git.program, "upload-pack", "--strict", str(path))
        git = await GitProcess.start(session, argv, environment)
        ends = (git.wait(), session.gone.wait(), session.stalled(limit), self._stop.wait())
        tasks: list[asyncio.Task[Any]] = [asyncio.create_task(part) for part in ends]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await git.end()
            git.close()
        code = await git.wait()
        return code if code >= 0 else 1
