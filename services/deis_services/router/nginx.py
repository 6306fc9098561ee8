"""One nginx: started closed, opened for requests once it has its table, ended with its workers.

A new configuration is rendered, tested, put in place and taken over with HUP; that it is in
force is known when the admin socket answers with its generation (dependencies.md 1).
"""

import asyncio
import contextlib
import grp
import itertools
import os
import pwd
import resource
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import structlog
from msgspec.structs import replace

from deis_platform.embedded.keeper import Keeper
from deis_services.router.admin import AdminFailed, AdminSocket
from deis_services.router.render import Layout, configuration
from deis_services.router.settings import STDERR

log = structlog.get_logger(__name__)

START_SECONDS = 10.0
POLL_SECONDS = 0.005
LOOK_SECONDS = 0.02
MAX_FILES = 16384
LOG_BYTES = 4 * 1024 * 1024


class NginxFailed(Exception):
    """nginx did not start, refused its configuration or did not take it over."""


class NginxSlow(NginxFailed):
    """It did not tell in time, which says nothing of the configuration."""


def worker_user() -> str:
    """`nobody` and its group when we are root, else nothing: workers run as we do."""
    if os.geteuid() != 0:
        return ""
    return f"nobody {grp.getgrgid(pwd.getpwnam('nobody').pw_gid).gr_name}"


def open_files() -> int:
    """How many files a worker may have open here."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)


class Nginx:
    """nginx in `folder`; `admin` is its socket. One `run()` at a time.

    `layout` is the configuration that it is given, then the one that is in force.
    """

    def __init__(self, binary: Path, folder: Path, layout: Layout, keeper: Keeper) -> None:
        self.layout, self._files = _with_stderr(layout)
        self._binary = binary
        self._folder = folder
        self._keeper = keeper
        self._generations = itertools.count(1)
        self._process: asyncio.subprocess.Process | None = None
        self._endings: set[asyncio.Task[None]] = set()
        self.admin = AdminSocket(folder / "admin" / "control.sock")

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncIterator[asyncio.subprocess.Process]:
        """Start it closed; at the end it and its workers are told to finish. Raises NginxFailed."""
        self._prepare()
        generation = await self._write(self.layout, open_for_requests=False)
        self._process = process = await asyncio.create_subprocess_exec(
            self._binary, "-p", "./", "-e", "error.log", "-c", "nginx.conf",
            cwd=self._folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=None if self.layout.error_stream else asyncio.subprocess.DEVNULL,
            pass_fds=self._files,
            start_new_session=True,
            env=self._keeper.environment,
        )  # fmt: skip
        self._keeper.record(process.pid)
        try:
            await self._in_force(generation)
            (self._folder / "admin" / "control.sock").chmod(0o600)
            yield process
        finally:
            self._process = None
            self.admin.close()
            ending = asyncio.create_task(self._end(process), name=f"end nginx {process.pid}")
            self._endings.add(ending)
            ending.add_done_callback(self._endings.discard)
            await asyncio.shield(_exited(process))

    async def open(self, layout: Layout | None = None) -> None:
        """Let requests in, with another layout where one is given. Raises NginxFailed."""
        if self._process is None:
            raise NginxFailed("nginx is not running")
        wanted = layout or self.layout
        generation = await self._write(wanted, open_for_requests=True)
        self._process.send_signal(signal.SIGHUP)
        await self._in_force(generation)
        self.layout = wanted

    async def check(self, layout: Layout) -> None:
        """Whether nginx would take it. Raises NginxFailed with nginx' words, NginxSlow."""
        self._put(configuration(layout, "check", open_for_requests=True))
        await self._test("nginx.new")

    async def ended(self) -> None:
        """Wait until nothing of what was started is left."""
        while self._endings:
            await asyncio.wait(set(self._endings))

    def trim_log(self) -> None:
        """Empty the error log once it is too long; nginx goes on at its new end."""
        path = self._folder / "error.log"
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_size > LOG_BYTES:
                log.warning("nginx' error log was emptied", last=self._last_words())
                os.truncate(path, 0)

    def _prepare(self) -> None:
        # What a killed nginx left would keep the next one from starting.
        (self._closed_folder() / "control.sock").unlink(missing_ok=True)

    def _closed_folder(self) -> Path:
        """The folder of the admin socket, which nginx wants even for a trial."""
        admin = self._folder / "admin"
        admin.mkdir(mode=0o700, exist_ok=True)
        admin.chmod(0o700)
        return admin

    async def _write(self, layout: Layout, *, open_for_requests: bool) -> str:
        """Put a configuration in place that nginx itself has tested; gives its generation."""
        generation = f"{os.getpid()}-{next(self._generations)}"
        self._put(configuration(layout, generation, open_for_requests=open_for_requests))
        await self._test("nginx.new")
        (self._folder / "nginx.new").replace(self._folder / "nginx.conf")
        return generation

    def _put(self, texts: dict[str, str]) -> None:
        """Write the files, the configuration itself under its name for trials."""
        self._closed_folder()
        for name, text in texts.items():
            fresh = (self._folder / name).with_suffix(".new")
            fresh.write_text(text, encoding="utf-8")
            if name != "nginx.conf":
                fresh.replace(self._folder / name)

    async def _test(self, name: str) -> None:
        tester = await asyncio.create_subprocess_exec(
            self._binary, "-t", "-q", "-p", "./", "-e", "stderr", "-c", name,
            cwd=self._folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            pass_fds=self._files,
            env={},
        )  # fmt: skip
        try:
            async with asyncio.timeout(START_SECONDS):
                _, errors = await tester.communicate()
        except TimeoutError as fault:
            tester.kill()
            await tester.wait()
            raise NginxSlow("nginx -t did not end") from fault
        if tester.returncode != 0:
            raise NginxFailed(errors.decode(errors="replace").strip()[-2000:])

    async def _in_force(self, generation: str) -> None:
        """Wait until the admin socket answers as `generation`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_SECONDS):
                while self._process is not None and self._process.returncode is None:
                    with contextlib.suppress(AdminFailed):
                        if await self.admin.generation() == generation:
                            return
                    await asyncio.sleep(POLL_SECONDS)
        raise NginxFailed(f"configuration not taken over: {self._last_words()}")

    def _last_words(self) -> str:
        try:
            with (self._folder / "error.log").open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - 500))
                return file.read().decode(errors="replace").strip()
        except FileNotFoundError:
            return "no error log"

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        """Master and workers, which may outlive it: finish what was begun, then end for good.

        A worker that was told to quit gives up its ports at once, so the next nginx can start.
        """
        group, loop = process.pid, asyncio.get_running_loop()
        _signal_group(group, signal.SIGQUIT)
        end = loop.time() + self.layout.shutdown_seconds + 1
        while _alive(group):
            if loop.time() > end:
                break
            await asyncio.sleep(LOOK_SECONDS)
        _signal_group(group, signal.SIGKILL)
        await process.wait()
        self._keeper.forget(group)


def _with_stderr(layout: Layout) -> tuple[Layout, tuple[int, ...]]:
    """Where the access log goes to our stderr: its file under another number, for nginx to inherit.
    nginx opens it by that name, also where its own stderr is a trial's."""
    if layout.access_log != STDERR:
        return layout, ()
    try:
        file = os.open(STDERR, os.O_WRONLY | os.O_APPEND)
    except OSError as fault:
        log.warning("no access log: stderr cannot be opened", fault=str(fault))
        return replace(layout, access_log=""), ()
    return replace(layout, access_log=f"/dev/fd/{file}"), (file,)


async def _exited(process: asyncio.subprocess.Process) -> None:
    """Wait for the master: its ports are free for the next one."""
    await process.wait()


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return any(_member(entry, group) for entry in os.listdir("/proc") if entry.isdigit())


def _member(pid: str, group: int) -> bool:
    """Whether it belongs to the group and is more than a zombie that nobody has fetched."""
    try:
        stat = Path("/proc", pid, "stat").read_text(encoding="latin-1")
    except OSError:
        return False
    state, _, leader = stat.rpartition(") ")[2].split()[:3]
    return leader == str(group) and state not in "ZX"
