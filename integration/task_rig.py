"""A workspace with slugs that it can fetch, and processes started out of it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from deis_bus.contracts.runtime import Artifact
from deis_platform.embedded.keeper import Keeper
from deis_services.runtime import images
from deis_services.runtime.spawn import Child, Command, spawn
from deis_services.runtime.workspace import Prepared, Workspace
from integration.builder_objects import Objects, archive, objects

UUID = "6f1f7f6e-0000-4000-8000-000000000001"
INSTANCE = "blog-web-bcdfghjkl2-mnpqr"


class Machine:
    """Everything that starts processes on one machine."""

    def __init__(self, folder: Path, store: Objects, keeper: Keeper, workspace: Workspace) -> None:
        self.folder = folder
        self.store = store
        self.keeper = keeper
        self.workspace = workspace

    def artifact(self, files: dict[str, str | bytes] | bytes, name: str = "1") -> Artifact:
        """A slug in the object store."""
        key = f"slugs/{name}.tgz"
        self.store.held[key] = files if isinstance(files, bytes) else archive(files)
        self.store.tokens["token"] = "slugs/"
        return Artifact(slug=key, url=self.store.url(key), token="token")

    async def prepared(
        self, files: dict[str, str | bytes] | None = None, *, appuuid: str = UUID
    ) -> Prepared:
        """A slug that lies ready."""
        artifact = self.artifact(files or {"Procfile": "web: true\n"}, name=f"{appuuid}-1")
        return await self.workspace.prepare("blog", appuuid, artifact)

    def command(
        self,
        prepared: Prepared,
        text: str,
        environment: Mapping[str, str] | None = None,
        **more: Any,
    ) -> Command:
        """The command line of an instance."""
        command = self.workspace.start(
            prepared, "web", text, environment or {}, 5001, more.pop("instance", INSTANCE)
        )
        return replace(command, **more)

    async def start(
        self, text: str, environment: Mapping[str, str] | None = None, **more: Any
    ) -> Child:
        """A process of the slug."""
        prepared = more.pop("prepared", None) or await self.prepared()
        return await spawn(self.command(prepared, text, environment, **more), self.keeper)

    async def output(
        self, text: str, environment: Mapping[str, str] | None = None, **more: Any
    ) -> tuple[int, str]:
        """Exit code, and everything printed, of a process that ends by itself."""
        child = await self.start(text, environment, **more)
        try:
            assert child.stdout is not None
            printed = await child.stdout.read()
            if child.stderr is not None:
                printed += await child.stderr.read()
            return await child.wait(), printed.decode()
        finally:
            await child.bury()


@asynccontextmanager
async def machine(folder: Path, image_file: str = "") -> AsyncIterator[Machine]:
    """One, with nothing running at the end."""
    place = folder / "runtime"
    workspace = Workspace(place, images.load(image_file))
    with objects() as store:
        async with Keeper(folder, "runtime", homes=place) as keeper:
            await workspace.clean()
            made = Machine(folder, store, keeper, workspace)
            try:
                yield made
            finally:
                for appuuid in workspace.known() | {UUID}:
                    await workspace.forget(appuuid)
