"""Gives every Service of type LoadBalancer an address, as the controller of a cloud does.

The addresses are the node's own (network.py), so kube-proxy's rules answer there, and nothing
is sent anywhere when they do not.
"""

import asyncio
import sys
from collections.abc import Iterable

import aiohttp

from integration.cluster.api import Key, Mirror, Object, patch
from integration.cluster.layout import LOAD_BALANCERS

_AGAIN_SECONDS = 1.0


class LoadBalancers:
    """Keeps the status of all Services right; run by attendant.py."""

    def __init__(self) -> None:
        self._due = asyncio.Event()
        self._services = Mirror("/api/v1/services", self._due.set)

    async def run(self, session: aiohttp.ClientSession) -> None:
        """Follow the Services for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._services.run(session))
            while True:
                await self._due.wait()
                self._due.clear()
                await self._settle(session)

    async def _settle(self, session: aiohttp.ClientSession) -> None:
        for (namespace, name), addresses in wanted(self._services.objects).items():
            path = f"/api/v1/namespaces/{namespace}/services/{name}/status"
            ingress = [{"ip": address} for address in addresses]
            try:
                await patch(session, path, {"status": {"loadBalancer": {"ingress": ingress}}})
            except aiohttp.ClientResponseError as fault:
                print(f"{namespace}/{name}: {fault.status} {fault.message}", file=sys.stderr)
            except (aiohttp.ClientError, TimeoutError):
                await asyncio.sleep(_AGAIN_SECONDS)
                self._due.set()


def wanted(services: dict[Key, Object]) -> dict[Key, list[str]]:
    """The Services whose addresses are to change, and to what; one that ran out gets none."""
    free = [address for address in LOAD_BALANCERS if address not in _taken(services.values())]
    changes: dict[Key, list[str]] = {}
    for key, service in services.items():
        has, is_one = _addresses(service), service["spec"].get("type") == "LoadBalancer"
        if has and not is_one:
            changes[key] = []
        elif is_one and not has and free:
            asked = service["spec"].get("loadBalancerIP")
            address = asked if asked in free else free[0]
            free.remove(address)
            changes[key] = [address]
    return changes


def _taken(services: Iterable[Object]) -> set[str]:
    return {address for service in services for address in _addresses(service)}


def _addresses(service: Object) -> list[str]:
    ingress = service.get("status", {}).get("loadBalancer", {}).get("ingress") or []
    return [one["ip"] for one in ingress if "ip" in one]
