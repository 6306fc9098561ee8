"""Fixtures of the client's tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.deis_cli.scripted import Person, Scripted, scripted


@pytest.fixture
async def server() -> AsyncIterator[Scripted]:
    """A scripted controller."""
    async with scripted() as running:
        yield running


@pytest.fixture
def person(tmp_path: Path, server: Scripted) -> Person:
    """Somebody who is not logged in yet."""
    return Person(tmp_path / "home", server)


@pytest.fixture
def ada(person: Person) -> Person:
    """Somebody who is logged in."""
    person.logged_in()
    return person
