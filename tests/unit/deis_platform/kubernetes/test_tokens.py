"""A token is read again in time, at once after a 401, and once however many ask."""

import asyncio
import time

import pytest

from deis_platform.kubernetes.tokens import Credential, Token, Unreadable, fixed


class Source:
    """Tokens `t1`, `t2` and so on; it fails while `broken`."""

    def __init__(self, seconds: float = 60.0) -> None:
        self.reads = 0
        self.broken = False
        self.seconds = seconds

    async def __call__(self) -> Credential:
        await asyncio.sleep(0)
        self.reads += 1
        if self.broken:
            raise Unreadable("no file")
        return Credential(f"t{self.reads}", self.seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


async def test_read_once_and_again_when_its_time_is_over(clock: list[float]) -> None:
    token = Token(source := Source())
    assert [(await token.now()).token for _ in range(3)] == ["t1"] * 3
    clock[0] += 59
    assert (await token.now()).token == "t1"
    clock[0] += 2
    assert (await token.now()).token == "t2"
    assert source.reads == 2


async def test_many_who_ask_at_once_read_once() -> None:
    token = Token(source := Source())
    assert {held.token for held in await asyncio.gather(*(token.now() for _ in range(50)))} == {
        "t1"
    }
    refused = await token.now()
    newer = await asyncio.gather(*(token.instead_of(refused) for _ in range(50)))
    assert {held.token for held in newer} == {"t2"}
    assert source.reads == 2


async def test_after_a_refusal_it_is_read_although_its_time_is_not_over() -> None:
    token = Token(Source())
    first = await token.now()
    second = await token.instead_of(first)
    assert (second.token, await token.now()) == ("t2", second)
    assert await token.instead_of(first) == second


async def test_the_last_one_stands_while_it_cannot_be_read(clock: list[float]) -> None:
    token = Token(source := Source())
    held = await token.now()
    source.broken = True
    clock[0] += 61
    assert [await token.now() for _ in range(3)] == [held] * 3
    assert source.reads == 2
    clock[0] += 6
    source.broken = False
    assert (await token.now()).token == "t3"


async def test_without_any_it_is_said() -> None:
    token = Token(source := Source())
    source.broken = True
    with pytest.raises(Unreadable):
        await token.now()
    source.broken = False
    assert (await token.now()).token == "t2"


async def test_who_is_cancelled_lets_the_next_one_read() -> None:
    release = asyncio.Event()

    async def slow() -> Credential:
        await release.wait()
        return Credential("t")

    token = Token(slow)
    first, second = asyncio.create_task(token.now()), asyncio.create_task(token.now())
    await asyncio.sleep(0)
    first.cancel()
    release.set()
    assert (await second).token == "t"


async def test_a_fixed_one() -> None:
    token = fixed("x")
    assert (await token.instead_of(await token.now())).token == "x"
