"""What the table does with the entries of a watch, before any nginx is there."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from deis_bus.ports import Entry
from deis_bus.routes import AppRoute
from deis_services.router.certs import CertificateFolder
from deis_services.router.live import LiveTable
from deis_services.router.model import RouteTable
from deis_services.router.pools import PortPool
from deis_services.router.saved import Journal


def entry(app: str, revision: int) -> Entry:
    route = AppRoute(app=app, appuuid="1", hosts=(app,))
    return Entry(f"app.{app}", msgspec.json.encode(route), revision)


def new(folder: Path) -> LiveTable:
    table = RouteTable("example.com", PortPool(range(20000, 20100)))
    certificates = CertificateFolder(folder / "certificates")
    live = LiveTable(table, Journal(folder / "table.jsonl"), certificates, "")
    live.restore()
    return live


@pytest.fixture
def live(tmp_path: Path) -> Iterator[LiveTable]:
    held = new(tmp_path)
    yield held
    held.close()


def test_what_the_present_does_not_hold_is_told(live: LiveTable) -> None:
    for revision, app in enumerate("abc", 1):
        live.take(entry(app, revision))
    assert live.present_complete() == set()
    live.take(entry("d", 4))
    live.take(entry("a", 1))  # the present again, from its beginning; b and c are gone
    live.take(entry("d", 4))
    assert live.present_complete() == {"app.b", "app.c"}
    live.forget({"app.b", "app.c"})
    assert live.table.keys() == {"app.a", "app.d"}


def test_what_was_written_again_meanwhile_is_not_forgotten(live: LiveTable) -> None:
    live.take(entry("a", 7))
    live.take(entry("b", 8))
    live.present_complete()
    live.take(entry("b", 1))  # a new bucket
    missing = live.present_complete()
    assert missing == {"app.a"}
    live.take(entry("a", 2))
    live.forget(missing)
    assert live.table.keys() == {"app.a", "app.b"}


def test_a_removal_is_kept_over_a_restart(live: LiveTable, tmp_path: Path) -> None:
    live.take(entry("a", 1))
    live.take(entry("b", 2))
    live.take(Entry("app.a", None, 3))
    again = new(tmp_path)
    assert again.table.keys() == {"app.b"}
    again.close()


async def test_no_revision_is_in_force_without_an_nginx(live: LiveTable) -> None:
    live.take(entry("a", 5))
    await live.flush()
    assert live.applied == 0
