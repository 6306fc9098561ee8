"""One-off commands in pods of the node: streams both ways, ends of every kind (api.md 11)."""

import asyncio
import contextlib
import functools
import hashlib
import os
from collections.abc import AsyncIterator, Callable

import msgspec
import pytest

from deis_bus import subjects
from deis_bus.clock import new_id
from deis_bus.contracts.runtime import AppRef, AppSpec, Artifact, Process, RunTask
from deis_bus.errors import Refused
from deis_bus.events.processes import RunEnded
from deis_bus.jetstream import connect
from deis_bus.ports import Bus, ByteStream
from deis_platform.names import run_name
from deis_platform.runtime.kubernetes import run_pods, words
from deis_platform.runtime.kubernetes import runs as runs_module
from integration.cluster.node import Node
from integration.hearing import Heard
from integration.kubernetes.runtime_rig import Cluster, facts_of, running
from integration.runtime_rig import APPS, Artifacts, slug
from integration.servers import RunningNats, until

pytestmark = [pytest.mark.kubernetes, pytest.mark.server, pytest.mark.timeout(180)]

SECONDS = 90.0


class Rig:
    """An application's commands, and the other end of their streams."""

    def __init__(self, node: Node, cluster: Cluster, client: Bus, artifact: Artifact) -> None:
        self.node = node
        self.cluster = cluster
        self.client = client
        self.artifact = artifact
        self.app: AppRef = cluster.app()

    def task(self, command: str, stream: str, **more: object) -> RunTask:
        task = RunTask(
            app=self.app.app,
            appuuid=self.app.appuuid,
            release=3,
            instance=run_name(self.app.app),
            artifact=self.artifact,
            environment={"GREETING": "hello"},
            command=command,
            stream=stream,
        )
        return msgspec.structs.replace(task, **more)

    @contextlib.asynccontextmanager
    async def running(self, command: str, **more: object) -> AsyncIterator[ByteStream]:
        """A command; its stream, until the end of the context."""
        stream = await self.client.open_stream(new_id(), "opener")
        try:
            await self.cluster.runtime.run(self.task(command, stream.id, **more))
            yield stream
        finally:
            await stream.close()

    async def run(self, command: str, **more: object) -> Heard:
        """A command to its end."""
        async with self.running(command, **more) as stream:
            return await heard_of(stream)

    def left(self) -> set[str]:
        """Pods and Secrets of commands."""
        found = self.node.kube(
            "-n", self.app.app, "get", "pods,secrets", "-o", "name", "-l", "heritage=deis"
        )
        return set(found.split())

    async def idle(self) -> None:
        """Until pod and Secret are gone."""
        await self.until(lambda: not self.left(), "the end of pods and Secrets")

    async def until(self, true: Callable[[], bool], what: str) -> None:
        await until(lambda: asyncio.to_thread(true), what, SECONDS)


async def heard_of(stream: ByteStream) -> Heard:
    """Everything to the end of the stream."""
    async with asyncio.timeout(SECONDS):
        return await Heard().listen(stream)


@pytest.fixture
async def rig(node: Node, nats: RunningNats, stack_image: str) -> AsyncIterator[Rig]:
    artifacts = Artifacts()
    async with (
        artifacts.serving(node.host_address),
        connect(nats.url, "controller") as bus,
        connect(nats.url, "gateway") as client,
        running(node, bus, facts_of(stack_image)) as cluster,
    ):
        artifact = artifacts.add("worker", slug(APPS / "worker", {"data": "in the slug\n"}))
        yield Rig(node, cluster, client, artifact)


async def test_a_command_runs_in_the_release_and_leaves_nothing(rig: Rig) -> None:
    show = 'echo "$GREETING $PORT"; cat data; echo bad >&2; env; cat /proc/*/environ; exit 3'
    heard = await rig.run(show)
    assert heard.out.startswith(b"hello 5000\nin the slug\n")
    assert heard.err.startswith(b"bad\n")
    assert (heard.code, heard.reason) == (3, "")
    assert rig.artifact.token.encode() not in heard.out
    await rig.idle()


async def test_what_a_command_is_told_stands_in_no_pod(rig: Rig) -> None:
    async with rig.running("read x; echo got $x s3cret") as stream:
        (pod,) = rig.node.get("-n", rig.app.app, "pods")["items"]
        assert "s3cret" not in str(pod)
        assert rig.artifact.token not in str(pod)
        assert pod["spec"]["containers"][0]["name"] == f"{rig.app.app}-run"
        await stream.send(b"it\n", 0)
        assert (await heard_of(stream)).out == b"got it s3cret\n"


async def test_bytes_pass_both_ways_exactly(rig: Rig) -> None:
    given = os.urandom(2_000_000)
    async with rig.running("cat") as stream:
        listening = asyncio.create_task(heard_of(stream))
        await stream.send(given, 0)
        await stream.end_input()
        heard = await listening
    assert (len(heard.out), heard.code) == (len(given), 0)
    assert hashlib.sha256(heard.out).digest() == hashlib.sha256(given).digest()


async def test_a_long_output_is_whole_to_its_last_line(rig: Rig) -> None:
    heard = await rig.run("seq 1 300000; seq 300001 300010 >&2")
    assert heard.out == b"".join(b"%d\n" % number for number in range(1, 300_001))
    assert heard.err == b"".join(b"%d\n" % number for number in range(300_001, 300_011))


async def test_a_terminal_has_its_size_and_is_resized_and_interrupted(rig: Rig) -> None:
    command = (
        "stty size; trap 'stty size' WINCH; trap 'echo stop; exit 9' INT; "
        "echo ready; while :; do sleep 0.05; done"
    )
    async with rig.running(command, tty=True, columns=70, rows=20) as stream:
        heard = Heard()
        listening = asyncio.create_task(heard.listen(stream))
        await until(lambda: b"ready" in heard.out, "its start", SECONDS)
        await stream.resize(100, 50)
        await until(lambda: b"50 100" in heard.out, "its new size", SECONDS)
        await stream.signal("INT")
        await listening
    lines = heard.out.replace(b"^C", b"").split()
    assert lines == [b"20", b"70", b"ready", b"50", b"100", b"stop"]
    assert heard.code == 9


async def test_a_deploy_meanwhile_leaves_a_command_alone(rig: Rig) -> None:
    def spec(generation: int) -> AppSpec:
        process = Process(type="web", count=1, command="python3 server", grace_seconds=1.0)
        return AppSpec(
            app=rig.app.app,
            appuuid=rig.app.appuuid,
            generation=generation,
            release=generation + 2,
            artifact=rig.artifact,
            environment={},
            processes=(process,),
        )

    async def settled(generation: int) -> bool:
        status = await rig.cluster.runtime.status(rig.app)
        assert not status.failure, status.failure
        return status.settled and status.generation == generation

    async with rig.running("read x; echo got $x") as stream:
        for generation in (1, 2):
            await rig.cluster.runtime.apply(spec(generation))
            await until(functools.partial(settled, generation), "the deploy", SECONDS)
        await stream.send(b"it\n", 0)
        heard = await heard_of(stream)
    assert (heard.out, heard.code) == (b"got it\n", 0)


@pytest.mark.parametrize("how", ["cancel", "signal"])
async def test_who_cancels_or_kills_ends_the_command(rig: Rig, how: str) -> None:
    async with rig.running("echo ready; sleep 300") as stream:
        heard = Heard()
        listening = asyncio.create_task(heard.listen(stream))
        await until(lambda: b"ready" in heard.out, "its start", SECONDS)
        await (stream.cancel("enough") if how == "cancel" else stream.signal("KILL"))
        await listening
    await rig.idle()


async def test_a_command_over_its_time_is_ended_and_says_so(rig: Rig) -> None:
    async with rig.client.subscribe(subjects.report(rig.app.app, RunEnded.TYPE)) as reports:
        heard = await rig.run("echo ready; sleep 300", time_limit_seconds=6.0)
        assert (heard.code, heard.reason) == (None, "Timed out (0.1 mins) while running")
        async with asyncio.timeout(SECONDS):
            report = await anext(aiter(reports))
    assert msgspec.json.decode(report.data, type=RunEnded).exit_code == 1
    await rig.idle()


async def test_a_command_without_an_image_says_so(rig: Rig) -> None:
    heard = await rig.run("true", artifact=Artifact(image=f"{rig.node.registry}/no/such:1"))
    assert heard.code is None
    assert "has no image: Err" in heard.reason
    assert "no/such:1" in heard.reason
    await rig.idle()


async def test_a_command_that_finds_no_node_says_so_and_leaves_nothing(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(words, "PATIENCE_SECONDS", 1.0)
    heard = await rig.run("true", tags={"disk": "ssd", "zone": "b"})
    assert heard.code is None
    assert "finds no node: No nodes matched the provided labels: disk=ssd, zone=b" in heard.reason
    await rig.idle()


async def test_a_command_whose_slug_is_gone_says_so(rig: Rig) -> None:
    gone = msgspec.structs.replace(rig.artifact, url=rig.artifact.url + ".gone")
    heard = await rig.run("true", artifact=gone)
    assert heard.code == 1
    assert b"slugrunner: " in heard.err
    await rig.idle()


async def test_more_than_the_quota_is_refused_in_words_and_leaves_nothing(rig: Rig) -> None:
    await rig.cluster.runtime.claim(rig.app)
    rig.node.kube("-n", rig.app.app, "create", "quota", "none", "--hard=pods=0")
    await rig.until(
        lambda: "hard" in rig.node.get("-n", rig.app.app, "quota", "none").get("status", {}),
        "the quota",
    )
    with pytest.raises(Refused) as caught:
        await rig.run("true")
    assert (caught.value.code, caught.value.kind) == (400, "quota")
    assert "exceeded quota" in caught.value.detail
    await rig.idle()


async def test_what_a_dead_controller_left_is_cleared_away(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = rig.task("true", new_id())
    await rig.cluster.runtime.claim(rig.app)
    for obj in (run_pods.secret(task), _ended(rig, task)):
        await rig.cluster.api.create(obj)
    orphan = rig.task("true", new_id())
    await rig.cluster.api.create(run_pods.secret(orphan))
    assert len(rig.left()) == 3
    monkeypatch.setattr(runs_module, "KEPT_SECONDS", 0.1)
    async with running(rig.node, rig.client, rig.cluster.facts):
        await rig.idle()


def _ended(rig: Rig, task: RunTask) -> dict[str, object]:
    """A pod like a command's that ends by itself."""
    obj: dict[str, object] = run_pods.pod(task, rig.cluster.facts)
    container = obj["spec"]["containers"][0]  # type: ignore[index]
    container["command"] = ["/bin/true"]
    return obj
