"""DEIS_LOCAL_IMAGES: names that stand for folders, and the sentences for all others."""

from pathlib import Path

import pytest

from deis_bus.errors import Refused
from deis_services.runtime import images

FILE = """
images:
  example/hello:v1: {folder: hello, command: python3 server, port: 5000}
  example/latest: {folder: /srv/latest, command: ./run}
refused:
  example/private: "denied: requested access to the resource is denied"
"""


@pytest.fixture
def known(tmp_path: Path) -> images.Images:
    (tmp_path / "images.yaml").write_text(FILE)
    return images.load(str(tmp_path / "images.yaml"))


def refusal(known: images.Images, name: str) -> str:
    with pytest.raises(Refused) as caught:
        known.find(name)
    assert caught.value.code == 400
    return caught.value.detail


def test_an_image_is_a_folder_with_a_command(known: images.Images, tmp_path: Path) -> None:
    found = known.find("example/hello:v1")
    assert (found.folder, found.command, found.port) == (tmp_path / "hello", "python3 server", 5000)


def test_no_tag_means_latest(known: images.Images) -> None:
    assert known.find("example/latest:latest").folder == Path("/srv/latest")
    assert known.find("example/latest").command == "./run"


def test_a_refused_name_has_the_registrys_words(known: images.Images) -> None:
    assert "denied: requested access" in refusal(known, "example/private:latest")


def test_any_other_name_says_what_to_do(known: images.Images) -> None:
    assert "add it there" in refusal(known, "example/hello:v2")
    assert "DEIS_LOCAL_IMAGES" in refusal(images.load(""), "example/hello")


def test_the_file_may_be_edited(known: images.Images, tmp_path: Path) -> None:
    (tmp_path / "images.yaml").write_text('{"images": {"new": {"folder": "n", "command": "x"}}}')
    assert known.find("new").command == "x"


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "images: []",
        "other: {}",
        "images: {a: {folder: 5, command: x}}",
        "images: {a: {folder: x}}",
        "images: {a: {folder: x, command: y, port: 70000}}",
        "images: {a: {folder: x, command: y, user: root}}",
        "{",
    ],
)
def test_a_file_that_is_wrong_is_named(known: images.Images, tmp_path: Path, text: str) -> None:
    (tmp_path / "images.yaml").write_text(text)
    assert "images.yaml" in refusal(known, "a")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert "No such file" in refusal(images.load(str(tmp_path / "none")), "a")
