"""The object store: big values under keys (docs/architecture.md lists the keys).

async with open_objects(settings.objects) as objects:
    info = await objects.put("slugs/4f…/1-1.tgz", chunks)
    async with objects.get(key) as (info, chunks): …
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

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

__all__ = [
    "BadKey",
    "DirectoryStore",
    "NoObject",
    "ObjectInfo",
    "ObjectStore",
    "StoreFull",
    "TooLarge",
    "check_key",
    "open_objects",
]


@asynccontextmanager
async def open_objects(settings: ObjectsSettings) -> AsyncIterator[ObjectStore]:
    """The store that the settings name. Raises ValueError for a URL that is not `file:///…`."""
    url = urlsplit(settings.url)
    if url.scheme != "file" or url.netloc not in ("", "localhost") or not url.path.startswith("/"):
        raise ValueError("DEIS_OBJECTS_URL: expected file:///FOLDER")
    store = DirectoryStore(Path(unquote(url.path)), min_free_bytes=settings.min_free_bytes)
    with suppress(Transient):
        await store.sweep()
    yield store
