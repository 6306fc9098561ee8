"""Which upstream group holds an address. Pure.

nginx finds an instance by the group's name and an id in it (router-upstreams.md). A target is
what the table says of an address: the text from which nginx' maps take group, id and address.
"""

import hashlib
import ipaddress
import re
from collections.abc import Collection
from typing import Protocol

GROUP = 100
"""Ports in an upstream group: nginx looks for a peer, and for a group, one after the other."""
SHARDS = 128
SHARD_MOST = 1000
"""Addresses of one shard; those past it are reached over new connections."""
LOCAL = "127.0.0.1"

_POD = re.compile(r"[0-9.]{7,15}:[1-9][0-9]{0,4}")


class Pool(Protocol):
    """All addresses that instances can have."""

    @property
    def named(self) -> bool:
        """Whether every value names its application, for the access log."""
        ...

    def target(self, address: str) -> str:
        """The target of an address `host:port`; empty when no group can hold it."""
        ...

    def fresh(self, target: str) -> str:
        """What stands for it until its group has surely heard of it."""
        ...

    def hold(self, target: str) -> None:
        """The table names it from now on."""

    def drop(self, target: str) -> None:
        """The table does not name it any more."""


class PortPool:
    """A range of ports on this machine, all of them in groups from the start; a target is `20017`."""

    named = False

    def __init__(self, ports: range) -> None:
        self._ports = ports

    def target(self, address: str) -> str:
        """The port, where it is one of ours."""
        host, _, port = address.rpartition(":")
        number = int(port) if port.isascii() and port.isdigit() else 0
        return str(number) if host == LOCAL and number in self._ports else ""

    def fresh(self, target: str) -> str:
        """Groups know all of theirs."""
        return target

    def hold(self, target: str) -> None:
        """Groups never change."""

    def drop(self, target: str) -> None:
        """Groups never change."""


class PodPool:
    """Addresses of pods, IPv4, in SHARDS groups that nginx asks a name server for; a target is
    `17,ID,10.0.0.5:5000`, where the id is the one nginx itself derives from the address."""

    named = True

    def __init__(self) -> None:
        self._shards: list[dict[int, dict[str, None]]] = [{} for _ in range(SHARDS)]
        """In each shard hosts by port."""

    def target(self, address: str) -> str:
        """Shard, id and address."""
        host, _, port = address.rpartition(":")
        if not _POD.fullmatch(address) or int(port) > 65535:
            return ""
        try:
            ipaddress.IPv4Address(host)
        except ValueError:
            return ""
        digest = hashlib.md5(address.encode(), usedforsecurity=False).hexdigest()
        return f"{int(digest[:2], 16) % SHARDS},{digest},{address}"

    def fresh(self, target: str) -> str:
        """The same without a shard: nginx asks the address itself, over a new connection."""
        return "-" + target[target.index(",") :]

    def hold(self, target: str) -> None:
        """Put it into its shard."""
        ports, host, port = self._place(target)
        hosts = ports.setdefault(port, {})
        if len(hosts) < SHARD_MOST:
            hosts[host] = None

    def drop(self, target: str) -> None:
        """Take it out."""
        ports, host, port = self._place(target)
        hosts = ports.get(port, {})
        hosts.pop(host, None)
        if not hosts:
            ports.pop(port, None)

    def ports(self, shard: int) -> Collection[int]:
        """The ports of a shard's addresses."""
        return self._shards[shard].keys()

    def hosts(self, shard: int, port: int) -> Collection[str]:
        """The hosts of a shard's addresses with that port."""
        return self._shards[shard].get(port, {}).keys()

    def _place(self, target: str) -> tuple[dict[int, dict[str, None]], str, int]:
        shard, _, address = target.split(",")
        host, _, port = address.rpartition(":")
        return self._shards[int(shard)], host, int(port)
