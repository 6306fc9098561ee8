"""What every bus does that keeps nothing: subscriptions, requests, discovery.

See bus.py for how a suite is inherited.
"""

import asyncio
import time
from collections.abc import AsyncIterator

import msgspec
import pytest

from deis_bus.errors import DeadlineExceeded, Refused, Transient, Unavailable, Undecodable
from deis_bus.ports import TOO_LARGE, Answer, Bus, Component, Endpoint, Received, ServiceInfo
from deis_bus.rpc import DEADLINE, Context, Method, call, endpoints
from tests.behaviour.bus import PATIENCE, PUSHED, envelope, one, take, until


class CoreSuite:
    """Core subscriptions, which keep nothing."""

    async def test_a_subscriber_hears_in_order(self, bus: Bus, other: Bus) -> None:
        async with bus.subscribe("deis.log.*") as subscription:
            messages = aiter(subscription)
            for number in range(100):
                await other.emit("deis.log.blog", b"%d" % number, {"appuuid": "u"})
            got = await take(messages, 100)
        assert [m.data for m in got] == [b"%d" % number for number in range(100)]
        assert got[0] == Received("deis.log.blog", {"appuuid": "u"}, b"0")

    async def test_every_subscriber_hears_and_one_of_a_queue(self, bus: Bus, other: Bus) -> None:
        async with (
            bus.subscribe("deis.log.blog") as plain,
            bus.subscribe("deis.log.blog", queue="loggers") as first,
            other.subscribe("deis.log.blog", queue="loggers") as second,
        ):
            for _ in range(20):
                await other.emit("deis.log.blog", b"x")
            await take(aiter(plain), 20)
            heard: list[str] = []
            readers = [
                asyncio.create_task(_hear(aiter(subscription), name, heard))
                for name, subscription in (("first", first), ("second", second))
            ]
            await until(lambda: len(heard) == 20)
            for reader in readers:
                reader.cancel()

    async def test_what_is_stored_is_heard_too(self, bus: Bus, other: Bus) -> None:
        async with other.subscribe("deis.event.>") as subscription:
            await bus.publish(PUSHED, envelope(), b"{}")
            assert (await one(aiter(subscription))).subject == PUSHED

    async def test_nothing_is_heard_after_the_end(self, bus: Bus, other: Bus) -> None:
        async with bus.subscribe("deis.log.blog") as ended:
            pass
        async with bus.subscribe("deis.log.blog") as subscription:
            await other.emit("deis.log.blog", b"x")
            await one(aiter(subscription))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await anext(aiter(ended))

    async def test_it_is_ready(self, bus: Bus) -> None:
        await until(bus.ready)


async def _hear(messages: AsyncIterator[Received], name: str, heard: list[str]) -> None:
    async for _ in messages:
        heard += [name]


class Question(msgspec.Struct, frozen=True):
    """What the tests ask."""

    text: str


class Reply(msgspec.Struct, frozen=True):
    """What they are told."""

    text: str


ECHO = Method("controller", "echo.read", Question, Reply)
DEEPER = Method("builder", "echo.read", Question, Reply)
INFO = ServiceInfo(name="controller", version="1.2.3", metadata={"host": "h"})


def bug(subject: str, fault: Exception) -> None:
    """No handler of these tests has a bug that they did not plan."""
    raise AssertionError(subject) from fault


async def echo(question: Question, context: Context) -> Reply:
    """The question."""
    return Reply(question.text)


class RequestsSuite:
    """Requests: answered by whoever serves the subject."""

    async def test_a_request_is_answered(self, bus: Bus, other: Bus) -> None:
        async with bus.serve(INFO, endpoints({ECHO: echo}, bug)):
            assert (await call(other, ECHO, Question("häl\nlo"))).text == "häl\nlo"

    async def test_headers_and_bytes_pass_untouched(self, bus: Bus, other: Bus) -> None:
        async def mirror(received: Received) -> Answer:
            return Answer(received.data + received.headers["x-word"].encode())

        async with bus.serve(INFO, {"deis.rpc.controller.mirror": mirror}):
            answer = await other.request(
                "deis.rpc.controller.mirror", b"\x00\xff", {"x-word": "w"}, PATIENCE
            )
        assert answer == Answer(b"\x00\xffw")

    async def test_nobody_there_is_unavailable_at_once(self, bus: Bus, other: Bus) -> None:
        with pytest.raises(Unavailable):
            await call(other, ECHO, Question("x"), seconds=PATIENCE)
        async with bus.serve(INFO, endpoints({ECHO: echo}, bug)):
            pass
        with pytest.raises(Unavailable):
            await call(other, ECHO, Question("x"), seconds=PATIENCE)

    async def test_no_answer_in_time_is_told(self, bus: Bus, other: Bus) -> None:
        release = asyncio.Event()

        async def slow(question: Question, context: Context) -> Reply:
            await release.wait()
            return Reply("late")

        async with bus.serve(INFO, endpoints({ECHO: slow}, bug)):
            with pytest.raises(DeadlineExceeded):
                await call(other, ECHO, Question("x"), seconds=0.05)
            release.set()
            assert (await call(other, ECHO, Question("x"))).text == "late"

    async def test_a_refusal_travels_whole(self, bus: Bus, other: Bus) -> None:
        async def no(question: Question, context: Context) -> Reply:
            raise Refused(409, "zwei\nLines: 100% ñ ", "busy")

        async with bus.serve(INFO, endpoints({ECHO: no}, bug)):
            with pytest.raises(Refused) as refused:
                await call(other, ECHO, Question("x"))
        told = refused.value
        assert (told.code, told.detail, told.kind) == (409, "zwei\nLines: 100% ñ ", "busy")

    async def test_a_dependency_that_is_away_is_transient_to_the_caller(
        self, bus: Bus, other: Bus
    ) -> None:
        async def away(question: Question, context: Context) -> Reply:
            raise Unavailable("no database")

        async with bus.serve(INFO, endpoints({ECHO: away}, bug)):
            with pytest.raises(Transient):
                await call(other, ECHO, Question("x"))

    async def test_a_bug_is_a_500_without_details(self, bus: Bus, other: Bus) -> None:
        faults: list[str] = []

        async def broken(question: Question, context: Context) -> Reply:
            raise KeyError("secret")

        served = endpoints({ECHO: broken}, lambda subject, fault: faults.append(subject))
        async with bus.serve(INFO, served):
            with pytest.raises(Refused) as refused:
                await call(other, ECHO, Question("x"))
        assert (refused.value.code, refused.value.detail) == (500, "Server Error")
        assert faults == [ECHO.subject]

    async def test_what_comes_after_its_deadline_is_not_done(self, bus: Bus, other: Bus) -> None:
        done: list[str] = []

        async def act(question: Question, context: Context) -> Reply:
            done.append(question.text)
            return Reply("done")

        late = {DEADLINE: str(int((time.time() - 1) * 1000))}
        async with bus.serve(INFO, endpoints({ECHO: act}, bug)):
            data = ECHO.encode(Question("x"))
            answer = await other.request(ECHO.subject, data, late, PATIENCE)
        assert (answer.code, answer.kind) == (504, "late")
        assert done == []

    async def test_a_question_that_does_not_decode_is_refused(self, bus: Bus, other: Bus) -> None:
        async with bus.serve(INFO, endpoints({ECHO: echo}, bug)):
            answer = await other.request(ECHO.subject, b"[]", {}, PATIENCE)
        assert (answer.code, answer.kind) == (400, "undecodable")

    async def test_what_travels_with_a_request_reaches_the_handler(
        self, bus: Bus, other: Bus
    ) -> None:
        contexts: list[Context] = []

        async def note(question: Question, context: Context) -> Reply:
            contexts.append(context)
            return Reply("noted")

        trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        async with bus.serve(INFO, endpoints({ECHO: note}, bug)):
            before = time.time()
            await call(other, ECHO, Question("x"), seconds=7, request_id="r1", traceparent=trace)
            await call(other, ECHO, Question("x"))
        first, second = contexts
        assert (first.request_id, first.traceparent) == ("r1", trace)
        assert before + 6.9 < first.deadline < time.time() + 7.1
        assert second.request_id not in ("", "r1")

    async def test_an_answer_of_another_shape_is_told(self, bus: Bus, other: Bus) -> None:
        async def odd(received: Received) -> Answer:
            return Answer(b"[]")

        async with bus.serve(INFO, {ECHO.subject: odd}):
            with pytest.raises(Undecodable, match="answer of"):
                await call(other, ECHO, Question("x"))

    async def test_an_answer_that_no_message_can_hold_is_told_at_once(
        self, bus: Bus, other: Bus
    ) -> None:
        async def huge(received: Received) -> Answer:
            return Answer(bytes(8 * 1024 * 1024 + 1))

        async with bus.serve(INFO, {ECHO.subject: huge}):
            assert await other.request(ECHO.subject, b"", {}, PATIENCE) == TOO_LARGE

    async def test_a_service_that_asks_another_passes_its_refusal_on(
        self, bus: Bus, other: Bus
    ) -> None:
        async def ask(question: Question, context: Context) -> Reply:
            return await call(bus, DEEPER, question)

        async def no(question: Question, context: Context) -> Reply:
            raise Refused(403, f"not {question.text}", "right")

        async with (
            bus.serve(INFO, endpoints({ECHO: ask}, bug)),
            other.serve(ServiceInfo(name="builder", version="1"), endpoints({DEEPER: no}, bug)),
        ):
            with pytest.raises(Refused) as refused:
                await call(other, ECHO, Question("you"))
        told = refused.value
        assert (told.code, told.detail, told.kind) == (403, "not you", "right")

    async def test_slow_requests_do_not_hold_up_others(self, bus: Bus, other: Bus) -> None:
        release = asyncio.Event()

        async def maybe(question: Question, context: Context) -> Reply:
            if question.text == "slow":
                await release.wait()
            return Reply(question.text)

        async with bus.serve(INFO, endpoints({ECHO: maybe}, bug)):
            slow = [asyncio.ensure_future(call(other, ECHO, Question("slow"))) for _ in range(20)]
            assert (await call(other, ECHO, Question("quick"))).text == "quick"
            release.set()
            assert [reply.text for reply in await asyncio.gather(*slow)] == ["slow"] * 20

    async def test_replicas_share_requests(self, bus: Bus, other: Bus) -> None:
        asked: list[str] = []

        def served_by(name: str) -> dict[str, Endpoint]:
            async def answer(received: Received) -> Answer:
                asked.append(name)
                return Answer(b"")

            return {ECHO.subject: answer}

        async with bus.serve(INFO, served_by("one")), other.serve(INFO, served_by("two")):
            for _ in range(50):
                await bus.request(ECHO.subject, b"", {}, PATIENCE)
        assert len(asked) == 50
        assert set(asked) == {"one", "two"}

    async def test_what_runs_may_end_when_the_service_does(self, bus: Bus, other: Bus) -> None:
        began = asyncio.Event()

        async def busy(question: Question, context: Context) -> Reply:
            began.set()
            for _ in range(20):
                await asyncio.sleep(0)
            return Reply("finished")

        async with bus.serve(INFO, endpoints({ECHO: busy}, bug)):
            waiting = asyncio.ensure_future(call(other, ECHO, Question("x")))
            await began.wait()
        assert (await waiting).text == "finished"

    async def test_components_are_found(self, bus: Bus, other: Bus) -> None:
        builder = ServiceInfo(name="builder", version="1.2.3")
        async with bus.serve(INFO, {}), other.serve(builder, {}), other.serve(builder, {}):
            found: list[Component] = []

            async def all_there() -> bool:
                found[:] = await other.discover()
                return len(found) == 3

            await until(all_there)
        assert [component.name for component in found] == ["builder", "builder", "controller"]
        assert len({component.id for component in found}) == 3
        assert (found[2].version, found[2].metadata) == ("1.2.3", {"host": "h"})
        assert await other.discover(0.05) == []
