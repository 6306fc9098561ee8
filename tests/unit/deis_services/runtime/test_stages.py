"""Where the seconds went."""

from deis_services.runtime.stages import Stages


class Clock:
    """Stands still until it is set."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def test_each_stage_ends_where_the_next_begins() -> None:
    clock = Clock(100.0)
    stages = Stages(clock)
    assert stages.seconds() == {}
    clock.now = 100.5
    stages.fetched()
    clock.now = 101.5
    stages.complete()
    assert stages.seconds() == {"fetch": 0.5, "start": 1.0}
    clock.now = 103.5
    stages.fetched()  # by an instance that came later
    stages.complete()
    stages.switched()
    assert [*stages.seconds().items()] == [("fetch", 0.5), ("start", 1.0), ("switch", 2.0)]


def test_what_fetches_nothing_has_no_such_stage() -> None:
    stages = Stages(Clock(1.0))
    stages.complete()
    assert stages.seconds() == {"start": 0.0}
