"""What every integration test stands on."""

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from deis_platform.trees import remove_tree
from integration.platform_up import Platform, platform_up
from integration.s3_servers import Rclone, RunningS3, SeaweedFS, s3_server
from integration.servers import RunningNats, RunningPostgres, nats_server, postgres_server


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder that other users can pass through, unlike pytest's own.

    As root the servers and the applications run as users of their own (DESIGN 8). It is short,
    too: sockets lie in it.
    """
    folder = Path(tempfile.mkdtemp(prefix="deis-"))
    folder.chmod(0o711)
    yield folder
    remove_tree(folder)  # slugs are read-only for an ordinary user too


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def postgres() -> AsyncIterator[RunningPostgres]:
    """One PostgreSQL for the session; tests take databases of their own (databases.py) from it."""
    with tempfile.TemporaryDirectory(prefix="deis-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        os.chmod(folder, 0o711)
        async with postgres_server(folder) as running:
            yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def nats() -> AsyncIterator[RunningNats]:
    """One NATS for the session, open to everybody; bus_rig.py empties it before each test."""
    with tempfile.TemporaryDirectory(prefix="deis-", ignore_cleanup_errors=True) as name:
        async with nats_server(Path(name)) as running:
            yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def rclone() -> AsyncIterator[RunningS3]:
    """One S3 server for the session, over a folder; tests take prefixes of their own."""
    with tempfile.TemporaryDirectory(prefix="deis-", ignore_cleanup_errors=True) as name:
        async with s3_server(Rclone, Path(name)) as running:
            yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def seaweedfs() -> AsyncIterator[RunningS3]:
    """The same of another kind, with volumes and rights of its own."""
    with tempfile.TemporaryDirectory(prefix="deis-", ignore_cleanup_errors=True) as name:
        async with s3_server(SeaweedFS, Path(name)) as running:
            yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def platform() -> AsyncIterator[Platform]:
    """One whole platform for the session; tests take users and applications of their own names."""
    with tempfile.TemporaryDirectory(prefix="deis-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        os.chmod(folder, 0o711)
        async with platform_up(folder / "data") as running:
            yield running
