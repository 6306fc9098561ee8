"""Capability tokens open what they say, and nothing else."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deis_platform.artifacts import allows, sign

KEY = b"k" * 32
SLUG = "slugs/4f/1-1.tgz"


def test_a_token_opens_its_prefix() -> None:
    token = sign(KEY, "GET", "slugs/4f/")
    assert allows(KEY, token, "GET", SLUG)
    assert allows(KEY, token, "HEAD", SLUG)
    for method, path in (
        ("PUT", SLUG),
        ("DELETE", SLUG),
        ("GET", "slugs/4g/1-1.tgz"),
        ("GET", "slugs/4"),
        ("GET", "cache/4f/"),
        ("GET", f"x/{SLUG}"),
        ("get", SLUG),
    ):
        assert not allows(KEY, token, method, path), (method, path)


def test_a_token_of_one_key_opens_no_other_that_begins_like_it() -> None:
    token = sign(KEY, "PUT", SLUG)
    assert allows(KEY, token, "PUT", f"{SLUG}.json")
    for more in ("2", "/x", ".jso", ".json2", ".json.json"):
        assert not allows(KEY, token, "PUT", SLUG + more), more
    assert not allows(KEY, sign(KEY, "GET", ""), "GET", SLUG)


def test_a_token_to_put_does_not_read() -> None:
    token = sign(KEY, "PUT", SLUG)
    assert allows(KEY, token, "PUT", SLUG)
    assert not allows(KEY, token, "GET", SLUG)
    assert not allows(KEY, token, "HEAD", SLUG)


def test_a_token_for_two_methods() -> None:
    token = sign(KEY, "GET,PUT", SLUG)
    assert all(allows(KEY, token, method, SLUG) for method in ("GET", "HEAD", "PUT"))
    assert not any(allows(KEY, token, method, SLUG) for method in ("DELETE", "", "GET,PUT"))


def test_a_token_ends() -> None:
    token = sign(KEY, "GET", "slugs/", expires=1000)
    assert allows(KEY, token, "GET", SLUG, now=999.9)
    assert not allows(KEY, token, "GET", SLUG, now=1000)
    assert not allows(KEY, token, "GET", SLUG)


def test_another_key_opens_nothing() -> None:
    assert not allows(b"x" * 32, sign(KEY, "GET", "slugs/"), "GET", SLUG)


@pytest.mark.parametrize(
    "token", ["", ".", "a1", "a1.", "a1..", "a1.e30.", "ä.ö.ü", "a1.*.*", "\ud800"]
)
def test_what_is_no_token(token: str) -> None:
    assert not allows(KEY, token, "GET", SLUG)


@given(st.text(max_size=80))
def test_no_text_is_a_token(text: str) -> None:
    assert not allows(KEY, text, "GET", SLUG)


@given(st.data())
def test_no_token_survives_a_change(data: st.DataObject) -> None:
    token = sign(KEY, "GET", "slugs/4f/", expires=2**33)
    place = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.sampled_from("abcXYZ019-_."))
    changed = token[:place] + letter + token[place + 1 :]
    if _bits(changed) != _bits(token):
        assert not allows(KEY, changed, "GET", SLUG)


def _bits(token: str) -> list[bytes | str]:
    """What a token decodes to: the last letter of base64 has bits that mean nothing."""
    return [_decoded(part) for part in token.split(".")]


def _decoded(part: str) -> bytes | str:
    try:
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        return part
