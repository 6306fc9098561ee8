"""A builder with everything around it: real git, SSH, NATS and PostgreSQL, the real controller.

Only the runtime is the one in memory, so that a test says what a build does.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncssh
import msgspec

from deis_bus.contracts.runtime import BuildRun
from deis_bus.jetstream import JetStreamBus, connect
from deis_bus.ports import ByteStream
from deis_platform.groups import DatabaseSettings
from deis_platform.metrics import Metrics
from deis_platform.objects import ObjectStore, open_objects
from deis_platform.runner import run_parts
from deis_platform.runtime.choose import OpenedBuilds
from deis_platform.runtime.memory import MemoryRuntime
from deis_platform.settings import load
from deis_services.builder.service import Parts
from deis_services.builder.settings import Settings
from deis_services.controller.leader import Nudges
from deis_services.controller.service import Started
from integration.controller_api.rig import Api
from integration.controller_rig import dependencies, settings_of
from integration.servers import RunningNats, until

SLUG = b"not really a slug"
HELLO = {"Procfile": "web: ./run\n", "run": "#!/bin/sh\necho hello\n"}


class Typed(msgspec.Struct, frozen=True):
    """How a command ended."""

    code: int
    output: str
    """What it wrote on standard output and error, without cursor movements."""


class Builds:
    """What builds do: `programs` of an application by name, else `succeed`."""

    def __init__(self, objects: ObjectStore) -> None:
        self.seen: list[BuildRun] = []
        self.programs: dict[str, Any] = {}
        self._objects = objects

    async def __call__(self, task: BuildRun, stream: ByteStream) -> int:
        self.seen.append(task)
        program = self.programs.get(task.app, self.succeed)
        code: int = await program(task, stream)
        return code

    async def succeed(self, task: BuildRun, stream: ByteStream) -> int:
        """A build that makes a slug."""
        await stream.send(b"-----> Python app detected\n       It is fine\n")
        key = task.slug_url.split("/artifacts/")[1]
        result = {"procfile": {"web": "./run"}, "slug_bytes": 17, "stages": {"compile": 0.25}}
        await self._objects.put(key, _bytes(SLUG))
        await self._objects.put(f"{key}.json", _bytes(msgspec.json.encode(result)))
        return 0


class BuilderRig:
    """One platform without gateway, router and processes."""

    def __init__(
        self, folder: Path, runtime: MemoryRuntime, objects: ObjectStore, api: Api | None = None
    ) -> None:
        self.folder = folder
        self.runtime = runtime
        self.objects = objects
        self.builds = Builds(objects)
        self.port = 0
        self._api = api
        runtime.build_program = self.builds

    @property
    def api(self) -> Api:
        """The controller."""
        if self._api is None:
            raise TypeError("this platform has no controller")
        return self._api

    def settings(self, **changes: Any) -> Settings:
        """A builder's settings in this folder."""
        environ = {
            "DEIS_OBJECTS_URL": f"file://{self.folder}/objects",
            "DEIS_BUILDER_FOLDER": str(self.folder / "builder"),
            "DEIS_BUILDER_ADDRESS": "127.0.0.1:0",
            "DEIS_SECRET_FILE": str(self.folder / "master.key"),
            "DEIS_BUILDER_POLL_SECONDS": "0.5",
        }
        return replace(load(Settings, environ), **changes)

    @asynccontextmanager
    async def builder(
        self, nats: RunningNats, objects: ObjectStore | None = None, **changes: Any
    ) -> AsyncIterator[Parts]:
        """A builder that serves until the block ends."""
        stop = asyncio.Event()
        async with connect(nats.url, "builder") as bus:
            store = objects or self.objects
            settings = self.settings(**changes)
            builds = OpenedBuilds(self.runtime)
            parts = Parts(settings, bus, store, builds, os.environ["PATH"])
            running = asyncio.create_task(run_parts(parts.all, stop, 8.0))
            try:
                await asyncio.wait_for(parts.ssh.listening.wait(), 10)
                self.port = parts.ssh.port
                yield parts
            finally:
                stop.set()
                await running

    async def person(self, name: str) -> "Pusher":
        """A user with a key of their own."""
        user = await self.api.user(name)
        home = self.folder / f"home-{name}"
        home.mkdir()
        key = asyncssh.generate_private_key("ssh-ed25519")
        path = home / "key"
        path.write_bytes(key.export_private_key())
        path.chmod(0o600)
        public = key.export_public_key().decode().strip()
        md5 = key.get_fingerprint("md5").removeprefix("MD5:")
        async with self.api.deps.db.transaction() as tx:
            await tx.execute(
                "INSERT INTO keys (user_id, id, public, fingerprint) VALUES ($1, $2, $3, $4)",
                user.id,
                name,
                public,
                md5,
            )
        return Pusher(self, name, home)

    async def push_rows(self) -> list[dict[str, Any]]:
        """Every push so far, oldest first."""
        return await self.api.rows("SELECT * FROM pushes ORDER BY created")


class Pusher:
    """Somebody at a terminal with git and ssh."""

    def __init__(self, rig: BuilderRig, name: str, home: Path) -> None:
        self.name = name
        self.home = home
        self._rig = rig

    @property
    def ssh(self) -> tuple[str, ...]:
        """The ssh command."""
        options = (
            "IdentitiesOnly=yes",
            "BatchMode=yes",
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
        )
        words = [word for option in options for word in ("-o", option)]
        return ("ssh", "-F", "/dev/null", "-i", str(self.home / "key"), *words)

    def environment(self) -> dict[str, str]:
        """Of every command."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_SSH_COMMAND": " ".join(self.ssh),
            "GIT_AUTHOR_NAME": self.name,
            "GIT_AUTHOR_EMAIL": f"{self.name}@example.com",
            "GIT_COMMITTER_NAME": self.name,
            "GIT_COMMITTER_EMAIL": f"{self.name}@example.com",
        }

    def url(self, app: str) -> str:
        """The remote of an application."""
        return f"ssh://git@127.0.0.1:{self._rig.port}/{app}.git"

    async def app(self, name: str, files: Mapping[str, str] | None = None) -> Path:
        """A new application and a working tree with one commit for it."""
        created = await self._rig.api.send("apps.create", self.name, {"id": name})
        if created.status != 201:
            raise AssertionError(created)
        return await self.tree(name, HELLO if files is None else files)

    async def tree(self, name: str, files: Mapping[str, str]) -> Path:
        """A working tree with one commit."""
        folder = self.home / name
        folder.mkdir()
        await self.git(folder, "init", "-q", "-b", "main")
        await self.commit(folder, files)
        return folder

    async def commit(self, folder: Path, files: Mapping[str, str]) -> str:
        """Write files and commit; gives the commit."""
        for path, text in files.items():
            (folder / path).write_text(text)
        await self.git(folder, "add", "-A")
        await self.git(folder, "commit", "-q", "--allow-empty", "-m", "a change")
        return (await self.git(folder, "rev-parse", "HEAD")).output.strip()

    async def git(self, folder: Path, *args: str, code: int | None = 0) -> Typed:
        """Run git to its end; `code` None: however it ends."""
        return await self.types("git", *args, folder=folder, code=code)

    async def push(self, folder: Path, *refs: str, app: str = "", code: int | None = 0) -> Typed:
        """`git push` of these refs (`main`) to the application of that folder's name."""
        given = refs or ("main",)
        return await self.git(folder, "push", self.url(app or folder.name), *given, code=code)

    async def on_ssh(self, *args: str, code: int | None = 0, flags: tuple[str, ...] = ()) -> Typed:
        """`ssh` to the builder."""
        program, *options = self.ssh
        port = str(self._rig.port)
        argv = (program, *flags, *options, "-p", port, "git@127.0.0.1", *args)
        return await self.types(*argv, folder=self.home, code=code)

    async def types(self, *argv: str, folder: Path, code: int | None = 0) -> Typed:
        """Run a program to its end."""
        process = await self.starts(*argv, folder=folder)
        out, _ = await process.communicate()
        output = out.decode(errors="replace").replace("\x1b[1G", "").replace("\x1b[K", "")
        if code is not None and process.returncode != code:
            raise AssertionError(f"{argv} ended with {process.returncode}:\n{output}")
        return Typed(process.returncode or 0, output)

    async def starts(self, *argv: str, folder: Path) -> asyncio.subprocess.Process:
        """Start a program in a session of its own."""
        return await asyncio.create_subprocess_exec(
            *argv,
            cwd=folder,
            env=self.environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )


@asynccontextmanager
async def controlled(
    nats: RunningNats,
    database: DatabaseSettings,
    bus: JetStreamBus,
    folder: Path,
    **changes: Any,
) -> AsyncIterator[BuilderRig]:
    """The controller with all its parts, no builder yet."""
    stop = asyncio.Event()
    nudges = Nudges()
    async with AsyncExitStack() as stack:
        runtime = MemoryRuntime(await stack.enter_async_context(connect(nats.url, "runtime")))
        settings = settings_of(database, folder, **changes)
        deps = await stack.enter_async_context(dependencies(settings, bus, runtime, nudges))
        objects = await stack.enter_async_context(open_objects(settings.objects))
        running = asyncio.create_task(
            run_parts((Started(deps, nudges, Metrics("controller")),), stop, 8.0)
        )
        try:
            await until(lambda: nudges.term is not None, "the controller leads")
            yield BuilderRig(folder, runtime, objects, Api(deps))
        finally:
            stop.set()
            await running


async def _bytes(data: bytes) -> AsyncIterator[bytes]:
    yield data
