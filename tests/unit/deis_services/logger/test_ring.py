"""The bounds of DESIGN 9, and that identities never mix."""

from deis_services.logger.parse import wanted
from deis_services.logger.ring import LINE_OVERHEAD, REMEMBERED, RING_OVERHEAD, Rings

MUCH = 10_000_000


def rings(lines: int = 1000, line_bytes: int = 16 * 1024, total_bytes: int = MUCH) -> Rings:
    """Rings with the platform's bounds, or smaller ones."""
    return Rings(lines=lines, line_bytes=line_bytes, total_bytes=total_bytes)


def test_the_newest_lines_stay_in_order() -> None:
    kept = rings(lines=3)
    kept.add("a", [b"1", b"2"])
    kept.add("a", [b"3", b"4"])
    assert kept.tail("a", 100) == [b"2", b"3", b"4"]
    assert kept.tail("a", 2) == [b"3", b"4"]
    assert kept.tail("a", 0) == []
    assert kept.tail("b", 100) == []


def test_a_line_is_cut_and_an_empty_one_left_out() -> None:
    kept = rings(line_bytes=4)
    assert kept.add("a", [b"12345", b""]) == [b"1234"]
    assert kept.add("b", [b""]) == []
    assert kept.appuuids() == ["a"]


def test_the_newest_of_those_wanted_are_given() -> None:
    kept = rings()
    web, worker = b"T foo[web.v1.aaaaa]: 1", b"T foo[worker.v1.bbbbb]: 2"
    kept.add("a", [web, worker, worker])
    assert kept.tail("a", 1, wanted("web", "")) == [web]


def test_identities_never_mix_and_a_dropped_one_takes_no_late_line() -> None:
    kept = rings()
    kept.add("old", [b"secret"])
    kept.add("new", [b"hello"])
    assert kept.tail("new", 100) == [b"hello"]
    assert kept.drop("old")
    assert not kept.drop("old")
    assert kept.add("old", [b"late"]) == []
    assert kept.tail("old", 100) == []
    assert kept.appuuids() == ["new"]


def test_the_memory_is_counted_exactly() -> None:
    kept = rings(lines=2)
    for number in range(5):
        kept.add("a", [b"x" * number])
    kept.add("b", [b"12", b"3"])
    assert kept.size == 2 * RING_OVERHEAD + 4 * LINE_OVERHEAD + 3 + 4 + 3
    kept.drop("a")
    kept.drop("b")
    assert kept.size == 0


def test_many_applications_keep_to_the_total() -> None:
    kept = rings(total_bytes=100_000)
    for number in range(1000):
        kept.add(f"app-{number}", [b"x" * 100])
        assert kept.size <= 100_000
    assert kept.tail("app-999", 1) == [b"x" * 100]
    assert kept.evicted > 0


def test_one_that_writes_much_costs_the_others_nothing() -> None:
    kept = rings(total_bytes=100_000)
    kept.add("quiet", [b"precious"])
    for number in range(5000):
        kept.add("loud", [b"%06d" % number + b"x" * 1000])
        assert kept.size <= 100_000
    assert kept.tail("quiet", 1) == [b"precious"]
    assert kept.tail("loud", 1)[0].startswith(b"004999")


def test_what_is_remembered_of_the_dead_is_bounded() -> None:
    kept = rings()
    for number in range(REMEMBERED + 1):
        kept.drop(f"app-{number}")
    assert kept.add("app-0", [b"x"]) == [b"x"]
    assert kept.add(f"app-{REMEMBERED}", [b"x"]) == []
