"""Where applications live on this machine: users, slugs, private folders (DESIGN 6, local).

    accounts.json              uids, kept over restarts
    boot                       the machine's boot in which the slugs below were written
    apps/<appuuid>/<slug>/     a slug, read-only, readable by its application alone
    run/<instance>/home, tmp   private to one process
    builds/<task>/             private to one build
    tools/<digest>/            as root, from a closed installation: `programs`

Names in the file system are hashes of what they stand for: short, because sockets lie below.
"""

import asyncio
import hashlib
import os
import re
import sys
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakValueDictionary

from deis_bus.contracts.runtime import Artifact
from deis_bus.errors import Refused
from deis_platform.embedded.keeper_process import boot_id
from deis_platform.embedded.owners import Owner, barrier
from deis_platform.logs import get_logger
from deis_platform.trees import remove_tree
from deis_services.runtime import slugs
from deis_services.runtime.accounts import Accounts
from deis_services.runtime.images import Images
from deis_services.runtime.limits import find_limits
from deis_services.runtime.programs import Programs, reachable
from deis_services.runtime.spawn import Command

log = get_logger(__name__)

UIDS = range(1_900_000_000, 2_000_000_000)
"""Above what containers and user namespaces are usually given."""
SLUG_LIMIT = 1024 * 1024 * 1024
BASH = "/bin/bash"
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
IDENTITY = re.compile(r"[A-Za-z0-9-]{1,64}")
USER = "app"


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """An artifact that lies ready for an application."""

    appuuid: str
    folder: Path
    owner: Owner
    slug: bool
    command: str = ""
    """An image's own command."""
    port: int = 0
    """The port that an image exposes; 0: not said."""


@dataclass(frozen=True, kw_only=True)
class BuildSpace:
    """The folders of one build."""

    folder: Path
    owner: Owner

    @property
    def work(self) -> Path:
        """Where the slugbuilder works."""
        return self.folder / "work"

    @property
    def env_dir(self) -> Path:
        """One file per value of the application's configuration."""
        return self.folder / "env"

    @property
    def temporary(self) -> Path:
        """Its TMPDIR."""
        return self.folder / "tmp"


class Workspace:
    """Folders, users and command lines of everything that runs."""

    def __init__(
        self,
        folder: Path,
        images: Images,
        *,
        uids: range = UIDS,
        slug_limit_bytes: int = SLUG_LIMIT,
        path: str | None = None,
    ) -> None:
        self.folder = folder.absolute()
        self.limits = find_limits(short(str(self.folder)))
        self._images = images
        self._slug_limit = slug_limit_bytes
        self._root = os.geteuid() == 0
        self._anybody = Owner(uids[0], uids[0]) if self._root else Owner()
        self.programs = Programs()
        path = os.environ.get("PATH", os.defpath) if path is None else path
        self.base = {
            "PATH": _path(path, self._anybody),
            "LANG": "C.UTF-8",
            "USER": USER,
            "LOGNAME": USER,
        }
        """What every process finds in its environment, whoever's it is."""
        for place in (self.folder, *map(self.folder.joinpath, ("apps", "run", "builds"))):
            place.mkdir(parents=True, exist_ok=True)
            place.chmod(0o711 if self._root else 0o700)
        self._accounts = Accounts(self.folder / "accounts.json", uids)
        self._fetching: WeakValueDictionary[Path, asyncio.Lock] = WeakValueDictionary()
        self._instances: defaultdict[str, dict[str, Path]] = defaultdict(dict)
        """By application: what was started and not yet buried, and the folder it runs in."""

    async def clean(self) -> None:
        """After a start, before anything runs: remove what a killed runtime left behind.

        Processes that fled from the keeper under another user, private folders, half-fetched
        slugs, and all slugs where the machine was started anew, as they may not be whole. Lays
        out what applications and builds run of ours. Raises OSError.
        """
        for key in self._accounts.keys():  # noqa: SIM118 - no mapping
            await (self._accounts.free if key.startswith("build/") else self._accounts.end)(key)
        await asyncio.to_thread(self._sweep)
        self.programs = await asyncio.to_thread(reachable, self.folder, self._anybody)

    async def prepare(self, app: str, appuuid: str, artifact: Artifact) -> Prepared:
        """Lay out a slug or find an image.

        Raises Refused 400 with a sentence for what will never run here, Transient while the slug
        cannot be had.
        """
        if not IDENTITY.fullmatch(appuuid):
            raise Refused(400, "not the identity of an application")
        owner = self._owner(f"app/{appuuid}")
        if artifact.image:
            return self._image(appuuid, owner, artifact.image)
        place = self._of_app(appuuid, owner) / short(artifact.slug)
        async with self._fetching.setdefault(place, asyncio.Lock()):
            if not place.is_dir():
                await slugs.fetch_and_extract(artifact, place, self._slug_limit)
                log.info("slug unpacked", app=app, slug=artifact.slug)
        return Prepared(appuuid=appuuid, folder=place, owner=owner, slug=True)

    def start(
        self,
        prepared: Prepared,
        process_type: str,
        command: str,
        environment: Mapping[str, str],
        port: int | None,
        instance: str,
    ) -> Command:
        """The command line of one process, as slugrunner starts it (components.md 3.5).

        An empty `command` is the artifact's own for that type. Makes the instance's private
        folders where they are not there yet.
        """
        self._instances[prepared.appuuid][instance] = prepared.folder
        own = self._private(prepared, instance)
        home = own / "home"
        told = {
            **self.base,
            "TMPDIR": str(own / "tmp"),
            **environment,
            "HOME": str(home),
        }
        if port is not None:
            told["PORT"] = str(port)
        if prepared.slug:
            words = [command] if command else ["start", process_type]
            argv = self.programs.runner(*words)
        else:
            argv = (BASH, "-c", command or prepared.command)
        return Command(
            argv=argv,
            cwd=prepared.folder,
            environment=told,
            owner=prepared.owner,
            home=own,
            limits=self.limits,
        )

    async def done(self, appuuid: str, instance: str) -> None:
        """The instance is buried: remove its private folders."""
        self._instances[appuuid].pop(instance, None)
        await asyncio.to_thread(remove_tree, self._instance(appuuid, instance))

    async def keep_only(self, appuuid: str, slugs_kept: set[str]) -> None:
        """Remove the slugs of an application but those with these object keys, and what runs.

        A one-off command may run in an older release; its slug goes the next time.
        """
        names = {short(key) for key in slugs_kept}
        for place in await asyncio.to_thread(_slugs, self.folder / "apps" / appuuid):
            async with self._fetching.setdefault(place, asyncio.Lock()):
                if place.name not in names and place not in self._in_use(appuuid):
                    await asyncio.to_thread(_remove_slug, place)

    async def forget(self, appuuid: str) -> None:
        """Remove everything of an application; what still runs as its user is killed."""
        user = f"app/{appuuid}"
        await self._accounts.end(user)
        for instance in self._instances.pop(appuuid, {}):
            await asyncio.to_thread(remove_tree, self._instance(appuuid, instance))
        await asyncio.to_thread(remove_tree, self.folder / "apps" / appuuid)
        await self._accounts.free(user)

    def known(self) -> set[str]:
        """Identities of applications that something is kept of."""
        return {path.name for path in (self.folder / "apps").iterdir()}

    def build_space(self, task: str, config: Mapping[str, str]) -> "BuildSpace":
        """Empty folders for a build, with the application's configuration as env-dir.

        Blocks: call it in a thread. Raises Refused, OSError.
        """
        owner = self._owner(f"build/{task}")
        place = self.folder / "builds" / short(task)
        remove_tree(place)
        owner.folder(place)
        space = BuildSpace(folder=place, owner=owner)
        for folder in (space.work, space.env_dir, space.temporary):
            owner.folder(folder)
        for name, value in config.items():
            if VARIABLE.fullmatch(name):
                path = space.env_dir / name
                path.write_text(value)
                owner.own(path)
        return space

    async def build_done(self, task: str) -> None:
        """End what still runs of a build, remove its folder, give its user back."""
        await self._accounts.end(f"build/{task}")
        await asyncio.to_thread(remove_tree, self.folder / "builds" / short(task))
        await self._accounts.free(f"build/{task}")

    def _in_use(self, appuuid: str) -> Collection[Path]:
        return self._instances.get(appuuid, {}).values()

    def _owner(self, key: str) -> Owner:
        try:
            return self._accounts.of(key)
        except LookupError as fault:
            raise Refused(400, f"Nothing more can run here: {fault.args[0]}") from fault

    def _of_app(self, appuuid: str, owner: Owner) -> Path:
        place = self.folder / "apps" / appuuid
        place.mkdir(exist_ok=True)
        if self._root:
            os.chown(place, 0, owner.gid)
        place.chmod(0o750 if self._root else 0o700)
        return place

    def _image(self, appuuid: str, owner: Owner, name: str) -> Prepared:
        image = self._images.find(name)
        if not image.folder.is_dir():
            raise Refused(400, f"The image {name} has no folder: {image.folder} is not there")
        closed = barrier(image.folder / "x", owner)
        if closed is not None:
            raise Refused(
                400, f"The image {name} cannot run: {closed} is closed to the applications' users"
            )
        return Prepared(
            appuuid=appuuid,
            folder=image.folder,
            owner=owner,
            slug=False,
            command=image.command,
            port=image.port,
        )

    def _instance(self, appuuid: str, instance: str) -> Path:
        return self.folder / "run" / short(f"{appuuid} {instance}")

    def _private(self, prepared: Prepared, instance: str) -> Path:
        place = self._instance(prepared.appuuid, instance)
        if place.is_dir():
            return place
        prepared.owner.folder(place)
        home = prepared.owner.folder(place / "home")
        prepared.owner.folder(place / "tmp")
        if prepared.slug:
            # Buildpacks' .profile.d finds the slug below $HOME, programs want to write there.
            for entry in os.scandir(prepared.folder):
                os.symlink(entry.path, home / entry.name)
        return place

    def _sweep(self) -> None:
        boot = self.folder / "boot"
        anew = not boot.is_file() or boot.read_text() != boot_id()
        for place in ("run", "builds"):
            for path in (self.folder / place).iterdir():
                remove_tree(path)
        for path in (self.folder / "apps").glob("*/*"):
            if anew or path.name.startswith("."):
                remove_tree(path)
        boot.write_text(boot_id())
        self.limits.sweep()


def _slugs(folder: Path) -> list[Path]:
    """The slugs of an application; what is half there begins with a dot."""
    return [path for path in folder.glob("*") if not path.name.startswith(".")]


def _remove_slug(place: Path) -> None:
    """Out of its place first: a runtime killed meanwhile must not find half of it there."""
    going = slugs.part_of(place)
    place.rename(going)
    remove_tree(going)


def short(name: str) -> str:
    """A name for the file system that stands for another one."""
    return hashlib.sha256(name.encode()).hexdigest()[:12]


def _path(path: str, anybody: Owner) -> str:
    """PATH for applications: what they can reach, without our own interpreter's packages."""
    ours = os.path.dirname(sys.executable) if sys.prefix != sys.base_prefix else ""
    return os.pathsep.join(
        place
        for place in path.split(os.pathsep)
        if os.path.isabs(place) and place != ours and barrier(Path(place, "x"), anybody) is None
    )
