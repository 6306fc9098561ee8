"""Which instances start, stay and go."""

import msgspec
import pytest

from deis_bus.contracts.runtime import AppSpec, Artifact, Probe, Process
from deis_services.runtime.model import (
    Decision,
    Member,
    Wanted,
    decide,
    ending,
    mark,
    pause,
    wanted,
)

OLD = frozenset({("web", "v1")})


def web(name: str, mark: str = "v1", **fields: bool) -> Member:
    """An instance of type web that is ready and takes requests."""
    return msgspec.structs.replace(
        Member(name=name, type="web", mark=mark, ready=True, routable=True), **fields
    )


def spec(**fields: object) -> AppSpec:
    """A release with one process type."""
    given = {
        "app": "blog",
        "appuuid": "u-1",
        "generation": 1,
        "release": 2,
        "artifact": Artifact(slug="slugs/u-1/1-1.tgz", url="http://a", token="t"),
        "environment": {"A": "1", "B": "2"},
        "processes": (Process(type="web", count=1, command="serve", routable=True),),
    }
    return AppSpec(**(given | fields))  # type: ignore[arg-type]


def marked(**fields: object) -> str:
    """The mark of the one process of such a spec."""
    return wanted(spec(**fields))[0].mark


def test_nothing_runs_yet() -> None:
    assert decide([Wanted("web", 2, "v1")], [], ()) == Decision(start=("web", "web"))


def test_what_is_ready_gets_requests_when_nothing_served_before() -> None:
    members = [web("a"), web("b", ready=False)]
    found = decide([Wanted("web", 2, "v1")], members, ())
    assert found == Decision(routed=("a",))


def test_the_old_release_serves_until_all_of_the_new_is_ready() -> None:
    wants = [Wanted("web", 2, "v2")]
    members = [web("a"), web("b"), web("c", "v2"), web("d", "v2", ready=False)]
    assert decide(wants, members, OLD) == Decision(routed=("a", "b"))
    members[3] = web("d", "v2")
    found = decide(wants, members, OLD)
    assert found == Decision(end=frozenset("ab"), routed=("c", "d"), complete=True)


def test_one_late_process_type_keeps_the_old_release_of_all() -> None:
    wants = [Wanted("web", 1, "v2"), Wanted("worker", 1, "w2")]
    late = Member(name="w", type="worker", mark="w2")
    found = decide(wants, [web("a"), web("b", "v2"), late], OLD)
    assert found == Decision(routed=("a",))


def test_a_release_between_that_never_served_goes_at_once() -> None:
    members = [web("a"), web("b", "v2")]
    found = decide([Wanted("web", 1, "v3")], members, OLD)
    assert found == Decision(start=("web",), end=frozenset("b"), routed=("a",))


def test_scaling_keeps_what_runs() -> None:
    up = decide([Wanted("web", 3, "v1")], [web("a")], OLD)
    assert up == Decision(start=("web", "web"), routed=("a",))
    down = decide([Wanted("web", 1, "v1")], [web("a", ready=False), web("b"), web("c")], OLD)
    assert down == Decision(end=frozenset("ac"), routed=("b",), complete=True)


def test_scaled_to_nothing_or_not_wanted_any_more() -> None:
    assert decide([Wanted("web", 0, "v1")], [web("a")], OLD) == Decision(
        end=frozenset("a"), complete=True
    )
    assert decide([], [web("a")], OLD) == Decision(end=frozenset("a"), complete=True)


def test_a_replaced_one_serves_until_its_successor_is_ready() -> None:
    wants = [Wanted("web", 1, "v1")]
    found = decide(wants, [web("a", replaced=True)], OLD)
    assert found == Decision(start=("web",), routed=("a",))
    found = decide(wants, [web("a", replaced=True), web("b", ready=False)], OLD)
    assert found == Decision(routed=("a",))
    found = decide(wants, [web("a", replaced=True), web("b")], OLD)
    assert found == Decision(end=frozenset("a"), routed=("b",), complete=True)


def test_a_restart_of_one_type_does_not_wait_for_another() -> None:
    wants = [Wanted("web", 1, "v1"), Wanted("worker", 1, "w1")]
    crashing = Member(name="w", type="worker", mark="w1")
    members = [web("a", replaced=True), web("b"), crashing]
    found = decide(wants, members, OLD | {("worker", "w1")})
    assert found == Decision(end=frozenset("a"), routed=("b",))


def test_a_failed_release_is_given_up_where_another_serves() -> None:
    wants = [Wanted("web", 1, "v2")]
    members = [web("a"), web("b", "v2", ready=False), web("c", "v2", replaced=True)]
    found = decide(wants, members, OLD, failed=True)
    assert found == Decision(end=frozenset("bc"), routed=("a",))


def test_a_failed_release_goes_on_trying_where_nothing_else_serves() -> None:
    members = [web("b", "v2", ready=False)]
    assert decide([Wanted("web", 1, "v2")], members, (), failed=True) == Decision()


def test_a_failed_scaling_keeps_what_serves() -> None:
    found = decide([Wanted("web", 2, "v1")], [web("a"), web("b", ready=False)], OLD, failed=True)
    assert found == Decision(routed=("a",))


def test_going_back_after_a_failure_touches_nothing_that_serves() -> None:
    members = [web("a"), web("b", "v2", ready=False, leaving=True)]
    found = decide([Wanted("web", 1, "v1")], members, OLD)
    assert found == Decision(routed=("a",), complete=True)


def test_any_ready_instance_is_better_than_none() -> None:
    members = [web("a", ready=False), web("b", "v2"), web("c", "v2", ready=False)]
    found = decide([Wanted("web", 2, "v2")], members, OLD)
    assert found == Decision(routed=("b",))


@pytest.mark.parametrize(
    "other",
    [
        {"release": 3},
        {"artifact": Artifact(slug="slugs/u-1/2-1.tgz")},
        {"artifact": Artifact(image="busybox")},
        {"environment": {"A": "1"}},
        {"processes": (Process(type="web", count=1, command="other", routable=True),)},
        {
            "processes": (
                Process(type="web", count=1, command="serve", routable=True, probe=Probe()),
            )
        },
    ],
)
def test_what_runs_differently_has_another_mark(other: dict[str, object]) -> None:
    assert marked(**other) != marked()


def test_what_runs_the_same_has_the_same_mark() -> None:
    process = Process(type="web", count=9, command="serve", routable=True, grace_seconds=1.0)
    again = spec(
        generation=7,
        artifact=Artifact(slug="slugs/u-1/1-1.tgz", url="http://b", token="other"),
        environment={"B": "2", "A": "1"},
        processes=(process,),
    )
    assert mark(again, process) == marked()


def test_pauses_grow_to_a_minute() -> None:
    assert [pause(count) for count in (1, 2, 3, 4, 100)] == [0.5, 1.0, 2.0, 4.0, 60.0]


def test_endings_in_words() -> None:
    assert ending(3) == "ended with exit code 3"
    assert ending(137) == "was ended by signal 9"
