"""`git push` from end to end: real git, SSH, NATS, PostgreSQL and controller (cli.md 9)."""

import asyncio
import os
import signal

import pytest

from deis_bus.contracts.runtime import BuildRun
from deis_bus.ports import ByteStream
from deis_platform.objects import DirectoryStore
from integration.builder_fixtures import WithBuilder
from integration.builder_rig import HELLO, BuilderRig
from integration.servers import RunningNats, until

pytestmark = pytest.mark.server


class Gate:
    """A build that says it has begun, waits, says more than a pipe holds, and succeeds."""

    def __init__(self, rig: BuilderRig) -> None:
        self.begun = asyncio.Event()
        self.opened = asyncio.Event()
        self._rig = rig

    async def __call__(self, task: BuildRun, stream: ByteStream) -> int:
        await stream.send(b"-----> The first line\n")
        self.begun.set()
        await self.opened.wait()
        await stream.send(b"       one more line\n" * 20_000)
        return await self._rig.builds.succeed(task, stream)


class TestPush(WithBuilder):
    async def test_a_push_becomes_a_release(self, rig: BuilderRig) -> None:
        ada = await rig.person("ada")
        blog = await ada.app("blog")
        pushed = await ada.push(blog)
        wanted = (
            "Starting build... but first, coffee!",
            "-----> Python app detected",
            "       It is fine",
            "Build complete.",
            "Launching App...",
            "Done, blog:v2 deployed to Workflow",
            "[new branch]      main -> main",
        )
        places = [pushed.output.find(line) for line in wanted]
        assert -1 not in places, pushed.output
        assert places == sorted(places)
        assert (await ada.push(blog)).output.strip() == "Everything up-to-date"
        (task,) = rig.builds.seen
        release = rig.runtime.applied[-1]
        assert release.artifact.slug == task.slug_url.split("/artifacts/")[1]
        assert [process.command for process in release.processes] == ["./run"]

    async def test_lines_cover_gits_own_prefix(self, rig: BuilderRig) -> None:
        ada = await rig.person("ada")
        blog = await ada.app("blog")
        process = await ada.starts("git", "push", ada.url("blog"), "main", folder=blog)
        out, _ = await process.communicate()
        assert b"remote: \x1b[1GStarting build" in out
        assert b"remote: \x1b[1G-----> Python app detected" in out

    async def test_a_second_push_is_the_next_release(self, rig: BuilderRig) -> None:
        ada = await rig.person("ada")
        blog = await ada.app("blog")
        await ada.push(blog)
        await ada.commit(blog, {"more": "x"})
        assert "Done, blog:v3 deployed" in (await ada.push(blog)).output
        await ada.git(blog, "commit", "-q", "--amend", "-m", "forced")
        assert "Done, blog:v4 deployed" in (await ada.push(blog, "+main")).output
        shown = await ada.git(blog, "log", "--oneline")
        cloned = await ada.git(ada.home, "clone", "-q", ada.url("blog"), "cloned")
        assert cloned.output == ""
        assert await ada.git(ada.home / "cloned", "log", "--oneline") == shown

    async def test_a_slow_client_gets_a_whole_clone(self, rig: BuilderRig) -> None:
        ada = await rig.person("ada")
        blog = await ada.app("blog")
        (blog / "large").write_bytes(os.urandom(5_000_000))
        await ada.commit(blog, {})
        await ada.push(blog)
        slow = ada.home / "slow"
        slow.write_text('#!/bin/sh\n"$@" | dd bs=16 status=none\n')
        slow.chmod(0o755)
        through = f"core.sshCommand={' '.join((str(slow), *ada.ssh))}"
        for number in range(3):
            folder = f"cloned{number}"
            argv = ("env", "-u", "GIT_SSH_COMMAND", "git", "-c", through, "clone", ada.url("blog"))
            await ada.types(*argv, folder, folder=ada.home)
            assert (ada.home / folder / "large").stat().st_size == 5_000_000

    async def test_a_lost_repository_comes_back(self, rig: BuilderRig) -> None:
        ada = await rig.person("ada")
        blog = await ada.app("blog")
        await ada.push(blog)
        (held,) = (rig.folder / "builder").glob("*.git")
        held.rename(rig.folder / "lost")
        await ada.commit(blog, {"more": "x"})
        assert "Done, blog:v3 deployed" in (await ada.push(blog)).output

    async def test_the_commit_that_runs_is_not_built_again(self, rig: BuilderRig) -> None:
        ada = await rig.person("ada")
        blog = await ada.app("blog")
        await ada.push(blog)
        again = await ada.push(blog, "main:refs/heads/other")
        assert "deployed already as blog:v2" in again.output
        assert "main -> other" in again.output
        assert len(rig.builds.seen) == 1

    async def test_a_failing_build_rejects_the_ref(self, rig: BuilderRig) -> None:
        async def broken(_: BuildRun, stream: ByteStream) -> int:
            await stream.send(b"-----> Trying\n       it is broken")
            return 3

        ada = await rig.person("ada")
        blog = await ada.app("blog")
        rig.builds.programs["blog"] = broken
        for _ in range(2):
            pushed = await ada.push(blog, code=1)
            assert "it is broken" in pushed.output
            assert pushed.output.count("exited with code 3, stopping build") == 1
            assert "Build complete." not in pushed.output
            assert "pre-receive hook declined" in pushed.output
            assert "failed to push some refs" in pushed.output
        del rig.builds.programs["blog"]
        assert "Done, blog:v2 deployed" in (await ada.push(blog)).output

    async def test_a_release_that_fails_blames_the_controller(self, rig: BuilderRig) -> None:
        ada = await rig.person("ada")
        blog = await ada.app("blog")
        rig.runtime.script("crash", app="blog", reason="it will not start")
        pushed = await ada.push(blog, code=1)
        assert "Launching App..." in pushed.output
        assert "The controller returned an error when publishing the release" in pushed.output
        assert "it will not start" in pushed.output

    async def test_a_build_without_a_slug_fails(self, rig: BuilderRig) -> None:
        async def empty(_: BuildRun, __: ByteStream) -> int:
            return 0

        ada = await rig.person("ada")
        blog = await ada.app("blog")
        rig.builds.programs["blog"] = empty
        assert "left no slug" in (await ada.push(blog, code=1)).output

    async def test_two_at_once(self, rig: BuilderRig) -> None:
        ada = await rig.person("ada")
        blog = await ada.app("blog")
        gate = rig.builds.programs["blog"] = Gate(rig)
        first = asyncio.create_task(ada.push(blog))
        await gate.begun.wait()
        second = await ada.push(blog, code=128)
        assert "fatal: remote error: Another git push is ongoing" in second.output
        gate.opened.set()
        assert "Done, blog:v2 deployed" in (await first).output
        assert "The first line" in (await first).output

    async def test_a_client_that_goes_away_stops_no_build(self, rig: BuilderRig) -> None:
        ada = await rig.person("ada")
        blog = await ada.app("blog")
        gate = rig.builds.programs["blog"] = Gate(rig)
        push = await ada.starts("git", "push", ada.url("blog"), "main", folder=blog)
        await gate.begun.wait()
        os.killpg(push.pid, signal.SIGKILL)
        await push.wait()
        gate.opened.set()
        await until(lambda: _ended(rig, "released"), "the release")
        await until(lambda: _up_to_date(rig), "the branch")
        assert (await ada.push(blog)).output.strip() == "Everything up-to-date"
        assert len(rig.builds.seen) == 1


async def _ended(rig: BuilderRig, state: str) -> bool:
    return [row["state"] for row in await rig.push_rows()] == [state]


async def _up_to_date(rig: BuilderRig) -> bool:
    (held,) = (rig.folder / "builder").glob("*.git")
    return (held / "refs" / "heads" / "main").exists()


class TestRefusedPush(WithBuilder):
    async def test_an_unknown_app(self, rig: BuilderRig) -> None:
        ada = await rig.person("ada")
        tree = await ada.tree("nothing", HELLO)
        pushed = await ada.push(tree, code=128)
        assert "fatal: remote error: There is no application nothing." in pushed.output
        assert not list((rig.folder / "builder").glob("*.git"))

    async def test_an_app_of_somebody_else(self, rig: BuilderRig) -> None:
        ada, eve = await rig.person("ada"), await rig.person("eve")
        await ada.push(await ada.app("blog"))
        tree = await eve.tree("blog", HELLO)
        pushed = await eve.push(tree, code=128)
        assert "remote error: You do not have permission to push to blog." in pushed.output
        cloned = await eve.git(eve.home, "clone", eve.url("blog"), "stolen", code=128)
        assert "remote error" in cloned.output
        assert not (eve.home / "stolen").exists()

    async def test_an_unknown_key(self, rig: BuilderRig) -> None:
        ada = await rig.person("ada")
        blog = await ada.app("blog")
        async with rig.api.deps.db.transaction() as tx:
            await tx.execute("DELETE FROM keys")
        assert "Permission denied (publickey)" in (await ada.push(blog, code=128)).output

    async def test_an_empty_tree(self, rig: BuilderRig) -> None:
        ada = await rig.person("ada")
        pushed = await ada.push(await ada.app("blog", {}), code=1)
        assert "holds no files" in pushed.output
        assert "failed to push some refs" in pushed.output
        await self.is_free(rig, "The pushed commit holds no files")

    async def test_a_deleted_branch(self, rig: BuilderRig) -> None:
        ada = await rig.person("ada")
        blog = await ada.app("blog")
        await ada.push(blog)
        pushed = await ada.push(blog, ":main", code=1)
        assert "A branch cannot be deleted here" in pushed.output
        assert (await ada.push(blog)).output.strip() == "Everything up-to-date"

    async def test_two_branches(self, rig: BuilderRig) -> None:
        ada = await rig.person("ada")
        blog = await ada.app("blog")
        pushed = await ada.push(blog, "main", "main:refs/heads/other", code=1)
        assert "Push one branch at a time" in pushed.output
        await self.is_free(rig, "Push one branch at a time")

    async def test_a_tag(self, rig: BuilderRig) -> None:
        ada = await rig.person("ada")
        blog = await ada.app("blog")
        await ada.git(blog, "tag", "-a", "v1", "-m", "one")
        assert "A tag cannot be deployed" in (await ada.push(blog, "v1", code=1)).output
        assert "Done, blog:v2 deployed" in (await ada.push(blog)).output

    @pytest.mark.parametrize("platform", [{"pack_bytes": 20_000}], indirect=True)
    async def test_a_pack_over_the_limit(self, rig: BuilderRig) -> None:
        ada = await rig.person("ada")
        blog = await ada.app("blog")
        await ada.commit(blog, {"large": os.urandom(40_000).hex()})
        assert "pack exceeds maximum allowed size" in (await ada.push(blog, code=1)).output
        await self.is_free(rig, "")

    @pytest.mark.parametrize("platform", [{"pack_bytes": 150_000}], indirect=True)
    async def test_a_tree_over_the_limit(self, rig: BuilderRig) -> None:
        ada = await rig.person("ada")
        text = os.urandom(30_000).hex()
        # One object, many names: the pack is small, the tree is not.
        blog = await ada.app("blog", {f"f{number}": text for number in range(20)})
        pushed = await ada.push(blog, code=1)
        assert "packed they have more than 146 KB" in pushed.output
        await self.is_free(rig, "The pushed files are too many")
        assert await rig.objects.list("sources/") == []

    async def test_a_damaged_commit(self, rig: BuilderRig) -> None:
        ada = await rig.person("ada")
        blog = await ada.app("blog")
        tree = (await ada.git(blog, "rev-parse", "HEAD^{tree}")).output.strip()
        path = blog / "bad"
        path.write_text(f"tree {tree}\nauthor nobody\ncommitter nobody\n\nbad\n")
        wrote = await ada.git(blog, "hash-object", "-t", "commit", "-w", "--literally", "bad")
        pushed = await ada.push(blog, f"{wrote.output.strip()}:refs/heads/main", code=1)
        assert "fsck" in pushed.output
        await self.is_free(rig, "")

    async def test_without_room(self, nats: RunningNats, platform: BuilderRig) -> None:
        ada = await platform.person("ada")
        blog = await ada.app("blog")
        full = DirectoryStore(platform.folder / "objects", min_free_bytes=1 << 60)
        async with platform.builder(nats, full):
            assert "nearly out of disk space" in (await ada.push(blog, code=128)).output
        async with platform.builder(nats):
            assert "Done, blog:v2 deployed" in (await ada.push(blog)).output

    async def is_free(self, rig: BuilderRig, reason: str) -> None:
        """The push was closed, nothing was built, and the next one may come."""
        rows = await rig.push_rows()
        assert [row["state"] for row in rows] == ["closed"]
        assert rows[0]["reason"].startswith(reason)
        assert rig.builds.seen == []
