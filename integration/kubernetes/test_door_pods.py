"""Attach and logs through the door, to containers that a real kubelet runs."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from deis_bus.errors import Refused
from deis_platform.groups import KubernetesSettings
from deis_platform.kubernetes import Kubernetes, NotFound, View, kinds, open_kubernetes
from integration.cluster.node import Node
from integration.kubernetes.door_rig import SECONDS, Followed
from integration.kubernetes.pods import pod

pytestmark = pytest.mark.kubernetes

STDIN = b"\0"
END_OF_STDIN = b"\xff\0"


@pytest.fixture
async def api(node: Node) -> AsyncIterator[Kubernetes]:
    async with open_kubernetes(KubernetesSettings(kubeconfig=str(node.kubeconfig))) as opened:
        yield opened


async def started(
    node: Node, api: Kubernetes, namespace: str, script: str, **container: Any
) -> None:
    """Until the container runs."""

    class Pod(View, frozen=True):
        status: dict[str, Any] = {}

    made = pod(node, "p", ("bash", "-c", script), **container)
    made["metadata"]["namespace"] = namespace
    async with Followed(api, kinds.POD, namespace, Pod).running() as followed:
        await api.create(made)

        def runs(items: dict[str, Any]) -> bool:
            return any(
                "running" in status["state"] or "terminated" in status["state"]
                for one in items.values()
                for status in one.status.get("containerStatuses", ())
            )

        await followed.until(runs)


async def frames(socket: Any) -> dict[int, bytes]:
    """Everything by channel, until the socket's end."""
    found: dict[int, bytes] = {}
    async with asyncio.timeout(SECONDS):
        async for message in socket:
            channel, data = message.data[0], message.data[1:]
            found[channel] = found.get(channel, b"") + data
    return found


async def test_half_closed_input(node: Node, api: Kubernetes, namespace: str) -> None:
    """Output goes on after the end of input, and the exit code is not the attach's to tell."""
    script = "while read -r line; do echo got $line; echo bad >&2; done; echo end; exit 3"
    await started(node, api, namespace, script, stdin=True, stdinOnce=True)
    socket = await api.attach("p", namespace, container="main", tty=False)
    async with socket:
        await socket.send_bytes(STDIN + b"one\n")
        await socket.send_bytes(STDIN + b"two\n")
        await socket.send_bytes(END_OF_STDIN)
        found = await frames(socket)
    assert found[1] == b"got one\ngot two\nend\n"
    assert found[2] == b"bad\nbad\n"
    assert json.loads(found[3])["status"] == "Success"


async def test_a_terminal(node: Node, api: Kubernetes, namespace: str) -> None:
    resized = 'until [ "$(stty size)" = "37 91" ]; do read -rt 0.05 _; done'
    script = f"{resized}; echo resized; read -r line; echo got $line"
    await started(node, api, namespace, script, stdin=True, stdinOnce=True, tty=True)
    socket = await api.attach("p", namespace, container="main", tty=True)
    async with socket:
        await socket.send_bytes(b"\4" + json.dumps({"Width": 91, "Height": 37}).encode())
        async with asyncio.timeout(SECONDS):
            while b"resized" not in (await socket.receive()).data:
                pass
        await socket.send_bytes(STDIN + b"x\n")
        found = await frames(socket)
    assert b"got x\r\n" in found[1]
    assert 2 not in found


async def test_attaching_to_what_does_not_run(node: Node, api: Kubernetes, namespace: str) -> None:
    with pytest.raises(NotFound):
        await api.attach("absent", namespace, container="main", tty=False)
    await started(node, api, namespace, "read -r line", stdin=True)
    with pytest.raises(Refused) as caught:
        await api.attach("p", namespace, container="other", tty=False)
    assert caught.value.code == 400


async def test_logs_are_followed_to_the_end(node: Node, api: Kubernetes, namespace: str) -> None:
    script = "echo first; read -r line; seq 1 2000; sleep 0.3"
    await started(node, api, namespace, script, stdin=True, stdinOnce=True)
    written = b""
    async with (
        asyncio.timeout(SECONDS),
        await api.attach("p", namespace, container="main", tty=False) as socket,
        contextlib.aclosing(api.logs("p", namespace, follow=True)) as chunks,
    ):
        async for chunk in chunks:
            if not written:  # it is followed while the container writes
                await socket.send_bytes(STDIN + b"go\n")
            written += chunk
    expected = ["first", *(str(number) for number in range(1, 2001))]
    assert written.decode().split() == expected


async def test_logs_go_on_from_a_time(node: Node, api: Kubernetes, namespace: str) -> None:
    await started(node, api, namespace, "echo old; echo older; sleep 0.3")
    async with asyncio.timeout(SECONDS):
        followed = api.logs("p", namespace, follow=True, timestamps=True)
        lines = b"".join([chunk async for chunk in followed]).decode().splitlines()
    assert [line.partition(" ")[2] for line in lines] == ["old", "older"]
    later = [
        chunk
        async for chunk in api.logs("p", namespace, since="2999-01-01T00:00:00Z", container="main")
    ]
    assert later == []
