"""The result of a build is written by what users run: only what fits comes through."""

import pytest

from deis_services.builder.result import SlugResult, Unusable, read_result, words


def test_a_result() -> None:
    text = b'{"procfile": {"web": "run"}, "slug_bytes": 7, "buildpack": "x", "stages": {"a": 0.5}}'
    assert read_result(text) == SlugResult({"web": "run"}, 7, "x", {"a": 0.5})


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"null",
        b'{"procfile": {"web": 1}}',
        b'{"stages": {"a": -1}}',
        b'{"stages": {"a": 1e9}}',
        b'{"procfile": "x"}',
        b"\xff\xfe",
        b'{"stages": {' + b", ".join(b'"s%d": 1' % n for n in range(40)) + b"}}",
        b"[" * 100_000,
        b'{"procfile": {"A B": "x"}}',
        b'{"procfile": {"../x": "x"}}',
        b'{"procfile": {"": "x"}}',
        b'{"procfile": {"web": " "}}',
        b'{"procfile": {"web": "a\\u0000b"}}',
        b'{"procfile": {"w\\u0000": "x"}}',
        b'{"procfile": {"web": "' + b"x" * 70_000 + b'"}}',
        b'{"stages": {"a\\u0000": 1}}',
        b'{"stages": {"": 1}}',
    ],
)
def test_what_is_no_result(text: bytes) -> None:
    with pytest.raises(Unusable):
        read_result(text)


@pytest.mark.parametrize(("seconds", "text"), [(900.0, "15 min"), (90.0, "90 s"), (0.5, "0.5 s")])
def test_a_time_limit_for_people(seconds: float, text: str) -> None:
    assert words(seconds) == text
