"""Push rows on real servers: the lock, results, turns, and what is kept of them."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from deis_bus import subjects
from deis_bus.clock import new_id
from deis_bus.contracts.buildlog import APPUUID
from deis_bus.contracts.push import (
    PUSH_CLOSE,
    PUSH_OPEN,
    BuildTask,
    PushClose,
    PushOpen,
    PushOpened,
)
from deis_bus.errors import Refused, Transient
from deis_bus.events.builds import BuildFailed
from deis_bus.jetstream import JetStreamBus
from deis_services.controller import store
from integration.pusher_rig import HOLDER, SHA, Pusher, WithPushers, handled
from integration.servers import until

pytestmark = pytest.mark.server


class TestPushes(WithPushers):
    async def test_from_push_to_release(self, amber: Pusher) -> None:
        opened = await amber.open()
        assert (opened.number, opened.app, opened.username) == (1, "amber", "ada")
        assert (await amber.received(opened)).state == "queued"
        task = await amber.take()
        assert (task.push, task.attempt, task.sha, task.cache) == (opened.push, 1, SHA, True)
        assert await amber.take("worker-2") == BuildTask()
        await amber.done(task)
        state = await amber.reaches(opened.push, "released")
        assert state.version == 2
        assert {"receive", "queue", "build compile", "build", "turn", "deploy"} <= set(state.stages)
        assert amber.runtime.applied[-1].artifact.slug.endswith(f"{opened.push}-1.tgz")
        assert (await amber.kinds())[-8:] == [
            "push.received", "build.started", "build.done", "build.created", "operation.queued",
            "release.created", "operation.done", "deploy.done",
        ]  # fmt: skip
        release = (await amber.api.send("releases.read", "ada", app="amber", version="v2")).body
        assert (release["summary"], release["build"]) == (f"ada deployed {SHA[:7]}", opened.push)
        stages = (await amber.api.send("releases.stages", "ada", app="amber", version="v2")).body
        assert stages["stages"] == state.stages

    async def test_who_may_push(self, amber: Pusher) -> None:
        eve = await amber.api.key(await amber.api.user("eve"), "eve")
        for fingerprint, app, code in (
            ("00:00", "amber", 401),
            (eve, "amber", 403),
            (amber.fingerprint, "nowhere", 404),
        ):
            with pytest.raises(Refused) as caught:
                await amber.api.ask(PUSH_OPEN, PushOpen(fingerprint, app, HOLDER))
            assert caught.value.code == code
        assert await amber.api.rows("SELECT 1 FROM pushes") == []
        await amber.api.send("perms.add", "ada", {"username": "eve"}, app="amber")
        shared: PushOpened = await amber.api.ask(PUSH_OPEN, PushOpen(eve, "amber", HOLDER))
        assert shared.username == "eve"

    async def test_an_open_push_is_the_lock(self, amber: Pusher) -> None:
        first = await amber.open()
        with pytest.raises(Refused) as caught:
            await amber.open("session-2")
        assert (caught.value.code, caught.value.kind) == (409, "busy")
        await amber.api.ask(PUSH_CLOSE, PushClose(first.push, "session-2", "not mine"))
        assert (await amber.state(first.push)).state == "receiving"
        await amber.api.ask(PUSH_CLOSE, PushClose(first.push, HOLDER, "interrupted"))
        closed = await amber.state(first.push)
        assert (closed.state, closed.reason) == ("closed", "interrupted")
        assert (await amber.open()).number == 2

    async def test_two_at_once_get_one_lock(self, amber: Pusher) -> None:
        tries = await asyncio.gather(
            *(amber.open(f"session-{n}") for n in range(5)), return_exceptions=True
        )
        assert len([one for one in tries if isinstance(one, PushOpened)]) == 1
        assert {one.kind for one in tries if isinstance(one, Refused)} == {"busy"}

    async def test_a_failed_build_says_why(self, amber: Pusher) -> None:
        opened = await amber.open()
        await amber.received(opened)
        task = await amber.take()
        reason = "no buildpack fits"
        await amber.report(BuildFailed(build=task.push, attempt=1, reason=reason), task.appuuid)
        assert (await amber.reaches(opened.push, "failed")).reason == reason
        assert await amber.made.releases() == [(1, "succeeded")]
        assert (await amber.open()).number == 2

    async def test_a_result_that_comes_twice_is_released_once(self, amber: Pusher) -> None:
        opened = await amber.open()
        await amber.received(opened)
        task = await amber.take()
        for _ in range(3):
            await amber.done(task)
        await amber.reaches(opened.push, "released")
        await handled(amber)
        assert await amber.made.releases() == [(1, "succeeded"), (2, "succeeded")]
        assert (await amber.kinds()).count("build.done") == 1

    async def test_the_commit_that_runs_is_not_built_again(self, amber: Pusher) -> None:
        assert (await amber.whole()).version == 2
        opened = await amber.open()
        state = await amber.received(opened)
        assert (state.state, state.version) == ("released", 2)
        assert await amber.take() == BuildTask()
        assert (await amber.kinds())[-2:] == ["push.received", "push.closed"]
        assert (await amber.whole("f" * 40)).version == 3
        again = await amber.whole()
        assert again.version == 4, "it is not current any more"

    async def test_a_push_waits_for_its_turn_without_limit(self, hasty: Pusher) -> None:
        await hasty.whole()
        hasty.runtime.script("hold", release=3)
        await hasty.api.send("config.set", "ada", {"values": {"A": "1"}}, app="amber")
        await hasty.made.deploys(3)
        opened = await hasty.open()
        await hasty.received(opened, "f" * 40)
        await hasty.done(await hasty.take())
        await hasty.reaches(opened.push, "releasing")
        late = await hasty.api.send("config.set", "ada", {"values": {"B": "1"}}, app="amber")
        assert (await hasty.made.ended(late)).state == "failed", "who waits for a turn has given up"
        assert (await hasty.state(opened.push)).state == "releasing"
        hasty.runtime.make_ready("amber")
        assert (await hasty.reaches(opened.push, "released")).version == 4
        assert hasty.runtime.applied[-1].environment["A"] == "1"

    async def test_a_deploy_that_fails_fails_its_push(self, amber: Pusher) -> None:
        amber.runtime.script("crash", release=2, reason="exited with 3")
        opened = await amber.open()
        await amber.received(opened)
        await amber.done(await amber.take())
        state = await amber.reaches(opened.push, "failed")
        assert "exited with 3" in state.reason

    async def test_only_the_newest_slugs_are_kept(self, amber: Pusher) -> None:
        objects = amber.made.deps.objects
        app = (await amber.api.send("apps.read", "ada", app="amber")).body["uuid"]

        async def stored(prefix: str) -> int:
            return len(await objects.list(f"{prefix}/{app}/"))

        for number in range(22):
            opened = await amber.open()
            await objects.put(f"sources/{app}/{opened.push}.tar.gz", _bytes())
            await objects.put(f"slugs/{app}/{opened.push}-1.tgz", _bytes())
            await amber.received(opened, f"{number:040d}")
            await amber.done(await amber.take())
            await amber.reaches(opened.push, "released")

        async def trimmed() -> bool:
            return await stored("slugs") == 20 and await stored("sources") == 0

        await until(trimmed, "old slugs and all sources are gone")
        async with amber.made.deps.db.reading() as tx:
            assert len(await store.kept_slugs(tx, app, 3)) == 3
        back = await amber.api.send("releases.rollback", "ada", {"version": 3}, app="amber")
        end = await amber.made.ended(back)
        assert end.answer is not None
        assert end.answer.status == 400
        assert b"The slug of v3 is no longer kept" in bytes(end.answer.body)
        kept = await amber.api.send("releases.rollback", "ada", {"version": 4}, app="amber")
        assert (await amber.made.ended(kept)).state == "succeeded"

    async def test_nothing_is_kept_of_a_destroyed_app(
        self, amber: Pusher, other: JetStreamBus
    ) -> None:
        objects = amber.made.deps.objects
        state = await amber.whole()
        app = state.appuuid
        for key in (f"slugs/{app}/x-1.tgz", f"cache/{app}/cache.tgz", "slugs/another/y.tgz"):
            await objects.put(key, _bytes())
        for owner in (app, "another"):
            headers = {APPUUID: owner, "Nats-Msg-Id": new_id()}
            await other.store(subjects.buildlog("amber", state.push), b"output", headers)
        reply = await amber.api.send("apps.destroy", "ada", app="amber")
        assert (await amber.made.ended(reply)).state == "succeeded"

        async def clean() -> bool:
            left = [found.key for found in await objects.list()]
            try:
                output = await other.read("BUILDLOGS")
            except Transient:  # a message was deleted while it was waited for
                return False
            owners = [message.headers[APPUUID] for message in output]
            return left == ["slugs/another/y.tgz"] and owners == ["another"]

        await until(clean, "only what is of others")


async def _bytes() -> AsyncIterator[bytes]:
    yield b"x"
