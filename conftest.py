"""For every test of the house."""

import asyncio
import os
from collections.abc import Callable

import pytest
from hypothesis import settings

from deis_platform.runner import new_loop

pytest.register_assert_rewrite("tests.behaviour")  # suites that others inherit tell values too
settings.register_profile("deep", max_examples=5_000, deadline=None)
if "HYPOTHESIS_PROFILE" in os.environ:
    settings.load_profile(os.environ["HYPOTHESIS_PROFILE"])


@pytest.fixture(scope="session")
def _asyncio_loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Tests run on the loop that the platform runs on.

    In place of pytest-asyncio's own fixture: its hook for the same gives every test a parameter,
    and so ends the servers of the session (`nats`, `postgres`, `platform`) after each test.
    """
    return new_loop


LONG_SECONDS = 150
"""A test that may take that long is one of the long ones."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What only root, or only another user, can show is left out; `make test` names it."""
    other = "user" if os.geteuid() == 0 else "root"
    left_out = [item for item in items if item.get_closest_marker(other)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    if hasattr(config, "workerinput"):  # one of several workers
        items[:] = spread(items)


def spread(items: list[pytest.Item]) -> list[pytest.Item]:
    """The long tests spread over the first half, so that no worker meets them all, or last."""
    long = [item for item in items if is_long(item)]
    short = [item for item in items if not is_long(item)]
    step = max(1, len(short) // (2 * len(long) or 1))
    spread_out: list[pytest.Item] = []
    for place, item in enumerate(long):
        spread_out += [item, *short[place * step : (place + 1) * step]]
    return spread_out + short[len(long) * step :]


def is_long(item: pytest.Item) -> bool:
    """Whether the test's own limit says so."""
    marker = item.get_closest_marker("timeout")
    return marker is not None and bool(marker.args) and float(marker.args[0]) >= LONG_SECONDS
