"""What is kept over a restart, and what is made of what cannot be read."""

import os
from pathlib import Path

import msgspec
import pytest

from deis_services.shipper.model import Key, Position
from deis_services.shipper.positions import NAME, Positions, Saved, SavedFile
from tests.behaviour.kubelet_logs import BLOG

KEPT = [
    Saved(BLOG, "blog-web", [SavedFile(Key(0, "a1"), Position(10, 2, 20))]),
    Saved(BLOG, "sidecar", []),
]


def test_what_was_saved_last_is_there(tmp_path: Path) -> None:
    positions = Positions(tmp_path / "new" / "folder")
    assert positions.load() == []
    positions.save([])
    positions.save(KEPT)
    assert Positions(tmp_path / "new" / "folder").load() == KEPT
    folder = tmp_path / "new" / "folder"
    assert [path.name for path in folder.iterdir()] == [NAME]
    assert (folder / NAME).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\0" * 1000,
        b'{"containers": [1]}',
        b'{"containers": [{"pod": {}}]}',
        b"\xff",
    ],
)
def test_what_cannot_be_read_counts_as_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / NAME).write_bytes(content)
    positions = Positions(tmp_path)
    assert positions.load() == []
    positions.save(KEPT)
    assert positions.load() == KEPT


def test_names_that_would_lead_elsewhere_are_not_taken_from_there(tmp_path: Path) -> None:
    positions = Positions(tmp_path)
    astray = msgspec.structs.replace(BLOG, namespace="../../..")
    positions.save([Saved(astray, "blog-web", []), Saved(BLOG, "..", []), *KEPT])
    assert positions.load() == KEPT


def test_a_save_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    positions = Positions(tmp_path)
    positions.save(KEPT)
    os.mkdir(tmp_path / "positions.new")
    with pytest.raises(OSError, match=r"positions\.new"):
        positions.save([])
    assert positions.load() == KEPT
