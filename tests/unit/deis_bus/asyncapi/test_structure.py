"""The rules of AsyncAPI that we check are checked."""

from collections.abc import Callable
from typing import Any

import pytest

from deis_bus.asyncapi.document import document
from deis_bus.asyncapi.structure import problems, resolve

Document = dict[str, Any]


def log(told: Document) -> Document:
    """The channel of log lines."""
    found: Document = told["channels"]["log"]
    return found


def sending(told: Document) -> Document:
    """The operation that sends them."""
    found: Document = told["operations"]["send.log"]
    return found


CASES: list[tuple[Callable[[Document], object], str]] = [
    (lambda told: told.pop("info"), "the document has no info"),
    (lambda told: told["info"].pop("version"), "info has no version"),
    (lambda told: told.update(asyncapi="2.6.0"), "asyncapi is not version 3"),
    (lambda told: told.update(topics={}), "the document has an unknown field topics"),
    (lambda told: told["servers"]["bus"].pop("host"), "server bus has no host"),
    (lambda told: log(told).pop("address"), "channel log has no address"),
    (lambda told: log(told).pop("parameters"), "channel log: parameter app is not both"),
    (lambda told: log(told)["parameters"].update(more={}), "parameter more is not both"),
    (lambda told: sending(told).pop("action"), "operation send.log has no action"),
    (lambda told: sending(told).update(action="publish"), "is neither send nor receive"),
    (lambda told: sending(told).update(channel={"$ref": "#/servers/bus"}), "its channel is not"),
    (
        lambda told: sending(told).update(
            messages=[{"$ref": "#/channels/buildlog/messages/output"}]
        ),
        "a message that its channel does not have",
    ),
    (lambda told: told["components"]["schemas"].pop("AppRun"), "schemas/AppRun points nowhere"),
    (lambda told: told["components"]["schemas"].update({"a b": {}}), "bad key 'a b'"),
]


@pytest.mark.parametrize(("spoil", "sentence"), CASES, ids=[case[1] for case in CASES])
def test_a_broken_rule_is_told(spoil: Callable[[Document], object], sentence: str) -> None:
    told = document()
    spoil(told)
    assert any(sentence in problem for problem in problems(told)), problems(told)


def test_an_extension_is_allowed() -> None:
    assert problems(document() | {"x-own": 1}) == []


@pytest.mark.parametrize("reference", ["elsewhere.json", "#/info/title/more", "#/nothing"])
def test_a_reference_that_leads_nowhere(reference: str) -> None:
    with pytest.raises(LookupError):
        resolve(document(), reference)


def test_a_reference_with_escapes() -> None:
    assert resolve({"a/b": {"c~d": 1}}, "#/a~1b/c~0d") == 1
