"""Builds that outlive their worker, and what is left of applications that are gone (DESIGN 5)."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from deis_bus.contracts.push import PUSH_OPEN, PUSH_RECEIVED, PushOpen, PushReceived
from deis_bus.contracts.runtime import BUILD, BUILD_STOP, BuildJoin, BuildRun, BuildStop
from deis_bus.errors import Unavailable
from deis_bus.jetstream import connect
from deis_bus.ports import Bus, ByteStream, ServiceInfo
from deis_bus.rpc import Context, Empty, endpoints
from deis_platform.crypto import Keyring
from deis_platform.embedded.ports import free_port
from deis_platform.metrics import Metrics
from deis_services.gateway.artifacts import Artifacts
from integration.builder_fixtures import WithController
from integration.builder_rig import BuilderRig
from integration.servers import RunningNats, until

pytestmark = pytest.mark.server


class Stuck:
    """A build that never ends by itself."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.ended = asyncio.Event()

    async def __call__(self, _: BuildRun, stream: ByteStream) -> int:
        try:
            await stream.send(b"-----> Stuck\n")
            self.begun.set()
            await asyncio.Event().wait()
        finally:
            self.ended.set()
        return 0


class TestLostWorker(WithController):
    LEASE_SECONDS = 3.0

    async def test_a_builder_that_stops_leaves_its_build_to_another(
        self, nats: RunningNats, platform: BuilderRig
    ) -> None:
        stuck = platform.builds.programs["blog"] = Stuck()
        async with platform.builder(nats):
            ada = await platform.person("ada")
            blog = await ada.app("blog")
            push = await ada.starts("git", "push", ada.url("blog"), "main", folder=blog)
            await stuck.begun.wait()
        said, _ = await push.communicate()
        assert b"The builder is stopping: the build goes on" in said
        assert push.returncode == 1
        assert stuck.ended.is_set()
        del platform.builds.programs["blog"]
        async with platform.builder(nats):
            await until(lambda: _states(platform, ["released"]), "the second attempt's release")
            assert "deployed already as blog:v2" in (await ada.push(blog)).output
        assert [run.id[-2:] for run in platform.builds.seen] == ["-1", "-2"]
        assert platform.runtime.applied[-1].artifact.slug.endswith("-2.tgz")

    async def test_a_killed_builder_costs_an_attempt_and_no_push(
        self, nats: RunningNats, platform: BuilderRig
    ) -> None:
        stuck = platform.builds.programs["blog"] = Stuck()
        ada = await platform.person("ada")
        await ada.app("blog")
        async with runtime_service(nats, platform), builder_process(nats, platform) as process:
            await self._queued(nats, platform)
            await asyncio.wait_for(stuck.begun.wait(), 20)
            process.kill()
            await process.wait()
            del platform.builds.programs["blog"]
            async with platform.builder(nats):
                await until(lambda: _states(platform, ["released"]), "the release")
        assert stuck.ended.is_set()
        assert [run.id[-2:] for run in platform.builds.seen] == ["-1", "-2"]

    async def _queued(self, nats: RunningNats, platform: BuilderRig) -> None:
        """A push that came in whole, as a session that is gone by now has left it."""
        (key,) = await platform.api.rows("SELECT fingerprint FROM keys")
        opened = await platform.api.ask(PUSH_OPEN, PushOpen(key["fingerprint"], "blog", "me"))
        received = PushReceived(
            push=opened.push, holder="me", sha="c" * 40, ref="refs/heads/main", source="sources/x"
        )
        await platform.api.ask(PUSH_RECEIVED, received)

    async def test_the_client_sees_the_second_attempt(
        self, nats: RunningNats, platform: BuilderRig
    ) -> None:
        async def cut_off(_: BuildRun, stream: ByteStream) -> int:
            await stream.send(b"-----> The first attempt\n")
            await stream.cancel("the machine went away")
            del platform.builds.programs["blog"]
            return 0

        platform.builds.programs["blog"] = cut_off
        async with platform.builder(nats):
            ada = await platform.person("ada")
            pushed = await ada.push(await ada.app("blog"))
        assert "The first attempt" in pushed.output
        assert "starting it again (attempt 2)" in pushed.output
        assert "Done, blog:v2 deployed" in pushed.output

    async def test_three_lost_attempts_fail_the_build(
        self, nats: RunningNats, platform: BuilderRig
    ) -> None:
        async def cut_off(_: BuildRun, stream: ByteStream) -> int:
            await stream.cancel("the machine went away")
            return 0

        platform.builds.programs["blog"] = cut_off
        async with platform.builder(nats):
            ada = await platform.person("ada")
            pushed = await ada.push(await ada.app("blog"), code=1)
        assert "The build failed: worker lost" in pushed.output
        assert len(platform.builds.seen) == 3


class Lossy:
    """A build whose stream loses a frame; it goes on, and can be heard again over another one."""

    def __init__(self, rig: BuilderRig, bus: Bus) -> None:
        self.joins: list[BuildJoin] = []
        self._rig = rig
        self._bus = bus

    async def __call__(self, run: BuildRun, stream: ByteStream) -> int:
        await stream.send(b"-----> Heard once\n")
        stream._sent_frames += 1  # type: ignore[attr-defined]
        await stream.send(b"lost")
        await asyncio.Event().wait()
        return 1

    async def join(self, join: BuildJoin) -> None:
        """Instead of the twin's, which keeps no output."""
        self.joins.append(join)
        if len(self.joins) == 1:
            raise Unavailable("the runtime is away for a moment")
        stream = await self._bus.open_stream(join.stream, "acceptor")
        await stream.exit(await self._rig.builds.succeed(self._rig.builds.seen[-1], stream))


class TestLostStream(WithController):
    LEASE_SECONDS = 3.0

    async def test_a_build_is_joined_again_and_costs_no_attempt(
        self, nats: RunningNats, platform: BuilderRig, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with connect(nats.url, "runtime") as bus, platform.builder(nats):
            lossy = platform.builds.programs["blog"] = Lossy(platform, bus)
            monkeypatch.setattr(platform.runtime, "join_build", lossy.join)
            ada = await platform.person("ada")
            pushed = await ada.push(await ada.app("blog"))
        assert "Done, blog:v2 deployed" in pushed.output
        assert pushed.output.count("Heard once") == pushed.output.count("It is fine") == 1
        assert [join.heard for join in lossy.joins] == [len("-----> Heard once\n")] * 2
        assert [run.id[-2:] for run in platform.builds.seen] == ["-1"]

    async def test_a_build_that_the_runtime_does_not_know_is_begun_again(
        self, nats: RunningNats, platform: BuilderRig
    ) -> None:
        async with connect(nats.url, "runtime") as bus, platform.builder(nats):
            lossy = Lossy(platform, bus)

            async def once(run: BuildRun, stream: ByteStream) -> int:
                del platform.builds.programs["blog"]
                return await lossy(run, stream)

            platform.builds.programs["blog"] = once
            ada = await platform.person("ada")
            pushed = await ada.push(await ada.app("blog"))
        assert "Done, blog:v2 deployed" in pushed.output
        assert [run.id[-2:] for run in platform.builds.seen] == ["-1", "-2"]


class TestProcess(WithController):
    async def test_a_builder_of_its_own_serves_a_push_and_stops_cleanly(
        self, nats: RunningNats, platform: BuilderRig
    ) -> None:
        ada = await platform.person("ada")
        async with runtime_service(nats, platform), builder_process(nats, platform) as process:
            await until(lambda: _answers(platform.port), "the builder")
            pushed = await ada.push(await ada.app("blog"))
            assert "Done, blog:v2 deployed" in pushed.output
            process.terminate()
            assert await asyncio.wait_for(process.wait(), 20) == 0
            assert process.stderr is not None
            said = (await process.stderr.read()).decode()
        assert "ERROR" not in said
        assert "Traceback" not in said
        assert "never awaited" not in said


async def _answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


class TestAtOnce(WithController):
    async def test_no_more_builds_than_allowed_run_at_once(
        self, nats: RunningNats, platform: BuilderRig
    ) -> None:
        running, most, gate = 0, 0, asyncio.Event()

        async def counted(run: BuildRun, stream: ByteStream) -> int:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await gate.wait()
            running -= 1
            return await platform.builds.succeed(run, stream)

        async with platform.builder(nats, builds_at_once=2, alive_seconds=1.0):
            ada = await platform.person("ada")
            names = [f"app{number}" for number in range(4)]
            platform.builds.programs.update(dict.fromkeys(names, counted))
            pushes = []
            for name in names:
                tree = await ada.app(name)
                pushes.append(await ada.starts("git", "push", ada.url(name), "main", folder=tree))
            # Each waits for a second: long enough for a worker to look twice.
            await asyncio.gather(*(_waits(push) for push in pushes))
            await until(lambda: running == 2, "as many builds as may run")
            gate.set()
            said = [(await push.communicate())[0] for push in pushes]
            assert all(b":v2 deployed" in words for words in said)
        assert most == 2


async def _waits(push: asyncio.subprocess.Process) -> None:
    if push.stdout is None:
        raise TypeError("no pipe")
    await push.stdout.readuntil(b"\x1b[1G...")


class TestCleaner(WithController):
    async def test_what_was_of_a_destroyed_app_goes(
        self, nats: RunningNats, platform: BuilderRig
    ) -> None:
        async with platform.builder(nats):
            ada = await platform.person("ada")
            await ada.push(await ada.app("blog"))
            await ada.push(await ada.app("stays"))
            assert len(repositories(platform)) == 2
            await platform.api.send("apps.destroy", "ada", app="blog")
            await until(lambda: len(repositories(platform)) == 1, "one repository")

    async def test_what_was_missed_goes_at_the_next_start(
        self, nats: RunningNats, platform: BuilderRig
    ) -> None:
        async with platform.builder(nats):
            ada = await platform.person("ada")
            await ada.push(await ada.app("stays"))
        left = platform.folder / "builder" / "00000000-0000-4000-8000-000000000000.git"
        left.mkdir()
        async with platform.builder(nats):
            await until(lambda: not left.exists(), "the lost one is removed")
            assert len(repositories(platform)) == 1


class TestRealBuild(WithController):
    """With the slugbuilder as it is, and `artifacts` as the gateway serves it."""

    @pytest.fixture
    async def artifacts(self, platform: BuilderRig) -> AsyncIterator[str]:
        key = Keyring.open(platform.folder / "master.key").derive("artifacts")
        app = Artifacts(platform.objects, key, 1 << 30, Metrics("gateway")).app()
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        await runner.cleanup()

    async def test_a_static_site_and_what_cannot_be_built(
        self, nats: RunningNats, platform: BuilderRig, artifacts: str
    ) -> None:
        async def built(run: BuildRun, stream: ByteStream) -> int:
            return await slugbuilder(platform.folder / f"build-{run.id}", run, stream)

        platform.builds.programs.update(dict.fromkeys(("site", "notes"), built))
        async with platform.builder(nats, artifacts_url=artifacts):
            ada = await platform.person("ada")
            site = await ada.app("site", {"index.html": "<p>hello</p>", ".static": ""})
            pushed = await ada.push(site)
            assert "-----> Compiled slug size is" in pushed.output
            assert "Done, site:v2 deployed to Workflow" in pushed.output
            slug = platform.runtime.applied[-1].artifact.slug
            assert (await platform.objects.head(slug)).size > 0
            assert "web" in [p.type for p in platform.runtime.applied[-1].processes]
            failed = await ada.push(await ada.app("notes", {"notes.txt": "x"}), code=1)
            assert "Unable to select a buildpack" in failed.output
            assert "exited with code 1, stopping build" in failed.output


async def slugbuilder(folder: Path, run: BuildRun, stream: ByteStream) -> int:
    """The real slugbuilder, as the local runtime starts it."""
    for part in ("env", "work"):
        (folder / part).mkdir(parents=True)
    told = {
        "PATH": os.environ["PATH"],
        "SOURCE_URL": run.source_url,
        "SOURCE_TOKEN": run.source_token,
        "SOURCE_VERSION": run.sha,
        "SLUG_URL": run.slug_url,
        "SLUG_TOKEN": run.slug_token,
        "CACHE_URL": run.cache_url,
        "CACHE_TOKEN": run.cache_token,
        "ENV_DIR": str(folder / "env"),
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-m", "deis_services.slugbuilder"),
        cwd=folder / "work",
        env=told,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    await stream.send(out)
    return process.returncode or 0


def repositories(rig: BuilderRig) -> list[Path]:
    """Those the builder holds."""
    return list((rig.folder / "builder").glob("*.git"))


async def _states(rig: BuilderRig, wanted: list[str]) -> bool:
    return [row["state"] for row in await rig.push_rows()] == wanted


@asynccontextmanager
async def runtime_service(nats: RunningNats, rig: BuilderRig) -> AsyncIterator[None]:
    """The runtime in memory behind the requests of the runtime service."""

    async def build(run: BuildRun, _: Context) -> Empty:
        await rig.runtime.build(run)
        return Empty()

    async def stop(asked: BuildStop, _: Context) -> Empty:
        await rig.runtime.stop_build(asked.id)
        return Empty()

    served = endpoints({BUILD: build, BUILD_STOP: stop}, lambda _subject, _fault: None)
    async with (
        connect(nats.url, "runtime") as bus,
        bus.serve(ServiceInfo(name="runtime", version="0.0.1"), served),
    ):
        yield


@asynccontextmanager
async def builder_process(
    nats: RunningNats, rig: BuilderRig
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The builder as a process of its own."""
    rig.port = free_port()
    told = {
        "PATH": os.environ["PATH"],
        "PYTHONSAFEPATH": "1",
        "DEIS_NATS_URL": nats.url,
        "DEIS_OBJECTS_URL": f"file://{rig.folder}/objects",
        "DEIS_BUILDER_FOLDER": str(rig.folder / "builder-process"),
        "DEIS_BUILDER_ADDRESS": f"127.0.0.1:{rig.port}",
        "DEIS_SECRET_FILE": str(rig.folder / "master.key"),
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deis_services.builder"),
        env=told,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
