"""Documents that must agree with each other and with the project."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

HOUSE = Path(__file__).resolve().parents[2]
DECISIONS = HOUSE / "platform" / "decisions"
NOTES = sorted(DECISIONS.glob("[0-9]*.md"))
PAGES = [*sorted((HOUSE / "docs").glob("*.md")), *sorted(DECISIONS.glob("*.md"))]


def project() -> dict[str, Any]:
    """The `project` table and the development groups."""
    return tomllib.loads((HOUSE / "pyproject.toml").read_text())


def test_the_changelog_begins_with_the_version_of_the_project() -> None:
    newest = re.search(
        r"^## \[([^]]+)\] - (.+)$", (HOUSE / "CHANGELOG.md").read_text(), re.MULTILINE
    )
    assert newest
    assert newest[1] == project()["project"]["version"]
    assert re.fullmatch(r"Unreleased|\d{4}-\d\d-\d\d", newest[2])


def test_decision_notes_are_numbered_without_gaps() -> None:
    assert [int(note.name[:4]) for note in NOTES] == list(range(1, len(NOTES) + 1))


@pytest.mark.parametrize("note", NOTES, ids=lambda note: note.stem)
def test_a_decision_note_has_its_form(note: Path) -> None:
    text = note.read_text(encoding="utf-8")
    assert text.startswith(f"# {int(note.name[:4])}. ")
    assert re.search(r"^Date: \d{4}-\d\d-\d\d\. Status: \w", text, re.MULTILINE)
    places = [text.find(f"\n## {head}\n") for head in ("Context", "Decision", "Consequences")]
    assert -1 not in places
    assert places == sorted(places)


def test_the_index_lists_every_decision_note() -> None:
    listed = re.findall(r"\]\((\d{4}[^)]+)\)", (DECISIONS / "README.md").read_text())
    assert listed == [note.name for note in NOTES]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    broken = [link for link in links if ":" not in link and not (page.parent / link).exists()]
    assert broken == []


def test_the_example_of_a_subscriber_is_the_file() -> None:
    source = (HOUSE / "docs" / "examples" / "subscriber.py").read_text()
    shown = re.search(r"```python\n(.+?)```", (HOUSE / "docs" / "events.md").read_text(), re.DOTALL)
    assert shown
    assert source.endswith(shown[1])


def test_every_dependency_has_its_reason() -> None:
    note = (DECISIONS / "0009-dependencies.md").read_text()
    named = set(re.findall(r"[\w-]+", " ".join(re.findall(r"^\| ([^|]+) \|", note, re.MULTILINE))))
    told = project()
    groups = [
        told["project"]["dependencies"],
        *told["project"]["optional-dependencies"].values(),
        *told["dependency-groups"].values(),
    ]
    needed = {re.split(r"[^\w-]", entry)[0] for group in groups for entry in group}
    assert needed - named - {told["project"]["name"]} == set()
