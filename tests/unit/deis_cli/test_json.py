"""`-o json`: one JSON value on standard output and nothing else (cli.md 13.1.5)."""

import json
from typing import Any

import pytest

from deis_cli.registry import TOPICS, commands
from tests.unit.deis_cli.scripted import Person
from tests.unit.deis_cli.test_apps import BLOG, page
from tests.unit.deis_cli.test_changes import POD, release

BUILD = {"uuid": "b1", "created": "2027-02-01T09:12:44Z"}
KEY = {"id": "ada@laptop", "public": "ssh-ed25519 AAAA ada@laptop"}
ANSWERS: dict[str, tuple[int, Any]] = {
    "POST /v2/apps/": (201, BLOG),
    "GET /v2/apps/": (200, page(BLOG)),
    "GET /v2/apps/blog/": (200, BLOG),
    "GET /v2/apps/blog/domains/": (200, page({"domain": "blog"})),
    "GET /v2/apps/blog/pods/": (200, page(POD)),
    "GET /v2/apps/blog/builds/": (200, page(BUILD)),
    "GET /v2/apps/blog/config/": (200, {"values": {"A": "1"}}),
    "POST /v2/apps/blog/config/": (201, {"values": {"A": "1"}}),
    "GET /v2/apps/blog/perms/": (200, {"users": ["bob"]}),
    "GET /v2/apps/blog/releases/": (200, page(release(1))),
    "GET /v2/apps/blog/releases/v1/": (200, release(1)),
    "POST /v2/apps/blog/releases/rollback/": (201, {"version": 3}),
    "POST /v2/apps/blog/scale/": (204, None),
    "POST /v2/apps/blog/pods/restart/": (200, [POD]),
    "GET /v2/keys/": (200, page(KEY)),
    "GET /v2/users/": (200, page({"username": "ada"})),
    "GET /v2/auth/whoami/": (200, {"username": "ada"}),
}
COMMANDS = [
    ["apps:create", "blog"],
    ["apps:list"],
    ["apps:info", "-a", "blog"],
    ["auth:whoami"],
    ["auth:whoami", "--all"],
    ["builds:list", "-a", "blog"],
    ["config:list", "-a", "blog"],
    ["config:list", "-a", "blog", "--oneline"],
    ["config:set", "A=1", "-a", "blog"],
    ["config:unset", "B", "-a", "blog"],
    ["domains:list", "-a", "blog"],
    ["keys:list"],
    ["perms:list", "-a", "blog"],
    ["ps:list", "-a", "blog"],
    ["ps:scale", "web=1", "-a", "blog"],
    ["ps:restart", "-a", "blog"],
    ["releases:list", "-a", "blog"],
    ["releases:info", "v1", "-a", "blog"],
    ["releases:rollback", "-a", "blog"],
    ["users:list"],
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
async def test_one_value_and_nothing_else(ada: Person, words: list[str]) -> None:
    ada.server.answers.update(ANSWERS)
    shown = await ada.types(*words, "-o", "json")
    assert (shown.code, shown.err) == (0, "")
    assert len(shown.out.splitlines()) == 1
    assert json.loads(shown.out)


def test_every_list_is_among_them() -> None:
    tried = {words[0] for words in COMMANDS}
    lists = {
        name for topic in TOPICS for name in commands(topic) if name.endswith((":list", ":info"))
    }
    assert lists - tried == {"shortcuts:list"}


async def test_another_format_is_a_usage_error_and_asks_nothing(ada: Person) -> None:
    shown = await ada.types("apps:list", "-o", "yaml")
    assert (shown.code, shown.out, ada.server.paths()) == (2, "", [])
    assert "yaml is not a format: text or json" in shown.err


async def test_a_failure_leaves_standard_output_empty(ada: Person) -> None:
    shown = await ada.types("config:set", "A=1", "-a", "none", "-o", "json")
    assert (shown.code, shown.out) == (1, "")
    assert shown.err.startswith("Error: ")
