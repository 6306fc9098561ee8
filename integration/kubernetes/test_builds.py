"""Builds in pods, with the real slugbuilder and real byte streams (issue: builds in pods)."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator

import msgspec
import pytest

from deis_bus.clock import new_id
from deis_bus.contracts.runtime import BuildJoin
from deis_bus.errors import Refused
from deis_bus.jetstream import connect
from deis_platform.runtime.kubernetes import build_pods, words
from deis_platform.runtime.kubernetes import builds as builds_module
from deis_platform.runtime.kubernetes.facts import Facts
from integration.builder_objects import Objects, archive, objects
from integration.cluster.node import Node
from integration.hearing import Heard, lose
from integration.kubernetes.builds_rig import Rig, builder, heard_of
from integration.kubernetes.runtime_rig import build_namespace, facts_of
from integration.servers import RunningNats

pytestmark = [pytest.mark.kubernetes, pytest.mark.server, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def store(node: Node) -> Iterator[Objects]:
    with objects(node.host_address) as running:
        yield running


@pytest.fixture(scope="module")
def facts(node: Node, stack_image: str) -> Iterator[Facts]:
    with build_namespace(node) as namespace:
        memory = 256 * 1024**2
        yield facts_of(
            stack_image, build_namespace=namespace, build_memory_bytes=memory, build_cpus=1.0
        )


@pytest.fixture
async def rig(node: Node, nats: RunningNats, facts: Facts, store: Objects) -> AsyncIterator[Rig]:
    async with (
        connect(nats.url, "builder") as bus,
        connect(nats.url, "gateway") as client,
        builder(node, bus, facts) as builds,
    ):
        made = Rig(node, builds, client, store, facts)
        yield made
        await builds.stop_build(made.id)


async def test_a_build_makes_a_slug_with_the_configuration_as_files_and_a_cache(rig: Rig) -> None:
    rig.source("env; cat /proc/*/environ 2>/dev/null; find /app /tmp -name SECRET -exec cat {} +")
    heard = await rig.build()
    shown = heard.out.decode()
    assert heard.code == 0, shown
    assert "Procfile declares types -> web" in shown
    assert "s3cret" in shown
    assert msgspec.json.decode(rig.store.held[rig.slug + ".json"])["procfile"] == {
        "web": "cat made"
    }
    for word in ("t-slug", "t-source", "t-cache", "SECRET=s3cret"):
        assert word not in shown, word
    spec = rig.node.kube("-n", rig.facts.build_namespace, "get", "pods", "-o", "json")
    for word in ("t-slug", "t-source", "t-cache", "s3cret"):
        assert word not in spec, word
    (pod,) = json.loads(spec)["items"]
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert len(rig.left()) == 3
    await rig.builds.stop_build(rig.id)
    await rig.until(lambda: not rig.left(), "the end of pod and Secrets")
    rig.store.held[rig.cache] = archive({"kept": "from the build before\n"})
    rig.source("find /app /tmp -name kept -exec cat {} +")
    heard = await rig.build()
    assert heard.out.startswith(b"-----> Restoring cache...\n")
    assert heard.out.count(b"from the build before\n") == 1


async def test_a_failing_build_has_its_code_and_stores_nothing(rig: Rig) -> None:
    rig.source("seq 1 20000; exit 9")
    heard = await rig.build()
    assert heard.code != 0
    assert rig.slug not in rig.store.held
    numbers = [line for line in heard.out.decode().split() if line.isdigit()]
    assert numbers[:20000] == [str(number) for number in range(1, 20001)]
    assert (await rig.joined(0)).out == heard.out
    assert (await rig.joined(len(heard.out))).code == heard.code


async def test_a_build_over_its_time_is_ended_and_says_so(rig: Rig) -> None:
    rig.source("echo begun; sleep 300")
    heard = await rig.build(time_limit_seconds=6.0)
    assert heard.code == 1
    assert heard.out.endswith(b"-----> The build took longer than 0.1 min and was ended\n")
    assert b"begun\n" in heard.out
    assert (await rig.joined(0)).out == heard.out


async def test_a_build_over_its_output_is_ended_and_says_so(rig: Rig) -> None:
    rig.source("yes | head -c 3000000; sleep 300")
    heard = await rig.build(output_limit_bytes=100_000)
    words = b"-----> The build printed more than 0.0953674 MB and was ended\n"
    assert heard.code == 1
    assert heard.out.endswith(words)
    assert len(heard.out) == 100_000 + len(words)


async def test_who_cancels_ends_the_build(rig: Rig) -> None:
    rig.source("echo begun; sleep 300")
    async with rig.building() as stream:
        heard = Heard()
        listening = asyncio.create_task(heard.listen(stream))
        await rig.until(lambda: b"begun" in heard.out, "its start")
        await stream.cancel("the push was given up")
        await listening
        await rig.until(lambda: not rig.left(), "the end of pod and Secrets")


async def test_a_second_start_is_refused_and_a_stop_ends_the_first(rig: Rig) -> None:
    rig.source("sleep 300")
    async with rig.building() as stream:
        with pytest.raises(Refused) as caught:
            await rig.builds.build(rig.task(new_id()))
        assert (caught.value.code, caught.value.kind) == (409, "running")
        await rig.builds.stop_build(rig.id)
        assert "ended by the platform" in (await heard_of(stream)).reason
    await rig.builds.stop_build(rig.id)
    with pytest.raises(Refused) as caught:
        await rig.joined(0)
    assert caught.value.code == 404


async def test_a_build_whose_listener_was_lost_is_joined_again(rig: Rig) -> None:
    rig.source(f"echo first; {rig.wait_for_go()}; echo second")
    async with rig.building() as lost:
        heard = Heard()
        listening = asyncio.create_task(heard.listen(lost))
        await rig.until(lambda: b"first" in heard.out, "its start")
        again = await rig.client.open_stream(new_id(), "opener")
        join = BuildJoin(id=rig.id, stream=again.id, heard=len(heard.out))
        await rig.builds.join_build(join)
        listening.cancel()
        await asyncio.wait({listening})
    # The end of the first stream gave nothing up: there is a newer listener.
    rig.go()
    rest = await heard_of(again)
    await again.close()
    assert rest.code == 0
    whole = heard.out + rest.out
    assert whole.count(b"first\n") == whole.count(b"second\n") == 1
    assert (await rig.joined(0)).out == whole


async def test_a_build_goes_on_when_its_builder_dies_and_another_one_hears_it(
    rig: Rig, node: Node, nats: RunningNats, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.source(f"echo first; {rig.wait_for_go()}; echo second")
    async with (
        connect(nats.url, "builder") as bus,
        builder(node, bus, rig.facts) as dying,
    ):
        stream = await rig.client.open_stream(new_id(), "opener")
        await dying.build(rig.task(stream.id))
        await lose(stream)
    rig.go()
    heard = await rig.joined(0)
    assert (heard.code, heard.out.count(b"first\n"), heard.out.count(b"second\n")) == (0, 1, 1)
    await stream.close()
    assert rig.slug in rig.store.held
    assert len(rig.left()) == 3
    monkeypatch.setattr(builds_module, "KEPT_SECONDS", 0.0)
    monkeypatch.setattr(builds_module, "LOOK_SECONDS", 0.1)
    async with connect(nats.url, "builder") as bus, builder(node, bus, rig.facts):
        await rig.until(lambda: not rig.left(), "what was left of the build")


async def test_secrets_without_a_pod_are_replaced_and_cleared_away(
    rig: Rig, node: Node, nats: RunningNats, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in ("", "-env"):
        old = build_pods.name(rig.task("")) + kind
        rig.node.kube("-n", rig.facts.build_namespace, "create", "secret", "generic", old)
    rig.source("true")
    assert (await rig.build()).code == 0  # with its own tokens, not with what lay there
    await rig.builds.stop_build(rig.id)
    await rig.until(lambda: not rig.left(), "the end of pod and Secrets")
    rig.node.kube("-n", rig.facts.build_namespace, "create", "secret", "generic", "slugbuild-x")
    rig.node.kube(
        "-n", rig.facts.build_namespace, "label", "secret", "slugbuild-x",
        "heritage=deis", "deis.io/build=x",
    )  # fmt: skip
    monkeypatch.setattr(builds_module, "KEPT_SECONDS", 0.0)
    monkeypatch.setattr(builds_module, "LOOK_SECONDS", 0.1)
    async with connect(nats.url, "builder") as bus, builder(node, bus, rig.facts):
        await rig.until(lambda: not rig.left(), "the Secret without a pod")


async def test_a_build_without_an_image_ends_with_a_sentence(
    rig: Rig, node: Node, nats: RunningNats
) -> None:
    nothing = msgspec.structs.replace(rig.facts, stack_image=f"{node.registry}/no/such:1")
    rig.source("true")
    async with connect(nats.url, "builder") as bus, builder(node, bus, nothing) as builds:
        rig.builds = builds
        heard = await rig.build()
    assert heard.code == 1
    assert b"has no image: Err" in heard.out
    assert b"no/such:1" in heard.out
    await rig.until(lambda: not rig.left(), "the end of pod and Secrets")


async def test_a_build_that_finds_no_node_ends_with_a_sentence(
    rig: Rig, node: Node, nats: RunningNats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(words, "PATIENCE_SECONDS", 1.0)
    elsewhere = msgspec.structs.replace(rig.facts, build_selector={"disk": "ssd"})
    rig.source("true")
    async with connect(nats.url, "builder") as bus, builder(node, bus, elsewhere) as builds:
        rig.builds = builds
        heard = await rig.build()
    assert heard.code == 1
    assert b"finds no node: No nodes matched the provided labels: disk=ssd" in heard.out
    await rig.until(lambda: not rig.left(), "the end of pod and Secrets")


async def test_a_build_out_of_memory_says_so(rig: Rig) -> None:
    rig.source("python3 -c 'x = bytearray(10**9)'")
    heard = await rig.build(memory_bytes=64 * 1024**2)
    assert heard.code == 1
    assert rig.slug not in rig.store.held
    assert heard.out.endswith(
        b"-----> The build was killed: it used more memory than its limit (OOMKilled)\n"
    )
