"""When the Python buildpack takes the packages of the last build, and when it installs anew."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from deis_services.slugbuilder.buildpacks.python.compile import Compile


def fingerprint(folder: Path, files: Mapping[str, str]) -> str:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Compile(folder.resolve(), folder / "cache")._fingerprint()


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("-r requirements/base.txt", "requirements/base.txt"),
        ("--requirement=requirements/base.txt", "requirements/base.txt"),
        ("-c limits.txt", "limits.txt"),
        ("-r one.txt", "two.txt"),
    ],
)
def test_a_list_that_another_one_names_counts(tmp_path: Path, line: str, named: str) -> None:
    files = {"requirements.txt": f"{line}\n", "one.txt": "-r two.txt\n-r requirements.txt\n"}
    before = fingerprint(tmp_path, files | {named: "flask==3.0\n"})
    assert fingerprint(tmp_path, {"server.py": "x"}) == before
    assert fingerprint(tmp_path, {named: "flask==3.1\n"}) != before


def test_a_list_outside_or_absent_is_left_to_the_installer(tmp_path: Path) -> None:
    text = "-r ../secret.txt\n-r https://example.com/list.txt\n-r absent.txt\n"
    before = fingerprint(tmp_path / "build", {"requirements.txt": text})
    (tmp_path / "secret.txt").write_text("x")
    assert fingerprint(tmp_path / "build", {}) == before


@pytest.mark.parametrize("line", [".", ".[web]", "-e .", "./lib", "lib/own", "own @ file:lib/own"])
def test_a_package_of_the_repository_is_installed_with_each_push(
    tmp_path: Path, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_VERSION", "1")
    before = fingerprint(tmp_path, {"requirements.txt": f"flask\n{line}\n"})
    monkeypatch.setenv("SOURCE_VERSION", "2")
    assert fingerprint(tmp_path, {}) != before


@pytest.mark.parametrize("line", ["flask==3.0", "git+https://example.com/a/b", "-r more/a.txt"])
def test_other_packages_are_taken_from_the_last_build(
    tmp_path: Path, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_VERSION", "1")
    before = fingerprint(tmp_path, {"requirements.txt": f"{line}\n"})
    monkeypatch.setenv("SOURCE_VERSION", "2")
    assert fingerprint(tmp_path, {}) == before
