"""The table of settings in the documentation is that of the Settings classes."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

HOUSE = Path(__file__).resolve().parents[2]


@pytest.fixture
def script() -> ModuleType:
    """scripts/settings_table.py, which lies in no package."""
    path = HOUSE / "scripts" / "settings_table.py"
    spec = importlib.util.spec_from_file_location("settings_table", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_is_in_step_with_the_settings(script: ModuleType) -> None:
    document = script.DOCUMENT.read_text(encoding="utf-8")
    assert document == script.written(document), "type `make settings`"


def test_it_names_variable_default_meaning_and_reader(script: ModuleType) -> None:
    rows = script.table().splitlines()
    assert "| `DEIS_DEPLOYS_AT_ONCE` | `8` | apps reconciled in parallel | controller |" in rows
    assert any("| `DEIS_OBJECTS_URL` | none (up), required (" in row for row in rows)
    assert any(row.startswith("| `DEIS_NATS_URL`") and "all services |" in row for row in rows)


def test_a_document_without_a_place_for_it_is_refused(script: ModuleType) -> None:
    with pytest.raises(ValueError, match="where the table goes"):
        script.written("# Operations\n")
