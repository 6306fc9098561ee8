"""Platforms side by side give their instances other ports."""

import contextlib
import secrets

import pytest

from deis_services.platform_cli import slices


@pytest.fixture
def claims() -> str:
    """Of nobody else on this machine."""
    return f"deis-test-{secrets.token_hex(8)}"


def test_the_same_wish_gets_the_same_ports_again(claims: str) -> None:
    with slices.port_slice(8000, claims) as first:
        pass
    with slices.port_slice(8000, claims) as again:
        assert first == again == "20500-20999"


def test_no_two_platforms_have_a_port_in_common_while_there_is_room(claims: str) -> None:
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(slices.port_slice(8000, claims)) for _ in range(slices.SLICES)]
        assert len(set(held)) == slices.SLICES
        assert min(held) == "20000-20499"
        assert max(held) == "29000-29499"
        with slices.port_slice(8003, claims) as shared:
            assert shared == "22000-22499"
    with slices.port_slice(8003, claims) as alone:
        assert alone == "22000-22499"
