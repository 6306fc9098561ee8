"""The stages of a push in the order they happen: rows keep none (DESIGN 5, where seconds went)."""

from collections.abc import Mapping

ORDER = (
    "receive",
    "queue",
    "build fetch",
    "build restore",
    "build compile",
    "build pack",
    "build cache",
    "build upload",
    "build",
    "turn",
    "fetch",
    "start",
    "switch",
    "deploy",
)
"""`build` and `deploy` are what is left of each beside its own parts."""


def in_order(stages: Mapping[str, float]) -> dict[str, float]:
    """Seconds by stage, as they followed each other; stages of no known place come last."""
    places = {name: place for place, name in enumerate(ORDER)}
    return dict(sorted(stages.items(), key=lambda stage: (places.get(stage[0], 99), stage[0])))
