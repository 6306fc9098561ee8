"""Bare repositories under identities: a cache, a lost one comes back with the next push."""

import asyncio
import contextlib
import re
import secrets
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from deis_platform import process
from deis_platform.trees import remove_tree

EMPTY_TREES = (
    "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
)
HELD_SECONDS = 10.0
QUICK_SECONDS = 30.0
CHUNK_BYTES = 256 * 1024
BIG_FILE = "16m"
"""Files above that size pass through git piece by piece; it holds smaller ones in memory whole, and
a pack of few bytes may hold very large ones."""
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Held(Exception):
    """Another session still uses the repository."""


class GitFault(Exception):
    """git could not do it; the text is fit for the log, not for users."""


class Git(msgspec.Struct, frozen=True):
    """Which git runs, and where it finds its parts."""

    program: str
    search: str
    """`PATH` of git and of the hook."""

    def environment(self, home: Path) -> dict[str, str]:
        """Nothing of ours, no configuration but what we say."""
        return {
            "PATH": self.search,
            "HOME": str(home),
            "LC_ALL": "C",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "core.bigFileThreshold",
            "GIT_CONFIG_VALUE_0": BIG_FILE,
        }


class Repositories:
    """The bare repositories of one folder, `<appuuid>.git`."""

    def __init__(self, folder: Path, git: Git) -> None:
        self.folder = folder
        self.git = git
        self._in_use: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    def path(self, appuuid: str) -> Path:
        """Where an application's repository is. Raises ValueError for what is no identity."""
        if not _UUID.fullmatch(appuuid):
            raise ValueError(f"not an identity: {appuuid[:80]!a}")
        return self.folder / f"{appuuid}.git"

    async def ensure(self, appuuid: str) -> Path:
        """The repository, made empty where there is none. Raises GitFault."""
        path = self.path(appuuid)
        if not (path / "HEAD").exists():
            fresh = self.folder / f".{appuuid}.{secrets.token_hex(4)}"
            options = ("--bare", "--quiet", "--template=", "--initial-branch=main")
            try:
                await self._quick("init", *options, "--", str(fresh))
                with contextlib.suppress(OSError):  # another session was faster
                    fresh.rename(path)
            finally:
                remove_tree(fresh)
        return path

    @asynccontextmanager
    async def receiving(self, appuuid: str) -> AsyncIterator[Path]:
        """The repository for one push, free of what a killed git left. Raises Held, GitFault."""
        lock = self._in_use.setdefault(appuuid, asyncio.Lock())
        try:
            async with asyncio.timeout(HELD_SECONDS):
                await lock.acquire()
        except TimeoutError:
            raise Held from None
        try:
            path = await self.ensure(appuuid)
            await asyncio.to_thread(_tidy, path)
            try:
                yield path
            finally:
                await asyncio.to_thread(_tidy, path)
        finally:
            lock.release()

    async def is_empty(self, path: Path, sha: str, objects: Mapping[str, str]) -> bool:
        """Whether a commit has no files; `objects` say where it lies.

        Raises GitFault, also for what is no commit: git would not let a branch have it.
        """
        names = (f"{sha}^{{commit}}", f"{sha}^{{tree}}")
        answer = await self._quick("--git-dir", str(path), "rev-parse", *names, objects=objects)
        commit, tree = answer.decode().split()
        if commit != sha:
            raise GitFault(f"{sha} is no commit")
        return tree in EMPTY_TREES

    async def archive(
        self, path: Path, sha: str, objects: Mapping[str, str]
    ) -> AsyncGenerator[bytes, None]:
        """The tree of a commit as a gzip tar. Raises GitFault."""
        argv = (self.git.program, "--git-dir", str(path), "archive", "--format=tar.gz", "-1", sha)
        running = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=self.git.environment(self.folder) | dict(objects),
            start_new_session=True,
        )
        if running.stdout is None:
            raise TypeError("a process without pipes")
        try:
            while chunk := await running.stdout.read(CHUNK_BYTES):
                yield chunk
            code = await running.wait()
        finally:
            await process.end(running)
        if code:
            raise GitFault(f"git archive ended with {code}")

    async def remove(self, appuuid: str) -> None:
        """The repository goes, and what was left of it by a builder that was killed meanwhile;
        none there is no error."""
        path = self.path(appuuid)
        gone = self.folder / f".{appuuid}.{secrets.token_hex(4)}"
        with contextlib.suppress(FileNotFoundError):
            path.rename(gone)
        for left in tuple(self.folder.glob(f".{appuuid}.*")):
            await asyncio.to_thread(remove_tree, left)

    def held(self) -> list[str]:
        """Identities that have a repository here."""
        names = (path.name.removesuffix(".git") for path in self.folder.glob("*.git"))
        return [name for name in names if _UUID.fullmatch(name)]

    async def _quick(self, *args: str, objects: Mapping[str, str] | None = None) -> bytes:
        environment = self.git.environment(self.folder) | dict(objects or {})
        argv = (self.git.program, *args)
        try:
            done = await process.run(argv, env=environment, seconds=QUICK_SECONDS, check=True)
        except process.ProcessError as fault:
            raise GitFault(str(fault)) from fault
        return done.stdout


def _tidy(path: Path) -> None:
    """Remove locks and half-received packs of a git that was killed; nobody else is in there."""
    for pattern in ("*.lock", "refs/**/*.lock", "objects/info/*.lock"):
        for lock in path.glob(pattern):
            lock.unlink(missing_ok=True)
    for pattern in ("incoming-*", "tmp_objdir-*"):
        for folder in (path / "objects").glob(pattern):
            remove_tree(folder)
