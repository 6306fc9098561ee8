"""Write the table of settings in docs/operations.md from the Settings classes.

    make settings

A test (tests/unit/test_settings_table.py) says when it is due.
"""

import importlib
import importlib.util
from pathlib import Path
from typing import Any

from deis_platform.settings import Described, described
from deis_services.platform_cli.options import Options
from deis_services.platform_cli.services import NODE_SERVICES, SERVICES

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "operations.md"
BEGIN = "<!-- settings: written by scripts/settings_table.py -->\n"
END = "<!-- end of settings -->\n"


def classes() -> dict[str, type[Any]]:
    """Who reads settings, with the class that says which; `up` is `deis-platform up`."""
    found: dict[str, type[Any]] = {"up": Options}
    for name in sorted((*SERVICES, *NODE_SERVICES)):
        module = f"deis_services.{name}.settings"
        if importlib.util.find_spec(f"deis_services.{name}") and importlib.util.find_spec(module):
            found[name] = importlib.import_module(module).Settings
    return found


def table() -> str:
    """One row a variable: its default, what it is, who reads it."""
    readers: dict[str, list[tuple[str, Described]]] = {}
    for reader, kind in classes().items():
        for variable in described(kind):
            readers.setdefault(variable.name, []).append((reader, variable))
    rows = [row(name, found) for name, found in sorted(readers.items())]
    head = ["| variable | default | what it is | read by |", "|---|---|---|---|"]
    return "\n".join([*head, *rows]) + "\n"


def row(name: str, found: list[tuple[str, Described]]) -> str:
    """A variable whose readers have other defaults shows each, with its reader."""
    defaults: dict[str, list[str]] = {}
    for reader, variable in found:
        defaults.setdefault(variable.default, []).append(reader)
    shown = [
        code(default) + (f" ({', '.join(readers)})" if len(defaults) > 1 else "")
        for default, readers in defaults.items()
    ]
    own = [variable.help for reader, variable in found if reader != "up"]
    helps = dict.fromkeys(own or [variable.help for _, variable in found])
    return f"| `{name}` | {', '.join(shown)} | {'; '.join(helps)} | {who(found)} |"


def who(found: list[tuple[str, Described]]) -> str:
    """The readers of a variable, `all services` where that is so."""
    readers = [reader for reader, _ in found]
    if {*SERVICES, *NODE_SERVICES} <= set(readers):
        return "up, all services" if "up" in readers else "all services"
    return ", ".join(readers)


def code(default: str) -> str:
    """A default as code, a word for what is none."""
    return default if default == "required" else f"`{default}`" if default else "none"


def written(document: str) -> str:
    """The document with the table of today. Raises ValueError where it has no place for one."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError("the document does not say where the table goes")
    return before + BEGIN + table() + END + after


if __name__ == "__main__":
    DOCUMENT.write_text(written(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
