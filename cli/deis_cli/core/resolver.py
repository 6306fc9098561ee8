"""`*.localhost` is this machine, whatever the system's resolver thinks (DESIGN 8)."""

import socket

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver


def is_local(host: str) -> bool:
    """Whether a host name or address means this machine."""
    name = host.rstrip(".").lower()
    return name == "localhost" or name.endswith(".localhost") or name in ("127.0.0.1", "::1")


class LocalResolver(AbstractResolver):
    """The system's resolver, but for `localhost` and the names under it."""

    def __init__(self) -> None:
        self._system = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Addresses of a host."""
        if not is_local(host):
            return await self._system.resolve(host, port, family)
        wanted = [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=kind,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for kind, address in wanted
            if family in (socket.AF_UNSPEC, kind)
        ]

    async def close(self) -> None:
        """Nothing to free."""
        await self._system.close()
