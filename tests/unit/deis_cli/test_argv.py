"""The pre-parser: every spelling of cli.md 1 means the same thing."""

import pytest

from deis_cli.argv import plan
from deis_cli.main import _module
from deis_cli.registry import SHORTCUTS, TOPICS, commands


@pytest.mark.parametrize(
    ("typed", "kind", "name", "words"),
    [
        ("apps:create blog", "run", "apps:create", ["blog"]),
        ("apps create blog", "run", "apps:create", ["blog"]),
        ("create blog", "run", "apps:create", ["blog"]),
        ("apps", "run", "apps:list", []),
        ("apps -l 3", "run", "apps:list", ["-l", "3"]),
        ("config set A=1", "run", "config:set", ["A=1"]),
        ("pull img -a x", "run", "builds:create", ["img", "-a", "x"]),
        ("sharing", "run", "perms:list", []),
        ("sharing:add bob", "run", "perms:create", ["bob"]),
        ("-v", "run", "version", []),
        ("--version", "run", "version", []),
        ("help", "help", "", []),
        ("--help", "help", "", []),
        ("help apps", "topic", "apps", []),
        ("apps -h", "topic", "apps", []),
        ("git", "topic", "git", []),
        ("auth", "topic", "auth", []),
        ("help create", "run", "apps:create", ["--help"]),
        ("help ps:scale", "run", "ps:scale", ["--help"]),
        ("help version", "run", "version", ["--help"]),
        ("hello:list --debug a", "plugin", "hello", ["list", "--debug", "a"]),
        ("hello a", "plugin", "hello", ["a"]),
        ("help hello", "plugin", "hello", ["--help"]),
    ],
)
def test_every_spelling(typed: str, kind: str, name: str, words: list[str]) -> None:
    made = plan(typed.split())
    assert (made.kind, made.name, made.words) == (kind, name, words)


@pytest.mark.parametrize(
    "typed",
    ["-c stage whoami", "whoami -c stage", "--config=stage whoami", "whoami --config stage"],
)
def test_the_profile_is_taken_on_either_side(typed: str) -> None:
    made = plan(typed.split())
    assert (made.name, made.words, made.profile) == ("auth:whoami", [], "stage")


def test_nothing_behind_the_dashes_is_touched() -> None:
    made = plan(["run", "-c", "stage", "--", "sh", "-c", "help apps"])
    assert made.words == ["--", "sh", "-c", "help apps"]
    assert made.profile == "stage"


@pytest.mark.parametrize(
    ("typed", "code"), [("", 1), ("apps:bogus", 2), ("--bogus apps", 2), ("whoami -c", 2)]
)
def test_wrong_words(typed: str, code: int) -> None:
    made = plan(typed.split())
    assert (made.kind, made.code) == ("fault", code)


@pytest.mark.parametrize("topic", TOPICS)
def test_the_registry_is_what_the_modules_register(topic: str) -> None:
    registered = {one.name for one in _module(topic).app.registered_commands}
    assert registered == set(commands(topic))


def test_every_shortcut_leads_to_a_command() -> None:
    known = {name for topic in TOPICS for name in commands(topic)}
    assert set(SHORTCUTS.values()) <= known
