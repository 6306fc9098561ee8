"""What a push shows."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deis_bus.contracts.push import PushState
from deis_services.builder import render


def state(**changes: Any) -> PushState:
    told: dict[str, Any] = {
        "push": "p",
        "number": 1,
        "app": "blog",
        "appuuid": "u",
        "state": "failed",
    }
    return PushState(**told | changes)


def test_a_packet_counts_itself() -> None:
    assert render.packet("Another git push is ongoing") == b"0023ERR Another git push is ongoing"
    assert render.packet("ä") == b"000aERR \xc3\xa4"
    assert len(render.packet("x" * 100_000)) < 65_520


def test_the_end_of_a_deployed_push() -> None:
    assert render.done("amber-otter", 2)[0] == "Done, amber-otter:v2 deployed to Workflow"
    shown = "\n".join(render.done("amber-otter", 2))
    assert "deis open" in shown
    assert "deis help" in shown


def test_a_failed_build_is_told_once() -> None:
    failed = state(reason="The build exited with code 1, stopping build")
    assert render.failed(failed, told=True) == []
    assert "exited with code 1, stopping build" in render.failed(failed, told=False)[0]


def test_a_failed_release_blames_the_controller() -> None:
    shown = render.failed(state(reason="it crashed", stages={"build": 1.0}), told=False)[0]
    assert shown == "The controller returned an error when publishing the release: it crashed"


@pytest.mark.parametrize("end", ["closed", "superseded"])
def test_other_ends_have_their_reason(end: str) -> None:
    assert "because" in render.failed(state(state=end, reason="because"), told=False)[0]


@pytest.mark.parametrize(
    ("count", "text"),
    [(1024**3, "1 GB"), (20 * 1024**2, "20 MB"), (1536, "1.5 KB"), (9, "9 bytes")],
)
def test_sizes(count: int, text: str) -> None:
    assert render.size(count) == text


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_lines_come_out_whole_whatever_the_pieces(pieces: list[bytes]) -> None:
    framing = render.Framing()
    out = b"".join([*map(framing.lines, pieces), framing.rest()])
    whole = b"".join(pieces)
    wanted = whole if not whole or whole.endswith(b"\n") else whole + b"\n"
    shown = [line.removeprefix(render.COLUMN_ONE) for line in out.splitlines(keepends=True)]
    assert out.count(b"\n") == wanted.count(b"\n")
    if render.COLUMN_ONE not in whole:
        assert out.replace(render.COLUMN_ONE, b"") == wanted
        assert len(shown) >= wanted.count(b"\n")


def test_a_line_without_end_is_cut() -> None:
    framing = render.Framing()
    out = framing.lines(b"x" * (3 * render.MAX_LINE + 5))
    assert out.count(b"\n") == 3
    assert framing.rest() == render.COLUMN_ONE + b"xxxxx\n"
