"""Keeps the policies' nftables table right, and lets a new pod start once it is.

The network plugin of each new pod (gate.py) tells its address here and waits for the answer, so
a pod's first packet is judged by the policies that select it.
"""

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import aiohttp

from integration.cluster.api import Mirror
from integration.cluster.policies import Pod, pods_of, ruleset

KNOWN_SECONDS = 5.0
"""How long a pod may be unknown to us that the kubelet knows already."""
_LINE_BYTES = 4096


class Enforcer:
    """Run by attendant.py, in the node's network; listens on the socket `gate`."""

    def __init__(self, gate: Path) -> None:
        self._gate = gate
        self._changed = asyncio.Event()
        self._known = asyncio.Condition()
        self._early: dict[str, str] = {}
        self._in_force = ""
        self._applying = asyncio.Lock()
        self._pods = self._mirror("/api/v1/pods")
        self._namespaces = self._mirror("/api/v1/namespaces")
        self._policies = self._mirror("/apis/networking.k8s.io/v1/networkpolicies")

    def _mirror(self, path: str) -> Mirror:
        return Mirror(path, self._changed.set)

    async def run(self, session: aiohttp.ClientSession) -> None:
        """Follow the cluster for ever."""
        self._gate.unlink(missing_ok=True)
        mirrors = (self._pods, self._namespaces, self._policies)
        async with asyncio.TaskGroup() as group:
            for mirror in mirrors:
                group.create_task(mirror.run(session))
            for mirror in mirrors:
                await mirror.listed.wait()
            server = await asyncio.start_unix_server(self._ask, self._gate, limit=_LINE_BYTES)
            async with server:
                await self._follow()

    async def _follow(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            async with self._known:
                self._known.notify_all()
            if not await self._apply():
                print("the policies are not in force", file=sys.stderr)

    async def _apply(self) -> bool:
        """Whether what the objects say is in force now."""
        async with self._applying:
            text = ruleset(self._policies.objects.values(), self._pods_now(), self._labels())
            if text != self._in_force and await _nft(text):
                self._in_force = text
            return text == self._in_force

    def _pods_now(self) -> list[Pod]:
        alive = {one["metadata"]["uid"] for one in self._pods.objects.values()}
        self._early = {uid: address for uid, address in self._early.items() if uid in alive}
        return pods_of(self._pods.objects, self._early)

    def _labels(self) -> dict[str, dict[str, str]]:
        found = self._namespaces.objects
        return {name: one["metadata"].get("labels") or {} for (_, name), one in found.items()}

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One new pod: {"uid", "address"} in, {"ok"} out."""
        with contextlib.suppress(ConnectionError):
            try:
                asked = json.loads(await reader.readline())
                answer = await self._admit(asked["uid"], asked["address"])
            except (ValueError, KeyError, TimeoutError):
                answer = False
            writer.write(json.dumps({"ok": answer}).encode() + b"\n")
            await writer.drain()
        writer.close()

    async def _admit(self, uid: str, address: str) -> bool:
        async with asyncio.timeout(KNOWN_SECONDS), self._known:
            await self._known.wait_for(self._knows(uid))
        self._early[uid] = address
        return await self._apply()

    def _knows(self, uid: str) -> Callable[[], bool]:
        return lambda: any(one["metadata"]["uid"] == uid for one in self._pods.objects.values())


async def _nft(text: str) -> bool:
    """Whether the kernel took it; what it says otherwise is in the log."""
    process = await asyncio.create_subprocess_exec(
        "nft", "-f", "-", stdin=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate(text.encode())
    if process.returncode:
        print(f"nft: {said.decode(errors='replace')}\n{text}", file=sys.stderr)
    return process.returncode == 0
