"""One build, step by step (components.md 3.2)."""

import base64
import binascii
import json
import os
import re
import shutil
import signal
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from deis_services.slugbuilder import choose, pack, parse, programs, say, transfer
from deis_services.slugbuilder.errors import BuildError
from deis_services.slugbuilder.task import Task, close_to_others, take
from deis_services.slugbuilder.unpack import unpack

STACK = "heroku-22"
CACHE_LIMIT = 1024 * 1024 * 1024
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
MAX_VALUE = 512 * 1024


def main() -> int:
    """Build what the environment says, in the working directory; gives the exit code."""
    close_to_others()
    os.umask(0o022)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        task = take(os.environ, Path.cwd())
    except (KeyError, ValueError) as fault:
        print(f"slugbuilder: the environment lacks {fault}", file=sys.stderr)  # noqa: T201
        return 2
    try:
        Build(task).run()
    except BuildError as fault:
        say.title(str(fault))
        return fault.code
    except OSError as fault:  # the machine's, such as a full disk
        say.title(f"The build cannot go on: {fault.strerror or fault}")
        return 1
    return 0


class Build:
    """The folders and findings of one build."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.build = task.work / "build"
        self.cache = task.work / "cache"
        self.env = task.work / "env"
        self.home = task.work / "home"
        for folder in (self.build, self.cache, self.env, self.home):
            folder.mkdir(mode=0o755, exist_ok=True)
        self.config: dict[str, str] = {}
        self.stages: dict[str, float] = {}
        self.newest: float = 0.0
        self.environ = dict(os.environ)
        self._cache_was = ""

    def run(self) -> None:
        """Everything, in order. Raises BuildError."""
        with self._stage("fetch"):
            self._fetch()
        with self._stage("restore"):
            self._restore()
        self._environment()
        with self._stage("compile"):
            buildpack = self._select()
            self._compile(buildpack)
        types = self._types(buildpack)
        with self._stage("pack"):
            slug, size = self._pack()
        with self._stage("cache"):
            self._keep_cache()
        say.title(f"Compiled slug size is {say.human(size)}")
        with self._stage("upload"):
            transfer.store(self.task.slug_url, self.task.slug_token, slug)
        self._report(types, size, buildpack)

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.stages[name] = round(time.monotonic() - began, 3)

    def _fetch(self) -> None:
        archive = self.task.work / "source.tar.gz"
        if not transfer.fetch(self.task.source_url, self.task.source_token, archive):
            raise BuildError("The source is no longer in the object store")
        unpack(archive, self.build)
        archive.unlink()
        times = (path.lstat().st_mtime for path in pack.walk(self.build) if path.is_file())
        self.newest = max(times, default=0.0)

    def _restore(self) -> None:
        if not self.task.cache_url:
            return
        say.title("Restoring cache...")
        archive = self.task.work / "cache.tgz"
        try:
            found = transfer.fetch(self.task.cache_url, self.task.cache_token, archive)
            if found:
                unpack(archive, self.cache, strict=False)
            say.detail("Restored" if found else "Nothing to restore yet")
        except BuildError as fault:
            # A cache only saves time: the build goes on without it.
            shutil.rmtree(self.cache, ignore_errors=True)
            self.cache.mkdir()
            say.detail(f"Not restored: {fault}")
        archive.unlink(missing_ok=True)
        self._cache_was = pack.fingerprint(self.cache)

    def _environment(self) -> None:
        """The env-dir as a folder of plain files, and what buildpacks find in their environment."""
        for path in sorted(self.task.env_dir.iterdir()) if self.task.env_dir else ():
            if VARIABLE.fullmatch(path.name) and path.is_file():
                text = path.read_bytes()[:MAX_VALUE]
                (self.env / path.name).write_bytes(text)
                self.config[path.name] = text.decode("utf-8", "replace")
        self.environ |= {
            "APP_DIR": str(self.build),
            "HOME": str(self.home),
            "STACK": STACK,
            "REQUEST_ID": uuid.uuid4().hex,
            "SOURCE_VERSION": self.task.version,
            "DEIS_PYTHON": sys.executable,
        }
        self.environ |= choose.git_environment(self._ssh_key())

    def _ssh_key(self) -> Path | None:
        encoded = self.config.get("SSH_KEY")
        if not encoded:
            return None
        try:
            key = base64.b64decode("".join(encoded.split()), validate=True)
        except (binascii.Error, ValueError):
            raise BuildError("SSH_KEY is not base64 text") from None
        folder = self.home / ".ssh"
        folder.mkdir(mode=0o700, exist_ok=True)
        path = folder / "id_rsa"
        path.write_bytes(key.rstrip(b"\n") + b"\n")
        path.chmod(0o400)
        return path

    def _select(self) -> choose.Buildpack:
        url = self.config.get("BUILDPACK_URL", "").strip()
        if url:
            into = self.task.work / "buildpack"
            found = choose.custom(url, into, self.build, self.environ)
        else:
            errors = self.config.get("DEIS_BUILDPACK_DEBUG", "").lower() == "true"
            found = choose.built_in(self.build, self.environ, errors=errors)
        say.title(f"{found.name} app detected")
        return found

    def _compile(self, buildpack: choose.Buildpack) -> None:
        self._hook("pre-compile")
        argv = [*buildpack.program("compile"), self.build, self.cache, self.env]
        code = programs.relayed(argv, self.build, self.environ)
        if code:
            raise BuildError(f"{buildpack.name}: bin/compile exited with code {code}", code & 255)
        self._release(buildpack)
        self._hook("post-compile")

    def _hook(self, name: str) -> None:
        path = self.build / "bin" / name
        if not programs.is_program(path):
            return
        code = programs.relayed([path], self.build, self.environ)
        if code:
            raise BuildError(f"bin/{name} exited with code {code}", code & 255)

    def _release(self, buildpack: choose.Buildpack) -> None:
        argv = [*buildpack.program("release"), self.build]
        code, text = programs.answered(argv, self.build, self.environ)
        try:
            types, variables = parse.release(text if code == 0 else "")
        except parse.Malformed as fault:
            raise BuildError(str(fault)) from None
        # JSON is YAML too, and what starts the slug reads it with the standard library alone.
        told = {"default_process_types": types, "config_vars": variables}
        (self.build / ".release").write_text(json.dumps(told), encoding="utf-8")

    def _types(self, buildpack: choose.Buildpack) -> dict[str, str]:
        """The process types: the Procfile's, else the buildpack's default ones."""
        say.title("Discovering process types")
        defaults, _ = self._read(".release", parse.release) or ({}, {})
        declared = self._read("Procfile", parse.procfile)
        if declared is not None:
            say.detail(f"Procfile declares types -> {', '.join(declared) or '(none)'}")
        if defaults:
            say.detail(f"Default process types for {buildpack.name} -> {', '.join(defaults)}")
        types = defaults if declared is None else declared
        if not types:
            say.detail("Nothing says what to start: add a Procfile, e.g. `web: ./server`")
        return types

    def _read(self, name: str, meaning: Callable[[str], parse.T]) -> parse.T | None:
        path = self.build / name
        if not path.is_file() or path.is_symlink():
            return None
        try:
            with path.open("rb") as file:
                return meaning(file.read(parse.MAX_TEXT + 1).decode("utf-8"))
        except UnicodeDecodeError:
            raise BuildError(f"{name}: not UTF-8 text") from None
        except parse.Malformed as fault:
            raise BuildError(str(fault)) from None

    def _pack(self) -> tuple[Path, int]:
        ignored = self._read(".slugignore", parse.ignored) or (lambda _: False)

        def leave_out(path: str) -> bool:
            return path.split("/", 1)[0] == ".git" or ignored(path)

        pack.check_links(self.build, leave_out)
        slug = self.task.work / "slug.tgz"
        limit = self.task.slug_limit_bytes
        size = pack.pack(
            self.build,
            slug,
            newest=self.newest,
            leave_out=leave_out,
            limit_bytes=limit,
            what="The slug",
        )
        return slug, size

    def _keep_cache(self) -> None:
        if not self.task.cache_url:
            return
        say.title("Checking for changes to the cache")
        if not any(self.cache.iterdir()):
            say.detail("Nothing to keep")
            return
        if pack.fingerprint(self.cache) == self._cache_was:
            say.detail("Unchanged")
            return
        archive = self.task.work / "cache.tgz"
        try:
            size = pack.pack(self.cache, archive, limit_bytes=CACHE_LIMIT, what="The cache")
            transfer.store(self.task.cache_url, self.task.cache_token, archive)
        except BuildError as fault:
            say.detail(f"Not kept: {fault}")
        else:
            say.detail(f"Uploaded ({say.human(size)})")

    def _report(self, types: dict[str, str], size: int, buildpack: choose.Buildpack) -> None:
        """The result beside the slug, for the worker that reports it."""
        result = {
            "procfile": types,
            "slug_bytes": size,
            "buildpack": buildpack.name,
            "stages": self.stages,
        }
        path = self.task.work / "result.json"
        path.write_text(json.dumps(result), encoding="utf-8")
        transfer.store(self.task.result_url, self.task.slug_token, path)
