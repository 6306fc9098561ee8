"""Lines that come once more after a broken connection are shown once."""

from hypothesis import given
from hypothesis import strategies as st

from deis_cli.core.resume import Resume


def line(second: int, text: str = "x") -> str:
    """A line as the platform writes it."""
    return f"2027-02-01T09:12:{second:02d}+00:00 blog[web.v2.k2x9p]: {text}"


def shown(before: list[str], again: list[str]) -> list[str]:
    """What a new answer shows after these lines were given."""
    resume = Resume(before)
    return [new for one in again for new in resume.take(one)] + resume.give_up()


def test_what_comes_behind_the_last_line_is_new() -> None:
    before = [line(2), line(3)]
    assert shown(before, [line(1), line(2), line(3), line(4), line(5)]) == [line(4), line(5)]
    assert shown([], [line(1), line(2)]) == [line(1), line(2)]


def test_a_line_that_was_given_twice_may_come_twice() -> None:
    same = line(3)
    assert shown([same, same], [same, same, line(4), same]) == [line(4), same]


def test_when_the_last_line_is_gone_newer_ones_are_shown_at_once() -> None:
    resume = Resume([line(3)])
    assert resume.take(line(9)) == [line(9)]
    assert not resume.searching


def test_old_lines_that_were_never_shown_stay_so() -> None:
    """`-n 1` showed one line; a thousand are given once more."""
    again = [line(second) for second in range(1, 9)]
    assert shown([line(8)], again) == []
    assert shown([line(5, "gone")], again) == [line(5), line(6), line(7), line(8)]


def test_within_the_second_of_the_last_line_what_was_given_is_not_given_again() -> None:
    before = [line(3, "a"), line(3, "b"), line(3, "gone")]
    again = [line(3, "a"), line(3, "b"), line(3, "c"), line(4)]
    assert shown(before, again) == [line(3, "c"), line(4)]


streams = st.lists(st.tuples(st.integers(0, 9), st.sampled_from("ab")), max_size=30).map(
    lambda rows: [line(second, text) for second, text in sorted(rows)]
)


@given(log=streams, cut=st.integers(0, 30), kept=st.integers(0, 30))
def test_wherever_it_breaks_each_line_is_shown_once(log: list[str], cut: int, kept: int) -> None:
    log = [f"{text} {number}" for number, text in enumerate(log)]
    cut = min(cut, len(log))
    before = log[:cut]
    again = log[max(0, cut - kept) :]
    assert [*before, *shown(before, again)] == log
