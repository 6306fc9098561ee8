"""Stages are told in the order they happened."""

from deis_services.controller.rules.stages import in_order


def test_stages_follow_each_other_as_they_happened() -> None:
    told = in_order({"start": 1.0, "turn": 0.1, "build": 2.0, "build compile": 3.0, "receive": 0.2})
    assert list(told) == ["receive", "build compile", "build", "turn", "start"]


def test_an_unknown_stage_comes_last() -> None:
    assert list(in_order({"zeal": 1.0, "deploy": 2.0, "awe": 3.0})) == ["deploy", "awe", "zeal"]
