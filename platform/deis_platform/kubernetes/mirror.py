"""All objects of a kind that match, kept up to date in memory: list, watch, go on, list again."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

import msgspec

from deis_bus.errors import Refused, Transient
from deis_platform.kubernetes.client import Kubernetes, Object
from deis_platform.kubernetes.faults import Gone
from deis_platform.kubernetes.kinds import Kind
from deis_platform.kubernetes.views import View
from deis_platform.logs import get_logger
from deis_platform.races import unless
from deis_platform.retry import delays

log = get_logger(__name__)

V = TypeVar("V", bound=View)
Heard = Callable[[str, V | None, V | None], None]


def _nothing(_key: str, _old: Any, _new: Any) -> None:
    """Nobody listens."""


class Mirror(Generic[V]):
    """A part. `items` holds the views by `namespace/name`; `heard(key, old, new)` tells changes.

    An object that is deleted is heard with `new` None. After a gap (410, another API server) the
    differences alone are heard. While the API server is away the items stand as they were.
    """

    def __init__(
        self,
        api: Kubernetes,
        kind: Kind,
        view: type[V],
        *,
        namespace: str = "",
        labels: str = "",
        fields: str = "",
        heard: Heard[V] = _nothing,
    ) -> None:
        self.name = f"mirror of {kind.plural}"
        self.items: dict[str, V] = {}
        self.synced = asyncio.Event()
        """Set once the first list was taken in, and for ever after."""
        self._api = api
        self._kind = kind
        self._view = view
        self._heard = heard
        self._namespace = namespace
        self._select = {"labels": labels, "fields": fields}
        self._version = ""
        self._pauses = _pauses()

    async def run(self, stop: asyncio.Event) -> None:
        """Follow until stopped, whatever happens to the API server."""
        await unless(stop, self._always())

    def learn(self, obj: Object) -> None:
        """Take in what a write of ours answered, unless something newer was heard already."""
        view = msgspec.convert(obj, self._view, strict=False)
        known = self.items.get(view.metadata.key)
        if known is None or _number(known) < _number(view):
            self._put(view)

    async def _always(self) -> None:
        while True:
            try:
                if not self._version:
                    self._version = await self._relist()
                await self._follow()
            except Gone:
                log.info("listing again", kind=self._kind.plural)
                self._version = ""
            except (Transient, Refused) as fault:
                log.warning("no news", kind=self._kind.plural, fault=str(fault))
                await asyncio.sleep(next(self._pauses))

    async def _relist(self) -> str:
        listing = await self._api.list(self._kind, self._namespace, view=self._view, **self._select)
        present = {view.metadata.key: view for view in listing.items}
        for key in self.items.keys() - present.keys():
            self._drop(key)
        for key, view in present.items():
            known = self.items.get(key)
            if known is None or known.metadata.resource_version != view.metadata.resource_version:
                self._put(view)
        self.synced.set()
        return listing.version

    async def _follow(self) -> None:
        """One watch, from the last version that was heard on. Raises Gone, Transient, Refused."""
        watch = self._api.watch(
            self._kind, self._namespace, version=self._version, view=self._view, **self._select
        )
        async with contextlib.aclosing(watch):
            async for change in watch:
                self._pauses = _pauses()
                self._version = change.object.metadata.resource_version
                if change.type == "DELETED":
                    self._drop(change.object.metadata.key)
                elif change.type != "BOOKMARK":
                    self._put(change.object)

    def _put(self, view: V) -> None:
        key = view.metadata.key
        old = self.items.get(key)
        self.items[key] = view
        self._heard(key, old, view)

    def _drop(self, key: str) -> None:
        old = self.items.pop(key, None)
        if old is not None:
            self._heard(key, old, None)


def _pauses() -> Iterator[float]:
    return delays(ceiling=5.0)


def _number(view: View) -> int:
    """Versions are compared only between an answer of ours and a watch of the same kind."""
    text = view.metadata.resource_version
    return int(text) if text.isdigit() else 0
