"""uv finds what pip was told, by variables or by the machine's file."""

import os
from pathlib import Path

import pytest

from deis_services.slugbuilder.buildpacks.python import compile as buildpack


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(buildpack, "PIP_CONFIGS", (str(tmp_path / "pip.conf"),))
    return tmp_path / "pip.conf"


def test_variables_of_pip_become_uvs(config: Path) -> None:
    found = buildpack._like_pip({"PIP_INDEX_URL": "https://a", "PIP_FIND_LINKS": "/a /b"})
    assert (found["UV_DEFAULT_INDEX"], found["UV_FIND_LINKS"]) == ("https://a", "/a,/b")


def test_what_is_said_to_uv_itself_wins(config: Path) -> None:
    found = buildpack._like_pip({"PIP_INDEX_URL": "https://a", "UV_DEFAULT_INDEX": "https://b"})
    assert found["UV_DEFAULT_INDEX"] == "https://b"


def test_the_machines_file_counts_and_variables_win(config: Path) -> None:
    config.write_text(
        "[global]\nindex-url = https://file/%40\ncert = /etc/ca.pem\nextra-index-url =\n"
        "    https://one\n    https://two\n[install]\ncert = /etc/install.pem\n"
    )
    found = buildpack._like_pip({"PIP_CERT": "/mine.pem"})
    assert found["UV_DEFAULT_INDEX"] == "https://file/%40"
    assert found["UV_INDEX"] == "https://one https://two"
    assert found["SSL_CERT_FILE"] == "/mine.pem"
    assert buildpack._like_pip({})["SSL_CERT_FILE"] == "/etc/install.pem"


def test_no_file_and_a_broken_one_say_nothing(config: Path) -> None:
    config.write_text("[global]\ncert = /etc/ca.pem\n")
    assert "SSL_CERT_FILE" not in buildpack._like_pip({"PIP_CONFIG_FILE": os.devnull})
    config.write_text("no section\n")
    assert "SSL_CERT_FILE" not in buildpack._like_pip({})
