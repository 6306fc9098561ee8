"""A request is held open until its operation ends, or answered at once where that is preferred."""

import asyncio
from uuid import uuid4

import pytest

from deis_bus.contracts.http import ApiAnswer, ApiCall, OperationState
from deis_bus.memory import MemoryBroker, MemoryBus
from deis_services.gateway.operations import Operations
from tests.behaviour.bus import until
from tests.behaviour.gateway_rig import Controller, Running, json

OPERATION = str(uuid4())
PATH = "/v2/apps/blog/config"
DONE = json(201, {"values": {"A": "1"}})


@pytest.fixture
def queued(controller: Controller) -> Controller:
    controller.answers["config.set"] = ApiAnswer(status=202, operation=OPERATION, app="blog")
    controller.operations[OPERATION] = OperationState(operation=OPERATION, state="queued")
    return controller


async def post(running: Running, **headers: str) -> tuple[int, object, dict[str, str]]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    async with running.ask("POST", PATH, json={"values": {}}, headers=sent) as answer:
        return answer.status, await answer.json(), dict(answer.headers)


async def test_the_request_waits_for_the_end(running: Running, queued: Controller) -> None:
    task = asyncio.create_task(post(running))
    await until(lambda: queued.reads == 1)
    await queued.end(OPERATION, DONE)
    status, body, _ = await task
    assert (status, body) == (201, {"values": {"A": "1"}})
    assert queued.reads == 2


async def test_an_end_before_the_first_look(running: Running, queued: Controller) -> None:
    await queued.end(OPERATION, json(409, {"detail": "busy"}))
    assert (await post(running))[:2] == (409, {"detail": "busy"})


async def test_an_end_that_nobody_told(bus: MemoryBus, queued: Controller) -> None:
    operations = Operations(bus, again=0.01)
    task = asyncio.create_task(operations.outcome(OPERATION))
    await until(lambda: queued.reads > 2)
    queued.operations[OPERATION] = OperationState(
        operation=OPERATION, state="succeeded", answer=DONE
    )
    assert (await task).status == 201


async def test_the_controller_goes_away_meanwhile(
    broker: MemoryBroker, bus: MemoryBus, queued: Controller
) -> None:
    operations = Operations(bus, again=0.01)
    task = asyncio.create_task(operations.outcome(OPERATION))
    await until(lambda: queued.reads > 1)
    broker.switch.up = False
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(task), 0.1)
    broker.switch.up = True
    await queued.end(OPERATION, DONE)
    assert (await task).status == 201


async def test_an_operation_that_is_not_there(bus: MemoryBus, controller: Controller) -> None:
    assert (await Operations(bus).outcome(OPERATION)).status == 404


async def test_a_client_that_goes_away_changes_nothing(
    running: Running, queued: Controller
) -> None:
    answered = asyncio.Event()

    async def slow(_: ApiCall) -> ApiAnswer:
        await asyncio.sleep(0)
        await gone.wait()
        answered.set()
        return ApiAnswer(status=202, operation=OPERATION, app="blog")

    gone = asyncio.Event()
    queued.answers["config.set"] = slow
    task = asyncio.create_task(post(running))
    await until(lambda: len(queued.calls) == 1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    gone.set()
    await asyncio.wait_for(answered.wait(), 10)


async def test_answered_at_once_where_that_is_preferred(
    running: Running, queued: Controller
) -> None:
    status, body, headers = await post(
        running, Prefer="wait=5, Respond-Async; x", Idempotency_Key="k"
    )
    where = f"/v2/operations/{OPERATION}"
    assert (status, body) == (202, {"operation": OPERATION, "state": "queued", "url": where})
    assert (headers["Location"], headers["Preference-Applied"]) == (where, "respond-async")
    assert (queued.calls[0].respond_async, queued.calls[0].idempotency_key) == (True, "k")


async def test_what_is_no_operation_is_answered_as_it_is(
    running: Running, controller: Controller
) -> None:
    controller.answers["config.set"] = json(409, {"detail": "changed nothing"})
    assert (await post(running, Prefer="respond-async"))[0] == 409


async def test_every_waiter_is_woken(running: Running, queued: Controller) -> None:
    tasks = [asyncio.create_task(post(running)) for _ in range(5)]
    await until(lambda: queued.reads == 5)
    await queued.end(OPERATION, DONE)
    assert [status for status, _, _ in await asyncio.gather(*tasks)] == [201] * 5
