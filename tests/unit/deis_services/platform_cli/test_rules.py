"""Each finding names component, evidence and the command to type."""

from typing import Any

import pytest

from deis_bus.contracts.components import Finding
from deis_bus.letters import Letter
from deis_bus.ports import Component
from deis_services.platform_cli.facts import Evidence, Port
from deis_services.platform_cli.rules import findings

HEALTHY: dict[str, Any] = {
    "data": "/srv/deis data",
    "version": "2.0.0",
    "running": True,
    "pid": 42,
    "free_bytes": 5_000_000_000,
    "min_free_bytes": 1_000_000_000,
    "nats": "",
    "nats_url": "nats://127.0.0.1:4222",
    "database": "",
    "database_url": "postgresql://127.0.0.1/deis",
    "expected": ("gateway", "router"),
    "components": (
        Component(name="gateway", id="g1", version="2.0.0"),
        Component(name="router", id="r1", version="2.0.0"),
    ),
}
DATA = "--data '/srv/deis data'"


def found(**changes: Any) -> list[Finding]:
    """Findings about a healthy platform with these changes."""
    return findings(Evidence(**(HEALTHY | changes)))


def one(**changes: Any) -> Finding:
    """The only finding."""
    [finding] = found(**changes)
    return finding


def letter(sequence: int, durable: str) -> Letter:
    """A dead letter."""
    return Letter(
        sequence=sequence,
        subject="deis.event.blog.push.received",
        type="push.received",
        app="blog",
        durable=durable,
        attempt=5,
        reason="KeyError: 'x'",
        time="2026-01-01T00:00:00.000000Z",
    )


def test_a_healthy_platform_has_none() -> None:
    assert found() == []


def test_a_missing_tool() -> None:
    finding = one(missing_tools=(("git", "git"),))
    assert (finding.component, finding.problem) == ("builder", "git is missing")
    assert finding.command == "apt-get install git"


@pytest.mark.parametrize(("free", "count"), [(999_999_999, 1), (1_000_000_000, 0), (None, 0)])
def test_a_disk_that_is_nearly_full(free: int | None, count: int) -> None:
    assert len(found(free_bytes=free)) == count


def test_the_disk_is_told_with_its_numbers() -> None:
    finding = one(free_bytes=12 * 1024**2, min_free_bytes=1024**3)
    assert finding.evidence == "12 MB free, 1024 MB wanted"
    assert finding.command == "du -xh -d 2 '/srv/deis data' | sort -h | tail"


def test_a_taken_port() -> None:
    port = Port(port=2222, host="127.0.0.1", option="--ssh-port", holder="sshd (process 7)")
    finding = one(taken=(port,))
    assert finding.component == "builder"
    assert finding.evidence == "127.0.0.1:2222 is held by sshd (process 7)"
    assert finding.command == f"deis-platform up --ssh-port 2223 {DATA}"


def test_a_platform_that_is_stopped_or_starting() -> None:
    down: dict[str, Any] = {"running": False, "nats": None, "database": None, "components": ()}
    assert one(**down).command == f"deis-platform up {DATA}"
    starting = one(**down, starting=True)
    assert "42" in starting.evidence
    assert starting.command == "tail -n 50 '/srv/deis data/logs/platform.log'"
    assert found(**down, local=False) == []


def test_servers_that_do_not_answer() -> None:
    nats = one(nats="no answer within a second", components=())
    assert nats.component == "nats"
    assert nats.evidence == "nats://127.0.0.1:4222: no answer within a second"
    database = one(database="no answer within 5 s")
    assert database.component == "postgres"
    assert "postgres.log" in database.command


def test_servers_of_somebody_else_are_asked_where_they_are() -> None:
    away = {"nats": "no answer within a second", "database": "refused"}
    bus, database = found(**away, outside=("nats", "postgres"), components=(), expected=())
    assert bus.command == "nats server check connection -s nats://127.0.0.1:4222"
    assert database.command == "pg_isready -d postgresql://127.0.0.1/deis"


def test_a_bucket_that_cannot_be_read() -> None:
    told = {"objects_url": "s3://deis/x", "objects_server": "http://127.0.0.1:9000"}
    assert found(objects="", **told) == []
    away = one(objects="the object store is away", **told)
    assert away.component == "objects"
    assert away.evidence == "s3://deis/x at http://127.0.0.1:9000: the object store is away"
    assert away.command == "curl -sSI http://127.0.0.1:9000"


def test_pending_migrations_and_a_newer_schema() -> None:
    pending = one(pending=("0002_more.sql",))
    assert pending.evidence == "not applied: 0002_more.sql"
    assert pending.command == f"deis-platform migrate {DATA}"
    assert one(schema="the database has schema 9").evidence == "the database has schema 9"


@pytest.mark.parametrize(
    ("name", "app"), [("router", "deis-router"), ("shipper", "deis-log-shipper")]
)
def test_on_kubernetes_one_looks_at_pods(name: str, app: str) -> None:
    finding = one(namespace="deis", components=(), expected=(name,))
    assert finding.command == f"kubectl --namespace deis describe pods --selector app={app}"
    old = Component(name=name, id="x", version="1.0.0")
    finding = one(namespace="deis", components=(old,), expected=(name,))
    assert finding.command == f"kubectl --namespace deis describe pods --selector app={app}"


def test_a_missing_component() -> None:
    finding = one(components=HEALTHY["components"][:1])
    assert (finding.component, finding.problem) == ("router", "it is missing")
    assert finding.command == "grep -w router '/srv/deis data/logs/platform.log' | tail -n 20"


@pytest.mark.parametrize(
    ("pid", "command"),
    [
        ("7", "kill 7"),
        ("42", f"kill 42 && deis-platform up {DATA}"),
        ("7; rm -rf /", f"deis-platform up {DATA}"),
        ("", f"deis-platform up {DATA}"),
    ],
)
def test_an_old_component(pid: str, command: str) -> None:
    old = Component(name="gateway", id="g0", version="1.9.0", metadata={"pid": pid, "host": "h"})
    finding = one(components=(*HEALTHY["components"], old))
    assert finding.component == "gateway"
    assert finding.problem == "version 1.9.0 runs, 2.0.0 is installed"
    assert finding.evidence.startswith("instance g0, process ")
    assert finding.command == command


def test_dead_letters_by_who_buried_them() -> None:
    first, second = found(dead=(letter(1, "builder"), letter(2, "runtime"), letter(3, "builder")))
    assert (first.component, first.problem) == ("builder", "2 dead letters")
    assert first.evidence == "number 3, push.received: KeyError: 'x'"
    assert (second.component, second.problem) == ("runtime", "1 dead letter")
    assert second.command == f"deis-platform dead list {DATA}"
