"""Subjects are built and taken apart the same way, and families never overlap."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deis_bus import subjects

NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True)


@pytest.mark.parametrize(
    ("built", "subject"),
    [
        (subjects.event("blog", "release.created"), "deis.event.blog.release.created"),
        (subjects.event(subjects.PLATFORM, "user.registered"), "deis.event._.user.registered"),
        (subjects.report("blog", "build.done"), "deis.report.blog.build.done"),
        (subjects.rpc("controller", "push.open"), "deis.rpc.controller.push.open"),
        (subjects.log("blog"), "deis.log.blog"),
        (subjects.buildlog("blog", "4f0a"), "deis.buildlog.blog.4f0a"),
        (subjects.stream("4f0a", "opener"), "deis.stream.4f0a.opener"),
        (subjects.dead("deis.event.blog.app.run"), "deis.dead.event.blog.app.run"),
    ],
)
def test_a_subject_is_as_the_design_says(built: str, subject: str) -> None:
    assert built == subject


@pytest.mark.parametrize("name", ["", "a.b", "*", ">", "a b", "a\tb", "a\r\n"])
def test_a_name_that_is_no_token_never_becomes_a_subject(name: str) -> None:
    for build in (subjects.event, subjects.report, subjects.rpc, subjects.stream):
        with pytest.raises(ValueError, match="not a subject token"):
            build(name, "app.run")
    with pytest.raises(ValueError, match="not a subject token"):
        subjects.log(name)
    with pytest.raises(ValueError, match="not a subject token"):
        subjects.buildlog("blog", name)


@given(app=NAMES, noun=NAMES, verb=NAMES)
def test_an_event_is_taken_apart_as_it_was_built(app: str, noun: str, verb: str) -> None:
    kind = f"{noun}.{verb}"
    assert subjects.event_parts(subjects.event(app, kind)) == (app, kind)
    assert subjects.event_parts(subjects.report(app, kind)) == (app, kind)


@pytest.mark.parametrize(
    "subject", ["deis.event.blog", "other.event.blog.app.run", "deis.log.blog.app.run", ""]
)
def test_another_subject_is_not_taken_apart(subject: str) -> None:
    with pytest.raises(ValueError, match="not an event or report subject"):
        subjects.event_parts(subject)


@pytest.mark.parametrize(
    ("pattern", "subject", "falls_under"),
    [
        ("deis.event.>", "deis.event.blog.app.run", True),
        ("deis.event.>", "deis.event", False),
        ("deis.event.blog.>", "deis.event.shop.app.run", False),
        ("deis.event.*.release.created", "deis.event.blog.release.created", True),
        ("deis.event.*.release.created", "deis.event.blog.release", False),
        ("deis.log.*", "deis.log.blog", True),
        ("deis.log.*", "deis.log.blog.more", False),
        ("deis.log.blog", "deis.log.blog", True),
    ],
)
def test_a_pattern_means_what_the_server_means(
    pattern: str, subject: str, falls_under: bool
) -> None:
    assert subjects.matches(pattern, subject) is falls_under


def test_families_never_overlap() -> None:
    samples = {
        subjects.EVENTS: subjects.event("blog", "app.run"),
        subjects.REPORTS: subjects.report("blog", "build.done"),
        subjects.RPC: subjects.rpc("controller", "push.open"),
        subjects.LOGS: subjects.log("blog"),
        subjects.BUILDLOGS: subjects.buildlog("blog", "4f0a"),
        subjects.STREAMS: subjects.stream("4f0a", "opener"),
        subjects.DEAD: subjects.dead(subjects.event("blog", "app.run")),
    }
    for family in samples:
        under = [name for name, sample in samples.items() if subjects.matches(family, sample)]
        assert under == [family]
