"""The object store: big values under keys (docs/architecture.md lists the keys).

async with open_objects(settings.objects) as objects:
    info = await objects.put("slugs/4f…/1-1.tgz", chunks)
    async with objects.get(key) as (info, chunks): …
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from deis_bus.errors import Transient
from deis_platform.groups import ObjectsSettings
from deis_platform.objects.directory import DirectoryStore
from deis_platform.objects.port import (
    BadKey,
    NoObject,
    ObjectInfo,
    ObjectStore,
    StoreFull,
    TooLarge,
    check_key,
)
from deis_platform.objects.where import check_settings

__all__ = [
    "BadKey",
    "DirectoryStore",
    "NoObject",
    "ObjectInfo",
    "ObjectStore",
    "StoreFull",
    "TooLarge",
    "check_key",
    "check_settings",
    "open_objects",
]


@asynccontextmanager
async def open_objects(
    settings: ObjectsSettings, *, prepare: bool = True
) -> AsyncIterator[ObjectStore]:
    """The store that the settings name, cleared of what killed writers left.

    With `prepare` False it is only looked at. Raises ValueError as `check_settings` does.
    """
    place = check_settings(settings)
    if isinstance(place, Path):
        store = DirectoryStore(place, min_free_bytes=settings.min_free_bytes)
        if prepare:
            with suppress(Transient):
                await store.sweep()
        yield store
        return
    # Only who has a bucket carries the library (decisions/0017).
    from deis_platform.objects.s3 import open_s3

    async with open_s3(settings, *place, prepare=prepare) as bucket:
        yield bucket
