"""Pauses that grow, and calls that are made again while there is time."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deis_bus.errors import Transient, Unavailable
from deis_platform.retry import delays, retry
from tests.unit.deis_platform.hand_loop import jumping, now


@given(
    first=st.floats(0.001, 10), ceiling=st.floats(10, 100), factor=st.floats(1, 10), jitter=st.floats(0, 1)
)  # fmt: skip
def test_pauses_grow_to_a_ceiling_and_are_shortened_by_no_more_than_the_jitter(
    first: float, ceiling: float, factor: float, jitter: float
) -> None:
    pause = first
    for given_ in itertools.islice(
        delays(first, ceiling=ceiling, factor=factor, jitter=jitter), 30
    ):
        assert pause * (1 - jitter) * 0.999 <= given_ <= pause
        pause = min(pause * factor, ceiling)


def test_many_do_not_come_back_at_once() -> None:
    assert len({next(delays()) for _ in range(50)}) > 10


class Flaky:
    """Fails so many times."""

    def __init__(self, times: int, fault: Exception) -> None:
        self.left = times
        self.fault = fault
        self.asked: list[float] = []

    async def __call__(self) -> str:
        self.asked.append(now())
        self.left -= 1
        if self.left >= 0:
            raise self.fault
        return "answer"


@jumping
async def test_it_is_asked_again_until_it_answers() -> None:
    flaky = Flaky(3, Unavailable("away"))
    assert await retry(flaky, seconds=60, pauses=iter((1.0, 2.0, 4.0, 8.0))) == "answer"
    assert flaky.asked == [0, 1, 3, 7]


@jumping
async def test_after_the_time_the_last_fault_comes_out() -> None:
    flaky = Flaky(1000, Transient("away"))
    with pytest.raises(Transient, match="away"):
        await retry(flaky, seconds=60)
    assert 50 < now() <= 60
    assert len(flaky.asked) > 10


@jumping
async def test_other_faults_come_out_at_once() -> None:
    flaky = Flaky(1, LookupError("a bug"))
    with pytest.raises(LookupError):
        await retry(flaky, seconds=60)
    assert len(flaky.asked) == 1
    flaky = Flaky(1, LookupError("expected"))
    assert await retry(flaky, seconds=60, faults=(LookupError,)) == "answer"
