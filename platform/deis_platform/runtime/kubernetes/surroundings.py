"""What the objects of every application depend on in this cluster: its nodes, its API server.

Both are mirrored, for they change while we run: an address that came new is closed to applications
as soon as it is told (the runtime compares `word` with what each one's objects were made for).
"""

from collections.abc import Callable

import msgspec

from deis_platform.kubernetes import Kubernetes, Mirror, View, kinds
from deis_platform.logs import get_logger
from deis_platform.runner import Part
from deis_platform.runtime.kubernetes import marks
from deis_platform.runtime.kubernetes.cluster import read_once
from deis_platform.runtime.kubernetes.facts import Facts

log = get_logger(__name__)

SLICES = "kubernetes.io/service-name=kubernetes"
"""In namespace `default`: the API server's own Service."""


class _Endpoint(msgspec.Struct, frozen=True):
    addresses: tuple[str, ...] = ()


class _Slice(View, frozen=True, rename="camel"):
    address_type: str = ""
    endpoints: tuple[_Endpoint, ...] = ()


class Surroundings:
    """Mirrors of the nodes and of where the API server is.

    `changed` is called when what is written for applications no longer fits. How many nodes there
    are is no such change: rollouts take it up as they come.
    """

    def __init__(self, api: Kubernetes, plain: Facts, changed: Callable[[], None]) -> None:
        self.facts = plain
        """As they are now."""
        self.word = marks.surroundings(plain)
        """The same in a word; empty while the API server's addresses are not known."""
        self._changed = changed
        self._warned = False
        self._nodes = Mirror(api, kinds.NODE, View, heard=self._node)
        self._slices = Mirror(
            api,
            kinds.ENDPOINT_SLICE,
            _Slice,
            namespace="default",
            labels=SLICES,
            heard=self._slice,
        )

    @property
    def parts(self) -> tuple[Part, ...]:
        """What has to run."""
        return (self._nodes, self._slices)

    async def present(self) -> None:
        """Wait until both were read once. Raises Transient when that takes too long."""
        await read_once((self._nodes, self._slices))
        if self.facts.api is None and not self._warned:
            self._warned = True
            log.warning("the API server has no address: applications reach nothing outside")

    def _node(self, _key: str, _old: View | None, _new: View | None) -> None:
        self.facts = msgspec.structs.replace(self.facts, nodes=max(1, len(self._nodes.items)))

    def _slice(self, _key: str, _old: _Slice | None, _new: _Slice | None) -> None:
        slices = self._slices.items.values()
        ends = [
            (one.address_type, at) for one in slices for e in one.endpoints for at in e.addresses
        ]
        if not ends:
            return  # one that is being replaced: what was known stays closed
        found = tuple(sorted({address for kind, address in ends if kind == "IPv4"}))
        if found == self.facts.api:
            return
        self.facts = msgspec.structs.replace(self.facts, api=found)
        self.word = marks.surroundings(self.facts)
        log.info("the API server is at", addresses=found)
        self._changed()
