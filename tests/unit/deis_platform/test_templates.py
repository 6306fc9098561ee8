"""Templates that lie in packages."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import jinja2
import pytest

from deis_platform.templates import render

TEXT = """start
{% for name in names %}
  {% if name %}
  - {{ name }}
  {% endif %}
{% endfor %}
end {{ last }}
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package with one template."""
    folder = tmp_path / "with_templates" / "templates"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("")
    (folder / "list.txt").write_text(TEXT)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield "with_templates"
    sys.modules.pop("with_templates", None)


def test_blocks_leave_no_blank_lines_and_the_last_newline_stays(package: str) -> None:
    text = render(package, "list.txt", names=["a", "", "<b> & c"], last=3)
    assert text == "start\n  - a\n  - <b> & c\nend 3\n"


def test_a_missing_name_is_an_error_not_a_hole(package: str) -> None:
    with pytest.raises(jinja2.UndefinedError, match="last"):
        render(package, "list.txt", names=[])
    with pytest.raises(jinja2.TemplateNotFound):
        render(package, "other.txt")
