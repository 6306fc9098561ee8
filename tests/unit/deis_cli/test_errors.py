"""API answers in words, and what the shell sees (cli.md 3.5, 13.1)."""

import json

import pytest

from deis_cli.errors import CliError, exit_code, explain


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (400, {"username": ["A user with that username already exists."]}, "already exists"),
        (400, {"username": ["This field may not be blank."]}, "username is not valid"),
        (400, {"password": ["This field may not be blank."]}, "password is needed"),
        (
            400,
            {"non_field_errors": ["Unable to log in with provided credentials."]},
            "Unable to log in",
        ),
        (400, {"id": ["Application with this id already exists."]}, "already exists"),
        (400, {"id": ["App name must start with an alphabetic character"]}, "a-z"),
        (400, {"public": ["Public Key is already in use"]}, "already in use"),
        (400, {"public": ["Key contains invalid base64 chars"]}, "key is needed"),
        (400, {"domain": ["Hostname does not look valid."]}, "Hostname does not look valid."),
        (400, {"detail": "Container type x does not exist in application"}, "pod not found"),
        (400, {"detail": "version cannot be below 0"}, "version is not valid"),
        (400, {"detail": "No build associated"}, "No build associated"),
        (400, {"a": ["one", "two"], "b": ["three"]}, "a: one two; b: three"),
        (401, None, "Unauthorized"),
        (403, {"detail": "anything"}, "do not have permission"),
        (404, "No App matches the given query.", "No App matches the given query."),
        (404, None, "Not Found"),
        (405, None, "not allowed"),
        (409, {"detail": "ada changed nothing - release stopped"}, "changed nothing"),
        (
            422,
            {"detail": "A does not exist under values"},
            "Unable to process your request: A does",
        ),
        (500, {"detail": "Server Error"}, "Internal Server Error"),
        (503, {"detail": "(scale): no"}, "Unknown Error (503): (scale): no"),
        (418, None, "Unknown Error (418): "),
    ],
)
def test_words(status: int, body: object, says: str) -> None:
    raw = b"" if body is None else json.dumps(body).encode()
    shown = str(explain(status, raw))
    assert says in shown
    assert '"' not in shown


@pytest.mark.parametrize("raw", [b"<html>", b"[" * 100_000, b"\xff\xfe", b"null", b"7"])
def test_any_body_is_survived(raw: bytes) -> None:
    assert str(explain(400, raw)).startswith("Unknown Error (400)")


@pytest.mark.parametrize(
    ("status", "fine"),
    [(400, 6), (401, 3), (403, 4), (404, 5), (409, 6), (422, 6), (500, 1), (503, 1)],
)
def test_exit_codes_are_fine_only_when_asked_for(status: int, fine: int) -> None:
    fault = explain(status, b"{}")
    assert exit_code(fault, {}) == 1
    assert exit_code(fault, {"DEIS_EXIT_CODES": "fine"}) == fine


def test_usage_is_two_either_way() -> None:
    assert exit_code(CliError("x", 2), {}) == 2
