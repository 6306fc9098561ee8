"""The file of automations."""

import stat
from pathlib import Path

import pytest

from deis_platform.embedded.errors import ServerFailed
from deis_services.platform_cli.automation import needed
from deis_services.platform_cli.automations import Book, Kept

BOT = Kept(name="bot", app="blog", appuuid="u1", password="secret")


@pytest.fixture
def book(tmp_path: Path) -> Book:
    (tmp_path / "secrets").mkdir()
    return Book(tmp_path)


def test_what_was_written_is_read(book: Book, tmp_path: Path) -> None:
    assert book.read() == {}
    with book.changed() as entries:
        entries["bot"] = BOT
    assert Book(tmp_path).read() == {"bot": BOT}
    file = tmp_path / "secrets" / "automations.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_damaged_file_is_told(book: Book, tmp_path: Path) -> None:
    (tmp_path / "secrets" / "automations.json").write_text('[{"name": "bo')
    with pytest.raises(ServerFailed, match=r"automations\.json is damaged"):
        book.read()


def fail(book: Book) -> None:
    """A change that is cut off."""
    with book.changed() as entries:
        entries["bot"] = BOT
        raise KeyError


def test_after_an_error_nothing_is_written(book: Book) -> None:
    with pytest.raises(KeyError):
        fail(book)
    assert book.read() == {}


def test_the_credentials_of_an_outside_server_are_not_given_away() -> None:
    values = needed("nats://admin:word@nats.example.com:4222", BOT)
    assert values == {
        "NATS_URL": "nats://nats.example.com:4222",
        "NATS_USER": "automation-bot",
        "NATS_PASSWORD": "secret",
        "NATS_INBOX": "_INBOX_automation-bot",
        "NATS_DURABLE": "automation-bot",
    }
