"""What is raised for each refusal of the API server; the texts are those of a real one."""

import msgspec
import pytest

from deis_bus.errors import Refused, Transient
from deis_platform.kubernetes import Conflict, Forbidden, Gone, NotFound
from deis_platform.kubernetes.faults import (
    BUSY_SECONDS,
    MAX_WORDS,
    Busy,
    Unauthorized,
    fault_of,
    fault_within,
)


def status(**fields: object) -> bytes:
    return msgspec.json.encode({"kind": "Status", "status": "Failure"} | fields)


OWNED = {"causes": [{"reason": "FieldManagerConflict", "message": "x", "field": ".data.a"}]}
CASES = [
    (404, status(message='pods "a" not found', reason="NotFound"), NotFound, "absent"),
    (409, status(reason="AlreadyExists"), Conflict, "exists"),
    (409, status(reason="Conflict"), Conflict, "conflict"),
    (409, status(reason="Conflict", details=OWNED), Conflict, "owned"),
    (410, status(reason="Expired"), Gone, "gone"),
    (400, status(reason="Expired"), Gone, "gone"),
    (403, status(message='pods is forbidden: User "x" cannot list'), Forbidden, "forbidden"),
    (
        403,
        status(message="pods is forbidden: exceeded quota: q, requested: pods=1"),
        Forbidden,
        "quota",
    ),
    (403, status(message="failed quota: q: must specify cpu"), Forbidden, "quota"),
    (
        403,
        status(message="unable to create: namespace x is being terminated"),
        Forbidden,
        "terminating",
    ),
    (422, status(message="Deployment is invalid"), Refused, "invalid"),
    (400, b"not json", Refused, ""),
    (302, b"", Refused, ""),
]


@pytest.mark.parametrize(("code", "body", "kind", "word"), CASES)
def test_refusals(code: int, body: bytes, kind: type[Refused], word: str) -> None:
    fault = fault_of(code, body)
    assert type(fault) is kind
    assert isinstance(fault, Refused)
    assert (fault.code, fault.kind) == (410 if kind is Gone else code, word)


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
def test_what_may_go_over(code: int) -> None:
    assert type(fault_of(code, status(message="later"))) is Transient


def test_a_token_that_is_refused_has_a_type_of_its_own() -> None:
    assert type(fault_of(401, status(message="Unauthorized"), "1")) is Unauthorized


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("3", 3.0), ("0", 0.0), ("soon", BUSY_SECONDS), ("", BUSY_SECONDS), ("-1", BUSY_SECONDS)],
)
def test_a_pause_that_is_asked_for(header: str, seconds: float) -> None:
    fault = fault_of(429, b"", header)
    assert isinstance(fault, Busy)
    assert (fault.seconds, fault.status) == (seconds, 429)


def test_a_version_from_the_future_is_listed_again() -> None:
    body = status(message="Too large resource version: 9, current: 3", reason="Timeout", code=504)
    assert type(fault_within(body)) is Gone


def test_the_code_of_an_error_line_counts() -> None:
    assert type(fault_within(status(code=410, reason="Expired"))) is Gone
    assert type(fault_within(status(code=500))) is Transient
    assert type(fault_within(b"nonsense")) is Transient


def test_words_are_cut_off() -> None:
    fault = fault_of(422, status(message="x" * 10_000))
    assert isinstance(fault, Refused)
    assert len(fault.detail) == MAX_WORDS
