"""A request that comes twice: `Idempotency-Key`, and a commit whose answer was lost (DESIGN 5, 9)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import cast

import pytest

from deis_platform.database import CommitUnknown, Database, Transaction
from integration.controller_api.rig import Api

pytestmark = pytest.mark.server


@pytest.fixture
async def amber(api: Api) -> Api:
    """Ada's application `amber`, shared with bob."""
    for name in ("ada", "bob"):
        await api.user(name)
    await api.send("apps.create", "ada", {"id": "amber"})
    await api.send("perms.add", "ada", {"username": "bob"}, app="amber")
    return api


async def test_a_repeated_operation_is_the_first_one(amber: Api) -> None:
    body = {"values": {"A": "1"}}
    first = await amber.send("config.set", "ada", body, app="amber", once="k1")
    again = await amber.send("config.set", "ada", body, app="amber", once="k1")
    assert again.status == 202
    assert again.answer.operation == first.answer.operation
    assert again.answer.app == "amber"
    assert len(await amber.rows("SELECT 1 FROM operations")) == 1
    other = await amber.send("config.set", "ada", body, app="amber", once="k2")
    assert other.answer.operation != first.answer.operation


async def test_repeats_at_once_are_one_operation(amber: Api) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(amber.send("apps.scale", "ada", {"web": 1}, app="amber", once="k1"))
            for _ in range(6)
        ]
    assert len({task.result().answer.operation for task in tasks}) == 1
    assert {task.result().status for task in tasks} == {202}
    assert len(await amber.rows("SELECT 1 FROM operations")) == 1


async def test_a_repeated_write_gets_the_first_answer(amber: Api) -> None:
    body = {"domain": "www.example.com"}
    first = await amber.send("domains.add", "ada", body, app="amber", once="k1")
    again = await amber.send("domains.add", "ada", body, app="amber", once="k1")
    assert (again.status, again.body) == (201, first.body)
    assert [event[0] for event in await amber.events()].count("domain.added") == 1
    empty = {"username": "bob"}
    for _ in range(2):
        reply = await amber.send("perms.add", "ada", empty, app="amber", once="k2")
        assert (reply.status, reply.body) == (201, None)


async def test_a_changed_password_is_repeated(amber: Api) -> None:
    await amber.user("root", admin=True)
    await amber.send("auth.register", body={"username": "zoe", "password": "old"})
    login = await amber.send("auth.login", body={"username": "zoe", "password": "old"})
    body = {"password": "old", "new_password": "new"}
    amber.tokens["zoe"] = login.body["token"]
    for _ in range(2):
        reply = await amber.send("auth.passwd", "zoe", body, once="k1")
        assert (reply.status, reply.body) == (200, {"status": "password set"})


async def test_a_kept_token_is_sealed(amber: Api) -> None:
    first = await amber.send("auth.tokens", "ada", once="k1")
    amber.tokens["ada"] = first.body["token"]
    again = await amber.send("auth.tokens", "ada", once="k1")
    assert again.body == first.body
    held = str(await amber.rows("SELECT i::text AS row, answer_sealed FROM idempotency i"))
    assert first.body["token"] not in held
    assert first.body["token"].encode().hex() not in held


async def test_a_key_belongs_to_caller_route_and_body(amber: Api) -> None:
    body = {"values": {"A": "1"}}
    first = await amber.send("config.set", "ada", body, app="amber", once="k1")
    for name, given, path in (
        ("config.set", {"values": {"A": "2"}}, {}),
        ("apps.scale", body, {}),
        ("pods.restart.type", body, {"type": "web"}),
    ):
        reply = await amber.send(name, "ada", given, app="amber", once="k1", at=path)
        assert reply.status == 422
        assert reply.body == {"detail": "This Idempotency-Key was used for another request"}
    bobs = await amber.send("config.set", "bob", body, app="amber", once="k1")
    assert bobs.answer.operation not in ("", first.answer.operation)
    long = await amber.send("config.set", "ada", body, app="amber", once="x" * 256)
    assert long.status == 400


async def test_a_refused_request_keeps_no_key(amber: Api) -> None:
    for _ in range(2):
        reply = await amber.send("domains.add", "ada", {"domain": "*"}, app="amber", once="k1")
        assert reply.status == 400
    assert await amber.rows("SELECT 1 FROM idempotency") == []


async def test_a_key_is_kept_for_a_day(amber: Api) -> None:
    first = await amber.send("pods.restart", "ada", app="amber", once="k1")
    async with amber.deps.db.transaction() as tx:
        await tx.execute("UPDATE idempotency SET created = now() - interval '25 hours'")
    again = await amber.send("pods.restart", "ada", app="amber", once="k1")
    assert again.answer.operation != first.answer.operation


async def test_a_right_that_is_gone_gives_no_kept_answer(amber: Api) -> None:
    body = {"domain": "www.example.com"}
    await amber.send("domains.add", "bob", body, app="amber", once="k1")
    await amber.send("perms.remove", "ada", app="amber", username="bob")
    assert (await amber.send("domains.add", "bob", body, app="amber", once="k1")).status == 403


async def test_a_destroy_is_repeated_after_the_app_is_gone(amber: Api) -> None:
    first = await amber.send("apps.destroy", "ada", app="amber", once="k1")
    async with amber.deps.db.transaction() as tx:
        await tx.execute("DELETE FROM releases")
        await tx.execute("DELETE FROM apps")
    again = await amber.send("apps.destroy", "ada", app="amber", once="k1")
    assert (again.status, again.answer.operation) == (202, first.answer.operation)
    assert (await amber.send("apps.destroy", "ada", app="amber", once="k2")).status == 404
    await amber.send("apps.create", "ada", {"id": "amber"})
    once_more = await amber.send("apps.destroy", "ada", app="amber", once="k1")
    assert once_more.answer.operation == first.answer.operation
    assert len(await amber.rows("SELECT 1 FROM operations")) == 1


async def test_the_same_request_id_is_the_same_operation(amber: Api) -> None:
    first = await amber.send("pods.restart", "ada", app="amber", request_id="r1")
    again = await amber.send("pods.restart", "ada", app="amber", request_id="r1")
    assert first.answer.operation == again.answer.operation


class LosesAnswers:
    """A database whose next commits are done, or not, without anybody being told."""

    def __init__(self, db: Database, *, commits: bool) -> None:
        self._db = db
        self._commits = commits
        self._losing = True

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        losing, self._losing = self._losing, False
        async with self._db.transaction() as tx:
            yield tx
            if losing and not self._commits:
                raise CommitUnknown("the connection broke")
        if losing:
            raise CommitUnknown("the connection broke")


@pytest.mark.parametrize("name", ["domains.add", "config.set"])
async def test_a_lost_answer_of_a_commit_is_looked_up(amber: Api, name: str) -> None:
    body = {"domain": "www.example.com"} if name == "domains.add" else {"values": {"A": "1"}}
    for commits in (False, True):
        broken = cast("Database", LosesAnswers(amber.deps.db, commits=commits))
        api = Api(replace(amber.deps, db=broken))
        api.tokens = amber.tokens
        if commits:
            reply = await api.send(name, "ada", body, app="amber")
            assert reply.status in (201, 202)
        else:
            with pytest.raises(Exception, match="connection broke"):
                await api.send(name, "ada", body, app="amber")
    done = await amber.rows("SELECT 1 FROM domains WHERE domain = 'www.example.com'")
    assert len(done) + len(await amber.rows("SELECT 1 FROM operations")) == 1
