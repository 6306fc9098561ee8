"""The door to the API server, on a real one: what its fake twin in the unit tests only claims."""

import asyncio
import base64
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from deis_bus.errors import Refused, Transient
from deis_platform.groups import KubernetesSettings
from deis_platform.kubernetes import (
    Conflict,
    Forbidden,
    Gone,
    Kubernetes,
    Listing,
    Mirror,
    NotFound,
    View,
    client,
    kinds,
    open_kubernetes,
)
from integration.cluster.node import Node
from integration.kubernetes.pods import apply, pod

pytestmark = pytest.mark.kubernetes

SECONDS = 60.0
MAP = kinds.CONFIG_MAP
STDIN = b"\0"
END_OF_STDIN = b"\xff\0"


@pytest.fixture
async def api(node: Node) -> AsyncIterator[Kubernetes]:
    async with open_kubernetes(KubernetesSettings(kubeconfig=str(node.kubeconfig))) as opened:
        yield opened


def config_map(namespace: str, name: str = "a", **data: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, "labels": {"heritage": "deis"}},
        "data": data,
    }


class Followed:
    """A mirror that runs, and what it told."""

    def __init__(self, api: Kubernetes, kind: kinds.Kind, namespace: str, view: Any = View) -> None:
        self.told: list[tuple[str, Any, Any]] = []
        self._changed = asyncio.Event()
        self.mirror: Mirror[Any] = Mirror(api, kind, view, namespace=namespace, heard=self._heard)

    def _heard(self, key: str, old: Any, new: Any) -> None:
        self.told.append((key, old, new))
        self._changed.set()

    async def until(self, true: Callable[[dict[str, Any]], bool]) -> None:
        """Wait until it is true of the items."""
        async with asyncio.timeout(SECONDS):
            while not true(self.mirror.items):
                self._changed.clear()
                await self._changed.wait()

    async def has(self, name: str) -> None:
        """Wait until an object of that name is there."""
        await self.until(lambda items: any(key.endswith(f"/{name}") for key in items))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Followed"]:
        stop = asyncio.Event()
        task = asyncio.create_task(self.mirror.run(stop))
        try:
            async with asyncio.timeout(SECONDS):
                await self.mirror.synced.wait()
            yield self
        finally:
            stop.set()
            await task


class TestWriting:
    """Server-side apply beside others who write the same object."""

    async def test_our_fields_come_back_and_an_operators_own_stay(
        self, node: Node, api: Kubernetes, namespace: str
    ) -> None:
        wanted = config_map(namespace, ours="1", dropped="1")
        await api.apply(wanted)
        node.kube("-n", namespace, "annotate", "configmap/a", "example.com/note=keep")
        patch = json.dumps({"data": {"ours": "changed", "theirs": "2"}})
        node.kube("-n", namespace, "patch", "configmap/a", "--type=merge", "-p", patch)
        del wanted["data"]["dropped"]
        after = await api.apply(wanted)
        assert after["data"] == {"ours": "1", "theirs": "2"}
        assert after["metadata"]["annotations"] == {"example.com/note": "keep"}

    async def test_a_field_of_another_manager_is_taken_by_force_only(
        self, api: Kubernetes, namespace: str
    ) -> None:
        await api.apply(config_map(namespace, x="1"), manager="other")
        with pytest.raises(Conflict) as caught:
            await api.apply(config_map(namespace, x="2"), force=False)
        assert caught.value.kind == "owned"
        assert (await api.apply(config_map(namespace, x="3")))["data"] == {"x": "3"}

    async def test_an_apply_that_changes_nothing_writes_nothing(
        self, api: Kubernetes, namespace: str
    ) -> None:
        first = await api.apply(config_map(namespace, x="1"))
        second = await api.apply(config_map(namespace, x="1"))
        assert first["metadata"]["resourceVersion"] == second["metadata"]["resourceVersion"]

    async def test_two_writers_at_once(self, api: Kubernetes, namespace: str) -> None:
        await api.create(config_map(namespace))

        async def write(manager: str) -> None:
            for number in range(20):
                value = {"data": {f"{manager}-{number}": "x"}}
                await api.patch(MAP, "a", namespace, value, manager=manager)
                mine = config_map(namespace, **{manager: str(number)})
                await api.apply(mine, manager=f"{manager}-applies")

        await asyncio.gather(write("one"), write("two"))
        data = (await api.get(MAP, "a", namespace, view=dict))["data"]
        patched = {f"{who}-{n}" for who in ("one", "two") for n in range(20)}
        assert data == dict.fromkeys(patched, "x") | {"one": "19", "two": "19"}

    async def test_who_names_a_version_learns_of_a_conflict(
        self, api: Kubernetes, namespace: str
    ) -> None:
        old = (await api.create(config_map(namespace)))["metadata"]["resourceVersion"]
        await api.patch(MAP, "a", namespace, {"data": {"x": "1"}})
        late = {"metadata": {"resourceVersion": old}, "data": {"x": "2"}}
        with pytest.raises(Conflict) as caught:
            await api.patch(MAP, "a", namespace, late)
        assert caught.value.kind == "conflict"

    async def test_creating_and_deleting(self, api: Kubernetes, namespace: str) -> None:
        made = await api.create(config_map(namespace))
        with pytest.raises(Conflict) as caught:
            await api.create(config_map(namespace))
        assert caught.value.kind == "exists"
        assert not await api.delete(MAP, "a", namespace, uid="00000000-0000-0000-0000-000000000000")
        assert await api.delete(MAP, "a", namespace, uid=made["metadata"]["uid"])
        assert not await api.delete(MAP, "a", namespace)
        with pytest.raises(NotFound):
            await api.get(MAP, "a", namespace, view=dict)

    async def test_refusals(self, api: Kubernetes, namespace: str) -> None:
        with pytest.raises(NotFound):
            await api.apply(config_map(f"{namespace}-absent"))
        with pytest.raises(Refused) as invalid:
            await api.apply(config_map(namespace, **{"no/key": "x"}))
        assert (invalid.value.code, invalid.value.kind) == (422, "invalid")

    async def test_a_quota_that_is_used_up(
        self, node: Node, api: Kubernetes, namespace: str
    ) -> None:
        class Quota(View, frozen=True):
            status: dict[str, Any] = {}

        quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}}
        apply(node, namespace, quota | {"spec": {"hard": {"count/secrets": "0"}}})
        async with Followed(api, kinds.QUOTA, namespace, Quota).running() as followed:
            await followed.until(lambda items: any("used" in one.status for one in items.values()))
        meta = {"name": "s", "namespace": namespace}
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": meta,
            "stringData": {"x": "hidden"},
        }
        with pytest.raises(Forbidden) as caught:
            await api.create(secret)
        assert caught.value.kind == "quota"
        assert "hidden" not in str(caught.value)

    async def test_a_namespace_that_is_dying(self, api: Kubernetes, namespace: str) -> None:
        holding = config_map(namespace)
        holding["metadata"]["finalizers"] = ["example.com/hold"]
        await api.create(holding)
        await api.delete(kinds.NAMESPACE, namespace)
        try:
            with pytest.raises(Forbidden) as caught:
                await api.create(config_map(namespace, "b"))
            assert caught.value.kind == "terminating"
        finally:
            await api.patch(MAP, "a", namespace, {"metadata": {"finalizers": None}})


class Counted(Kubernetes):
    """Counts its lists and watches."""

    def __init__(self, api: Kubernetes) -> None:
        super().__init__(api._transport, api.namespace)
        self.lists = 0
        self.watches = 0
        self._begun = asyncio.Condition()

    async def list(self, *words: Any, **more: Any) -> Listing[Any]:
        self.lists += 1
        return await super().list(*words, **more)

    async def watch(self, *words: Any, **more: Any) -> AsyncGenerator[Any, None]:
        async with self._begun:
            self.watches += 1
            self._begun.notify_all()
        async with contextlib.aclosing(super().watch(*words, **more)) as watch:
            async for line in watch:
                yield line

    async def until_watched(self, count: int) -> None:
        """Wait until that many watches began."""
        async with asyncio.timeout(SECONDS), self._begun:
            await self._begun.wait_for(lambda: self.watches >= count)


class TestMirror:
    """Lists and watches of a real API server."""

    async def truth(self, api: Kubernetes, namespace: str) -> dict[str, str]:
        found = await api.list(MAP, namespace, view=View)
        return {view.metadata.key: view.metadata.resource_version for view in found.items}

    async def test_300_changes(self, api: Kubernetes, namespace: str) -> None:
        """By five writers at once."""
        await api.create(config_map(namespace, "before"))

        async def change(writer: int) -> None:
            for step in range(26):
                name = f"w{writer}-{step % 7}"
                await api.apply(config_map(namespace, name, step=str(step)))
                await api.patch(MAP, name, namespace, {"data": {"more": str(step)}})
                if step % 3 == 0:
                    await api.delete(MAP, name, namespace)

        async with Followed(api, MAP, namespace).running() as followed:
            await asyncio.gather(*(change(writer) for writer in range(5)))
            await api.create(config_map(namespace, "last"))
            await followed.has("last")
            held = {
                key: view.metadata.resource_version for key, view in followed.mirror.items.items()
            }
            assert held == await self.truth(api, namespace)
        replayed: dict[str, View | None] = {}
        for key, old, new in followed.told:
            assert replayed.get(key) == old
            replayed[key] = new
        assert {key: view for key, view in replayed.items() if view} == followed.mirror.items
        assert len(followed.told) >= 5 * 26 * 2

    async def test_a_watch_that_ended_is_resumed_without_a_list(
        self, api: Kubernetes, namespace: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(client, "WATCH_SECONDS", 1)
        counted = Counted(api)
        async with Followed(counted, MAP, namespace).running() as followed:
            for number in range(1, 5):
                await counted.until_watched(number)
                await api.create(config_map(namespace, f"m{number}"))
                await followed.has(f"m{number}")
        assert counted.lists == 1
        new = [key for key, old, _ in followed.told if old is None]
        assert len(new) == len(set(new))

    async def test_a_version_too_old_is_410_and_listed_again(
        self, api: Kubernetes, namespace: str
    ) -> None:
        await api.create(config_map(namespace))
        with pytest.raises(Gone):
            async with contextlib.aclosing(api.watch(MAP, version="1", view=View)) as watch:
                await anext(watch)
        counted = Counted(api)
        followed = Followed(counted, MAP, namespace)
        followed.mirror._version = "1"  # as after a very long pause
        async with followed.running():
            await api.create(config_map(namespace, "b"))
            await followed.has("b")
            assert f"{namespace}/a" in followed.mirror.items
        assert counted.lists == 1

    async def test_pages_compacted_meanwhile(
        self, node: Node, api: Kubernetes, namespace: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """etcd forgets the version of the first page: the next one is 410. Of Events, which the
        API server does not keep in memory."""
        monkeypatch.setattr(client, "PAGE", 2)
        for number in range(5):
            await api.create(happening(namespace, f"m{number}"))
        real, asked = api._transport.call, list[dict[str, str]]()

        async def call(
            method: str, path: str, params: Any = None, *more: Any, **named: Any
        ) -> bytes:
            if "continue" in (params or {}) and not any("continue" in one for one in asked):
                await api.create(happening(namespace, "later"))
                compact(node)
            asked.append(dict(params or {}))
            return await real(method, path, params, *more, **named)

        monkeypatch.setattr(api._transport, "call", call)
        found = await api.list(kinds.EVENT, namespace, view=View)
        names = [view.metadata.name for view in found.items]
        assert names == ["later", *(f"m{number}" for number in range(5))]
        assert asked[-1] == {}  # all of it in one answer, after the 410

    async def test_the_metadata_of_a_secret_comes_without_its_data(
        self, api: Kubernetes, namespace: str
    ) -> None:
        meta = {"name": "s", "namespace": namespace}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"x": "y"}}
        await api.create(secret)
        real, bodies = api._transport.call, list[bytes]()

        async def call(*words: Any, **named: Any) -> bytes:
            bodies.append(await real(*words, **named))
            return bodies[-1]

        api._transport.call = call  # type: ignore[method-assign]
        found = await api.list(kinds.SECRET, namespace, view=View)
        one = await api.get(kinds.SECRET, "s", namespace, view=View)
        assert [view.metadata.name for view in found.items] == ["s"]
        assert one == found.items[0]
        assert all(b'"data"' not in body for body in bodies)

    async def test_null_lists(self, api: Kubernetes, namespace: str) -> None:
        """A Service that leads nowhere: its slice has no endpoints."""

        class Slice(View, frozen=True):
            endpoints: tuple[dict[str, Any], ...] = ()

        async with Followed(api, kinds.ENDPOINT_SLICE, namespace, Slice).running() as followed:
            meta = {"name": "s", "namespace": namespace}
            spec = {"selector": {"app": "nothing"}, "ports": [{"port": 80}]}
            await api.apply({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec})
            await followed.until(bool)
            (view,) = followed.mirror.items.values()
        assert view.endpoints == ()


def happening(namespace: str, name: str) -> dict[str, Any]:
    """An Event."""
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": namespace},
        "involvedObject": {"kind": "Pod", "namespace": namespace, "name": "p"},
    }


def compact(node: Node) -> None:
    """Make etcd forget all versions but the newest."""
    program = """
import json, sys, urllib.request
def ask(path, **body):
    sent = urllib.request.Request(sys.argv[1] + path, json.dumps(body).encode())
    return json.load(urllib.request.urlopen(sent, timeout=10))
revision = ask("/v3/kv/range", key="AA==")["header"]["revision"]
ask("/v3/kv/compaction", revision=revision, physical=True)
"""
    etcd = next(
        word.partition("=")[2].partition(",")[0]
        for word in node.programs().state.programs["kube-apiserver"].argv
        if word.startswith("--etcd-servers=")
    )
    argv = node.inside(sys.executable, "-c", program, etcd)
    subprocess.run([str(word) for word in argv], check=True, timeout=30)


class TestAccounts:
    """Who may do what, and tokens that change."""

    def account(self, node: Node, namespace: str) -> str:
        """A token of an account that may read ConfigMaps."""
        node.kube("-n", namespace, "create", "serviceaccount", "reader")
        role = ("role", "reader", "--verb=get,list,watch", "--resource=configmaps")
        node.kube("-n", namespace, "create", *role)
        bound = ("--role=reader", f"--serviceaccount={namespace}:reader")
        node.kube("-n", namespace, "create", "rolebinding", "reader", *bound)
        return node.kube("-n", namespace, "create", "token", "reader").strip()

    def kubeconfig(self, node: Node, folder: Path) -> Path:
        """One that reads the token from the file `token` beside it, and the CA from a file."""
        view = ("config", "view", "--raw", "--minify", "-o", "json")
        cluster = json.loads(node.kube(*view))["clusters"][0]["cluster"]
        ca = cluster.get("certificate-authority-data", "")
        content = (
            base64.b64decode(ca) if ca else Path(cluster["certificate-authority"]).read_bytes()
        )
        (folder / "ca.crt").write_bytes(content)
        config = {
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [
                {
                    "name": "c",
                    "cluster": {"server": cluster["server"], "certificate-authority": "ca.crt"},
                }
            ],
            "users": [{"name": "u", "user": {"tokenFile": "token"}}],
        }
        (folder / "config").write_text(json.dumps(config))
        return folder / "config"

    async def test_what_an_account_may_not(
        self, node: Node, namespace: str, tmp_path: Path
    ) -> None:
        (tmp_path / "token").write_text(self.account(node, namespace))
        settings = KubernetesSettings(kubeconfig=str(self.kubeconfig(node, tmp_path)))
        async with open_kubernetes(settings) as reader:
            assert (await reader.list(MAP, namespace, view=View)).version
            for refused in (
                reader.list(kinds.SECRET, namespace, view=View),
                reader.list(MAP, view=View),
                reader.apply(config_map(namespace)),
                reader.delete(MAP, "kube-root-ca.crt", namespace),
                reader.attach("p", namespace, container="main", tty=False),
            ):
                with pytest.raises(Forbidden) as caught:
                    await refused
                assert caught.value.kind == "forbidden"
            with pytest.raises(Forbidden):
                async with contextlib.aclosing(
                    reader.watch(kinds.SECRET, namespace, version="", view=View)
                ) as watch:
                    await anext(watch)

    async def test_a_token_that_was_changed_is_used_at_once(
        self, node: Node, namespace: str, tmp_path: Path
    ) -> None:
        token = tmp_path / "token"
        token.write_text("not-a-token")
        settings = KubernetesSettings(kubeconfig=str(self.kubeconfig(node, tmp_path)))
        async with open_kubernetes(settings) as reader:
            with pytest.raises(Transient, match="401"):
                await reader.list(MAP, namespace, view=View)
            token.write_text(self.account(node, namespace) + "\n")
            assert (await reader.list(MAP, namespace, view=View)).version


class TestPods:
    """Attach and logs. `script` runs in bash as process 1."""

    async def started(
        self, node: Node, api: Kubernetes, namespace: str, script: str, **container: Any
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

    async def frames(self, socket: Any) -> dict[int, bytes]:
        """Everything by channel, until the socket's end."""
        found: dict[int, bytes] = {}
        async with asyncio.timeout(SECONDS):
            async for message in socket:
                channel, data = message.data[0], message.data[1:]
                found[channel] = found.get(channel, b"") + data
        return found

    async def test_half_closed_input(self, node: Node, api: Kubernetes, namespace: str) -> None:
        """Output goes on after the end of input, and the exit code is not the attach's to tell."""
        script = "while read -r line; do echo got $line; echo bad >&2; done; echo end; exit 3"
        await self.started(node, api, namespace, script, stdin=True, stdinOnce=True)
        socket = await api.attach("p", namespace, container="main", tty=False)
        async with socket:
            await socket.send_bytes(STDIN + b"one\n")
            await socket.send_bytes(STDIN + b"two\n")
            await socket.send_bytes(END_OF_STDIN)
            found = await self.frames(socket)
        assert found[1] == b"got one\ngot two\nend\n"
        assert found[2] == b"bad\nbad\n"
        assert json.loads(found[3])["status"] == "Success"

    async def test_a_terminal(self, node: Node, api: Kubernetes, namespace: str) -> None:
        resized = 'until [ "$(stty size)" = "37 91" ]; do read -rt 0.05 _; done'
        script = f"{resized}; echo resized; read -r line; echo got $line"
        await self.started(node, api, namespace, script, stdin=True, stdinOnce=True, tty=True)
        socket = await api.attach("p", namespace, container="main", tty=True)
        async with socket:
            await socket.send_bytes(b"\4" + json.dumps({"Width": 91, "Height": 37}).encode())
            async with asyncio.timeout(SECONDS):
                while b"resized" not in (await socket.receive()).data:
                    pass
            await socket.send_bytes(STDIN + b"x\n")
            found = await self.frames(socket)
        assert b"got x\r\n" in found[1]
        assert 2 not in found

    async def test_attaching_to_what_does_not_run(
        self, node: Node, api: Kubernetes, namespace: str
    ) -> None:
        with pytest.raises(NotFound):
            await api.attach("absent", namespace, container="main", tty=False)
        await self.started(node, api, namespace, "read -r line", stdin=True)
        with pytest.raises(Refused) as caught:
            await api.attach("p", namespace, container="other", tty=False)
        assert caught.value.code == 400

    async def test_logs_are_followed_to_the_end(
        self, node: Node, api: Kubernetes, namespace: str
    ) -> None:
        script = "echo first; read -r line; seq 1 2000; sleep 0.3"
        await self.started(node, api, namespace, script, stdin=True, stdinOnce=True)
        written = b""
        async with (
            asyncio.timeout(SECONDS),
            contextlib.aclosing(api.logs("p", namespace, follow=True)) as chunks,
        ):
            async for chunk in chunks:
                if not written:  # it is followed while the container writes
                    socket = await api.attach("p", namespace, container="main", tty=False)
                    await socket.send_bytes(STDIN + b"go\n")
                    await socket.close()
                written += chunk
        expected = ["first", *(str(number) for number in range(1, 2001))]
        assert written.decode().split() == expected

    async def test_logs_go_on_from_a_time(
        self, node: Node, api: Kubernetes, namespace: str
    ) -> None:
        await self.started(node, api, namespace, "echo old; echo older; sleep 0.3")
        async with asyncio.timeout(SECONDS):
            followed = api.logs("p", namespace, follow=True, timestamps=True)
            lines = b"".join([chunk async for chunk in followed]).decode().splitlines()
        assert [line.partition(" ")[2] for line in lines] == ["old", "older"]
        later = [
            chunk
            async for chunk in api.logs(
                "p", namespace, since="2999-01-01T00:00:00Z", container="main"
            )
        ]
        assert later == []
