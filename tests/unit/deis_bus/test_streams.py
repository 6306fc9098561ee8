"""Streams and buckets as the design bounds them."""

from deis_bus import subjects
from deis_bus.streams import BUCKETS, BUILDLOGS, DAY, DEAD, EVENTS, MB, REPORTS, ROUTERS, STREAMS


def test_what_is_kept_is_bounded_as_the_design_says() -> None:
    bounds = {s.name: (s.max_age_seconds / DAY, s.max_bytes / MB) for s in STREAMS}
    assert bounds == {
        "EVENTS": (30, 2048),
        "REPORTS": (7, 256),
        "BUILDLOGS": (7, 1024),
        "DEAD": (30, 256),
    }


def test_reports_alone_go_once_they_are_acked() -> None:
    assert [stream.name for stream in STREAMS if stream.until_acked] == [REPORTS.name]


def test_no_subject_is_kept_twice() -> None:
    for stream, sample in (
        (EVENTS, subjects.event("blog", "app.run")),
        (REPORTS, subjects.report("blog", "build.done")),
        (BUILDLOGS, subjects.buildlog("blog", "4f0a")),
        (DEAD, subjects.dead(subjects.event("blog", "app.run"))),
    ):
        takers = [s for s in STREAMS if any(subjects.matches(p, sample) for p in s.subjects)]
        assert takers == [stream]


def test_requests_logs_and_byte_streams_are_kept_nowhere() -> None:
    for sample in (
        subjects.rpc("controller", "push.open"),
        subjects.log("blog"),
        subjects.stream("4f0a", "opener"),
    ):
        assert not [s for s in STREAMS if any(subjects.matches(p, sample) for p in s.subjects)]


def test_a_router_that_is_gone_is_forgotten() -> None:
    assert [bucket.name for bucket in BUCKETS if bucket.ttl_seconds] == [ROUTERS.name]
