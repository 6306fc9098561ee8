"""Keeps builds off the API server wherever it goes.

The chart's policy for builds names the addresses of the day it was installed. What is new since is
added here to those that its way out leaves out; what is old goes with the next upgrade. Where the
chart made no policy there is none to keep.
"""

import asyncio
import ipaddress

import msgspec

from deis_bus.errors import Refused, Transient
from deis_platform.kubernetes import Kubernetes, Mirror, View, kinds
from deis_platform.logs import get_logger
from deis_platform.races import unless
from deis_platform.runtime.kubernetes.surroundings import Surroundings

log = get_logger(__name__)

POLICY = "deis-builds"
EVERYWHERE = "0.0.0.0/0"
PAUSE_SECONDS = 1.0


class Block(msgspec.Struct, frozen=True):
    """Addresses that may be reached."""

    cidr: str = ""
    but: tuple[str, ...] = msgspec.field(default=(), name="except")


class Peer(msgspec.Struct, frozen=True, rename="camel"):
    """Where a rule leads to."""

    ip_block: Block | None = None


class Rule(msgspec.Struct, frozen=True):
    """One way out."""

    to: tuple[Peer, ...] = ()


class Spec(msgspec.Struct, frozen=True):
    """All ways out."""

    egress: tuple[Rule, ...] = ()


class Policy(View, frozen=True):
    """The policy of the namespace of builds."""

    spec: Spec = Spec()


class BuildPolicy:
    """A part; `mirror` has to run, too. `look` is to be called when the API server moves."""

    name = "build policy"

    def __init__(self, api: Kubernetes, namespace: str, around: Surroundings) -> None:
        self._api = api
        self._namespace = namespace
        self._around = around
        self._woken = asyncio.Event()
        self.mirror = Mirror(
            api,
            kinds.NETWORK_POLICY,
            Policy,
            namespace=namespace,
            fields=f"metadata.name={POLICY}",
            heard=lambda _key, _old, _new: self.look(),
        )

    def look(self) -> None:
        """Compare soon."""
        self._woken.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Compare after each change, until stopped."""
        await unless(stop, self._always())

    async def _always(self) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            try:
                await self._close()
            except (Transient, Refused) as fault:
                log.warning("builds are not yet kept off the API server", fault=str(fault))
                await asyncio.sleep(PAUSE_SECONDS)
                self._woken.set()

    async def _close(self) -> None:
        policy = self.mirror.items.get(f"{self._namespace}/{POLICY}")
        found = patch(policy, self._around.facts.api or ()) if policy is not None else []
        if found:
            await self._api.patch(kinds.NETWORK_POLICY, POLICY, self._namespace, found, type="json")
            log.info("builds are kept off the API server", addresses=self._around.facts.api)


def patch(policy: Policy, addresses: tuple[str, ...]) -> list[dict[str, object]]:
    """The JSON patch that closes these addresses, empty where they are closed; it counts only for
    the policy as it was seen."""
    found: list[dict[str, object]] = []
    for number, rule in enumerate(policy.spec.egress):
        for place, peer in enumerate(rule.to):
            block = peer.ip_block
            if block is None or block.cidr != EVERYWHERE:
                continue  # another one was allowed on purpose
            lacking = [f"{address}/32" for address in addresses if not _within(address, block.but)]
            if lacking:
                path = f"/spec/egress/{number}/to/{place}/ipBlock"
                seen = {"cidr": block.cidr} | ({"except": block.but} if block.but else {})
                found.append({"op": "test", "path": path, "value": seen})
                value = [*block.but, *lacking]
                found.append({"op": "add", "path": f"{path}/except", "value": value})
    return found


def _within(address: str, networks: tuple[str, ...]) -> bool:
    one = ipaddress.ip_address(address)
    return any(one in ipaddress.ip_network(network, strict=False) for network in networks)
