"""All objects of a kind that match, kept up to date in memory: list, watch, go on, list again."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from deis_bus.errors import Refused, Transient
from deis_platform.kubernetes.client import Kubernetes, Object
from deis_platform.kubernetes.kinds import Kind
from deis_platform.kubernetes.views import View
from deis_platform.kubernetes.wire import Bookmark, Change, fitted
from deis_platform.logs import get_logger
from deis_platform.races import unless
from deis_platform.retry import delays

log = get_logger(__name__)

V = TypeVar("V", bound=View)
Heard = Callable[[str, V | None, V | None], None]

SHORT_SECONDS = 1.0
"""A watch that ends sooner without a word is a fault, or we would ask without a pause."""


def _nothing(_key: str, _old: Any, _new: Any) -> None:
    """Nobody listens."""


def _pauses() -> Iterator[float]:
    return delays(ceiling=5.0)


class Mirror(Generic[V]):
    """A part. `items` holds the views by `namespace/name`; `heard(key, old, new)` tells changes.

    An object that is deleted is heard with `new` None. After a gap (410, another API server) the
    differences alone are heard. While the API server is away the items stand as they were, and
    the log has one line when it goes and one when it is back. `heard` must not raise: that ends
    the part.
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
        pauses: Callable[[], Iterator[float]] = _pauses,
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
        self._learned: set[str] = set()
        self._outage = _Outage(kind.plural, pauses)

    async def run(self, stop: asyncio.Event) -> None:
        """Follow until stopped, whatever happens to the API server."""
        await unless(stop, self._always())

    def learn(self, obj: Object) -> V:
        """Take in what a write of ours answered, unless this or something newer was heard; gives
        its view, in any case.

        For objects that this mirror selects. It is heard now, not again when the watch tells it.
        """
        view = fitted(obj, self._view)
        key, known = view.metadata.key, self.items.get(view.metadata.key)
        # All that the watch has to say up to `_version` was heard: what is not newer than that and
        # yet unknown has been deleted since.
        if _number(view) > max(_int(self._version), _number(known)):
            self._learned.add(key)
            self._put(key, view)
        return view

    async def _always(self) -> None:
        while True:
            try:
                if not self._version:
                    self._version = await self._relist()
                await self._follow()
            except (Transient, Refused) as fault:
                # A refused version is no better next time, be it too old (410) or nonsense.
                if isinstance(fault, Refused):
                    self._version = ""
                await self._outage.pause(fault)

    async def _relist(self) -> str:
        listing = await self._api.list(self._kind, self._namespace, view=self._view, **self._select)
        present = {view.metadata.key: view for view in listing.items}
        for key in self.items.keys() - present.keys():
            if self._settled(key, _int(listing.version)):
                self._drop(key)
        for key, view in present.items():
            if self._settled(key, _number(view)):
                self._put(key, view)
        self.synced.set()
        return listing.version

    async def _follow(self) -> None:
        """One watch, from the last version that was heard on. Raises Gone, Transient, Refused."""
        clock = asyncio.get_running_loop()
        begun, told = clock.time(), False
        watch = self._api.watch(
            self._kind, self._namespace, version=self._version, view=self._view, **self._select
        )
        async with contextlib.aclosing(watch):
            async for line in watch:
                if not told:
                    told = True
                    self._outage.over()
                self._take(line)
        if not told and clock.time() - begun < SHORT_SECONDS:
            raise Transient("a watch ended at once")
        self._outage.over()

    def _take(self, line: Change[V] | Bookmark) -> None:
        if isinstance(line, Bookmark):
            self._version = line.version
            return
        meta = line.object.metadata
        self._version = meta.resource_version
        if not self._settled(meta.key, _number(line.object)):
            return
        if line.type == "DELETED":
            self._drop(meta.key)
        else:
            self._put(meta.key, line.object)

    def _settled(self, key: str, version: int) -> bool:
        """Whether this news is not older than what was learned of that object."""
        if key in self._learned:
            if version < _number(self.items.get(key)):
                return False
            self._learned.discard(key)
        return True

    def _put(self, key: str, view: V) -> None:
        old = self.items.get(key)
        self.items[key] = view
        if old is None or old.metadata.resource_version != view.metadata.resource_version:
            self._heard(key, old, view)

    def _drop(self, key: str) -> None:
        old = self.items.pop(key, None)
        if old is not None:
            self._heard(key, old, None)


class _Outage:
    """Pauses that grow, and a line in the log for each type of fault, however long it lasts."""

    def __init__(self, what: str, pauses: Callable[[], Iterator[float]]) -> None:
        self._what = what
        self._new_pauses = pauses
        self._pauses: Iterator[float] | None = None
        self._said: set[type[Exception]] = set()

    async def pause(self, fault: Exception) -> None:
        """Wait before the next attempt. The first fault is no news: watches break now and then."""
        if self._pauses is None:
            self._pauses = self._new_pauses()
        elif type(fault) not in self._said:
            self._said.add(type(fault))
            log.warning("no news", of=self._what, fault=str(fault))
        await asyncio.sleep(next(self._pauses))

    def over(self) -> None:
        """It works."""
        if self._said:
            log.info("news again", of=self._what)
            self._said.clear()
        self._pauses = None


def _number(view: View | None) -> int:
    return _int(view.metadata.resource_version) if view is not None else 0


def _int(version: str) -> int:
    """Versions of one kind grow; compared only where an answer of ours meets a list or a watch."""
    return int(version) if version.isdigit() else 0
