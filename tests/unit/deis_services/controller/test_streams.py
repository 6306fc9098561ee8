"""The bounds of the bus' streams are settings."""

from deis_bus.streams import DAY, STREAMS
from deis_platform.settings import load
from deis_services.controller.settings import Settings
from deis_services.controller.streams import bounded

NEEDED = {"DEIS_OBJECTS_URL": "file:///objects"}


def test_unset_they_are_those_of_the_language() -> None:
    assert bounded(load(Settings, NEEDED)) == STREAMS


def test_each_has_its_own() -> None:
    given = {
        "DEIS_EVENTS_DAYS": "1",
        "DEIS_EVENTS_LIMIT": "1MB",
        "DEIS_BUILDLOGS_DAYS": "2",
        "DEIS_BUILDLOGS_LIMIT": "2MB",
        "DEIS_DEAD_DAYS": "3",
        "DEIS_DEAD_LIMIT": "3MB",
    }
    made = {stream.name: stream for stream in bounded(load(Settings, NEEDED | given))}
    for name, number in (("EVENTS", 1), ("BUILDLOGS", 2), ("DEAD", 3)):
        assert made[name].max_age_seconds == number * DAY
        assert made[name].max_bytes == number * 1024 * 1024
    assert made["REPORTS"] in STREAMS
