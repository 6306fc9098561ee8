"""A real API server that answers 429 or 500, to those alone who are meant."""

import asyncio
import contextlib
import json
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deis_bus.errors import Refused, Transient
from deis_platform.groups import KubernetesSettings
from deis_platform.kubernetes import Kubernetes, faults, open_kubernetes, transport
from deis_platform.races import first
from integration.cluster.node import Node

SECONDS = 30.0
ACCOUNT = "caller"
PRECEDENCE = 50
"""Of a FlowSchema: before all that Kubernetes has for accounts."""
HELD_SECONDS = 30
"""The most that an API server waits for a webhook."""
End = Callable[[], Awaitable[None]]


class Answers:
    """What the API server refused, as the door reads it: status and `Retry-After`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.heard: list[tuple[int, str | None]] = []
        self._changed = asyncio.Event()
        monkeypatch.setattr(transport, "fault_of", self._read)

    def _read(self, status: int, body: bytes, after: str | None = None) -> Refused | Transient:
        self.heard.append((status, after))
        self._changed.set()
        return faults.fault_of(status, body, after)

    def count(self, status: int) -> int:
        """How often it came."""
        return sum(one == status for one, _ in self.heard)

    async def more(self, status: int, count: int = 1) -> None:
        """Wait until it came so many times more."""
        wanted = self.count(status) + count
        async with asyncio.timeout(SECONDS):
            while self.count(status) < wanted:
                self._changed.clear()
                await self._changed.wait()

    async def begins(self, status: int, ask: Callable[[], Awaitable[object]]) -> None:
        """Ask until that is the answer: an API server hears of its settings in its own time."""

        async def always() -> None:
            while True:
                with contextlib.suppress(Transient):
                    await ask()

        await first(always(), self.more(status))


@contextlib.asynccontextmanager
async def opened_as_account(node: Node, namespace: str, folder: Path) -> AsyncIterator[Kubernetes]:
    """The door for an account of the namespace's own. It may do what we may, everywhere."""
    name = f"{namespace}-{ACCOUNT}"
    node.kube("-n", namespace, "create", "serviceaccount", ACCOUNT)
    whom = ("--clusterrole=cluster-admin", f"--serviceaccount={namespace}:{ACCOUNT}")
    node.kube("create", "clusterrolebinding", name, *whom)
    try:
        token = node.kube("-n", namespace, "create", "token", ACCOUNT).strip()
        config = json.loads(node.kube("config", "view", "--raw", "--minify", "-o", "json"))
        config["users"][0]["user"] = {"token": token}
        (folder / "account").write_text(json.dumps(config))
        settings = KubernetesSettings(kubeconfig=str(folder / "account"))
        async with open_kubernetes(settings) as api:
            yield api
    finally:
        node.kube("delete", "clusterrolebinding", name)


@contextlib.asynccontextmanager
async def sent_away(
    node: Node, caller: Kubernetes, namespace: str, *verbs: str
) -> AsyncIterator[End]:
    """429 to that account for these verbs, which name `create`; for HELD_SECONDS at most. Gives
    what ends it earlier.

    Priority and fairness lets in one at a time where it has no place at all, so one is: a write
    that waits for its webhook.
    """
    async with webhook_that(node, "hangs") as webhook:
        with (
            broken(node, namespace, webhook.port, "secrets", seconds=HELD_SECONDS),
            _placeless(node, namespace, *verbs) as end,
            pytest.MonkeyPatch.context() as longer,
        ):
            longer.setattr(transport, "CALL_SECONDS", 2.0 * HELD_SECONDS)
            waiting = asyncio.create_task(_waits(caller, namespace, webhook.called))
            try:
                async with asyncio.timeout(SECONDS):
                    await webhook.called.wait()
                longer.undo()  # a call that has begun keeps its time
                yield end
            finally:
                waiting.cancel()
                await asyncio.wait({waiting})


async def _waits(caller: Kubernetes, namespace: str, called: asyncio.Event) -> None:
    """Write until the webhook is asked, which is not at once after it was made."""
    meta = {"namespace": namespace, "generateName": "waits-"}
    while not called.is_set():
        await caller.create({"apiVersion": "v1", "kind": "Secret", "metadata": meta})


@contextlib.contextmanager
def _placeless(node: Node, namespace: str, *verbs: str) -> Iterator[End]:
    """No place for that account; gives what deletes the FlowSchema."""
    name = f"t-door-{secrets.token_hex(4)}"
    level = {
        "type": "Limited",
        "limited": {
            "nominalConcurrencyShares": 0,
            "borrowingLimitPercent": 0,
            "limitResponse": {"type": "Reject"},
        },
    }
    account = {"name": ACCOUNT, "namespace": namespace}
    rule = {"verbs": list(verbs), "apiGroups": ["*"], "resources": ["*"]}
    flow = {
        "priorityLevelConfiguration": {"name": name},
        "matchingPrecedence": PRECEDENCE,
        "rules": [
            {
                "subjects": [{"kind": "ServiceAccount", "serviceAccount": account}],
                "resourceRules": [rule | {"namespaces": ["*"], "clusterScope": True}],
            }
        ],
    }
    group = "flowcontrol.apiserver.k8s.io/v1"
    with (
        _made(node, group, "PriorityLevelConfiguration", name, spec=level),
        _made(node, group, "FlowSchema", name, spec=flow) as end,
    ):
        # The API server says so once it has taken both in.
        node.kube("wait", "--for=condition=Dangling=False", f"flowschema/{name}", "--timeout=30s")
        yield end


@contextlib.contextmanager
def broken(
    node: Node, namespace: str, port: int, *resources: str, seconds: int = 1
) -> Iterator[End]:
    """A webhook that has to agree to every write of these, in that namespace: 500 while nobody
    answers at the port of this machine, or nonsense, or nothing within `seconds`.

    Gives what ends it earlier.
    """
    name = f"t-door-{secrets.token_hex(4)}"
    rule = {
        "operations": ["CREATE", "UPDATE"],
        "apiGroups": ["*"],
        "apiVersions": ["*"],
        "resources": list(resources),
    }
    webhook = {
        "name": f"{name}.example.com",
        "clientConfig": {"url": f"https://{node.host_address}:{port}/"},
        "rules": [rule],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "timeoutSeconds": seconds,
    }
    group = "admissionregistration.k8s.io/v1"
    with _made(node, group, "ValidatingWebhookConfiguration", name, webhooks=[webhook]) as end:
        yield end


@dataclass(frozen=True)
class Webhook:
    """Where it is, and whether somebody came."""

    port: int
    called: asyncio.Event


@contextlib.asynccontextmanager
async def webhook_that(node: Node, does: str) -> AsyncIterator[Webhook]:
    """One that is `absent`, `babbles` or `hangs`."""
    called, served = asyncio.Event(), dict[asyncio.StreamWriter, asyncio.Task[Any] | None]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served[writer] = asyncio.current_task()
        called.set()
        with contextlib.suppress(OSError):
            if does == "babbles":
                writer.write(b"nonsense\r\n")
                await writer.drain()
            else:
                await reader.read()  # until the API server gives up
        writer.transport.abort()
        del served[writer]

    with socket.socket() as held:
        held.bind((node.host_address, 0))  # nobody listens there, and nobody else can
        async with await asyncio.start_server(serve, node.host_address, 0) as serving:
            where = held if does == "absent" else serving.sockets[0]
            try:
                yield Webhook(int(where.getsockname()[1]), called)
            finally:
                serving.close()
                for writer in served:
                    writer.transport.abort()
                await asyncio.gather(*(task for task in served.values() if task))


@contextlib.contextmanager
def _made(node: Node, group: str, kind: str, name: str, **fields: Any) -> Iterator[End]:
    """An object of the whole cluster; gives what deletes it earlier."""
    what = ("delete", f"{kind}.{group.partition('/')[0]}".lower(), name, "--ignore-not-found")
    obj = {"apiVersion": group, "kind": kind, "metadata": {"name": name}, **fields}

    async def end() -> None:
        await asyncio.to_thread(node.kube, *what)

    node.kube("create", "-f", "-", text=json.dumps(obj))
    try:
        yield end
    finally:
        node.kube(*what)
