"""docs/router.md tells every setting that is read, and no other."""

import re
from pathlib import Path
from typing import Any

from deis_services.router.annotations import (
    PREFIX,
    app_settings,
    builder_settings,
    router_settings,
)

PAGE = (Path(__file__).parents[4] / "docs" / "router.md").read_text(encoding="utf-8")


class Asked(dict[str, str]):
    """Annotations that note which keys are looked up."""

    def __init__(self, **said: str) -> None:
        super().__init__({f"{PREFIX}nginx.{key.replace('_', '.')}": said[key] for key in said})
        self.keys_asked: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        self.keys_asked.add(key.removeprefix(PREFIX))
        return super().get(key, default)


def section(title: str) -> set[str]:
    """The settings in the first column of a section's table."""
    text = PAGE.split(f"## {title}\n")[1].split("\n#")[0]
    rows = [row.split("|")[1] for row in text.splitlines() if row.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def test_the_settings_of_applications() -> None:
    asked = Asked()
    app_settings(asked)
    assert section("Settings of an application") == asked.keys_asked


def test_the_settings_of_the_router() -> None:
    asked = Asked(defaultServiceEnabled="true", ssl_hsts_enabled="true")
    router_settings(asked)
    told = {f"nginx.{name}" for name in section("Settings of the router")}
    assert told == asked.keys_asked
    assert not {f"nginx.{name}" for name in section("Dropped")} & asked.keys_asked


def test_the_settings_of_the_git_port() -> None:
    asked = Asked()
    builder_settings(asked, "10.0.0.1:2222")
    for key in asked.keys_asked:
        assert f"`{key.removeprefix('nginx.')}`" in PAGE.split("## Settings of the git port")[1]
