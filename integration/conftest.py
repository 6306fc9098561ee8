"""What every integration test stands on."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder that other users can pass through, unlike pytest's own.

    As root the servers and the applications run as users of their own (DESIGN 8). It is short,
    too: sockets lie in it.
    """
    folder = Path(tempfile.mkdtemp(prefix="deis-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
