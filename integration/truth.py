"""What must hold after any fault: rows, stream, instances and processes agree (DESIGN 1, promise 2)."""

import asyncio
import contextlib
import json
import os
from pathlib import Path

import asyncpg
import msgspec

from deis_bus.errors import Transient
from deis_bus.events.releases import ReleaseCreated
from deis_bus.streams import EVENTS
from deis_platform.buses import open_bus
from deis_platform.groups import BusSettings
from integration.person import Person
from integration.platform_up import Platform
from integration.servers import until

AWAY = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.TooManyConnectionsError,
)
"""Faults of a database that is killed, starts, or waits for the connections of who was killed."""


async def rows(platform: Platform, query: str, *args: object) -> list[asyncpg.Record]:
    """What the platform's database says, once it answers."""
    found: list[asyncpg.Record] = []

    async def answers() -> bool:
        try:
            found[:] = await _fetched(platform, query, args)
        except AWAY:
            return False
        return True

    await until(answers, f"the database answers {query}", 60)
    return found


async def _fetched(
    platform: Platform, query: str, args: tuple[object, ...]
) -> list[asyncpg.Record]:
    password = (platform.data / "secrets" / "postgres").read_text()
    url = str(platform.ready["database"])
    connection = await asyncpg.connect(url, password=password, ssl=False, timeout=10)
    try:
        return list(await connection.fetch(query, *args))
    finally:
        await connection.close()


async def stream_ids(platform: Platform) -> list[str]:
    """The ids of all events on the stream, in its order, once the bus answers."""
    found: list[str] = []

    async def answers() -> bool:
        try:
            found[:] = await _read(platform)
        except Transient:
            return False
        return True

    await until(answers, "the bus answers", 60)
    return found


async def _read(platform: Platform) -> list[str]:
    settings = BusSettings(
        url=str(platform.ready["nats"]),
        user="platform",
        password_file=str(platform.data / "secrets" / "nats-platform"),
    )
    found: list[str] = []
    async with open_bus(settings, "platform") as bus:
        start = 1
        while page := await bus.read(EVENTS.name, (), start, 500):
            found += [message.headers["ce-id"] for message in page]
            start = page[-1].sequence + 1
    return found


async def holds(platform: Platform, person: Person, app: str) -> None:
    """Wait until nothing is under way any more, then check every promise."""
    await until(lambda: _quiet(platform), "operations and pushes have ended", 60)
    await _numbers(platform, app)
    await _events(platform)
    await until(lambda: _as_wanted(platform, person, app), "what runs is what is wanted", 60)
    builds = platform.data / "runtime" / "builds"
    await until(lambda: not leftovers(builds), "no build runs any more")


async def _quiet(platform: Platform) -> bool:
    open_ones = await rows(
        platform,
        """SELECT (SELECT count(*) FROM operations WHERE state IN ('queued', 'running'))
                + (SELECT count(*) FROM pushes
                   WHERE state IN ('receiving', 'queued', 'building', 'releasing')) AS n""",
    )
    return int(open_ones[0]["n"]) == 0


async def _numbers(platform: Platform, app: str) -> None:
    """Each release number is used once and none is left between two states."""
    found = await rows(
        platform,
        """SELECT r.version, r.state FROM releases r JOIN apps a ON a.uuid = r.app
           WHERE a.id = $1 ORDER BY r.version""",
        app,
    )
    versions = [row["version"] for row in found]
    assert versions == list(range(1, len(versions) + 1)), versions
    assert {row["state"] for row in found} <= {"succeeded", "failed", "superseded"}, found
    events = await rows(platform, "SELECT data FROM events WHERE type = 'release.created'")
    made = [msgspec.json.decode(row["data"], type=ReleaseCreated) for row in events]
    told = sorted(one.version for one in made)
    assert told == versions, f"releases {versions} were told of as {told}"
    causes = [one.operation for one in made if one.operation]
    assert len(causes) == len(set(causes)), "an operation made two releases"


async def _events(platform: Platform) -> None:
    """Every committed event is on the stream, once, those of one app in the order of its rows."""
    written = await rows(platform, "SELECT id::text AS id, app, seq, type FROM events ORDER BY seq")
    newest = written[-1]["seq"]  # what is written from now on is not looked for
    await until(lambda: _all_sent(platform, newest), "every event has left the table", 60)
    told = await stream_ids(platform)
    assert len(told) == len(set(told)), "an event is on the stream twice"
    place = {identity: number for number, identity in enumerate(told)}
    missing = [dict(row) for row in written if row["id"] not in place]
    assert not missing, f"{len(missing)} of {len(written)} are not on the stream: {missing[:5]}"
    for app in {row["app"] for row in written}:
        places = [place[row["id"]] for row in written if row["app"] == app]
        assert places == sorted(places), f"events of {app} are out of order"


async def _all_sent(platform: Platform, newest: int) -> bool:
    query = "SELECT count(*) AS n FROM events WHERE sent IS NULL AND seq <= $1"
    left = await rows(platform, query, newest)
    return int(left[0]["n"]) == 0


async def _as_wanted(platform: Platform, person: Person, app: str) -> bool:
    """As many instances as wanted, all of the wanted release, each one process and no more."""
    wanted = await rows(platform, "SELECT structure, wanted_version FROM apps WHERE id = $1", app)
    structure = json.loads(wanted[0]["structure"])
    version = f"v{wanted[0]['wanted_version']}"
    shown = await person.types("deis", "ps:list", "-a", app, "-o", "json", code=None)
    if shown.code:
        return False
    instances = json.loads(shown.output)
    up = [row for row in instances if row["state"] == "up" and row["release"] == version]
    running = await asyncio.to_thread(leaders, platform.data, app)
    count = int(sum(structure.values()))
    return len(instances) == len(up) == count == len(running)


def leftovers(place: Path) -> list[str]:
    """Command lines of processes that know a folder of ours: nothing else does."""
    found = []
    for folder in _processes():
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_bytes()
            told = words + (folder / "environ").read_bytes()
            where = os.fsencode(os.readlink(folder / "cwd"))
            if os.fsencode(place) in told + where:
                found.append(words.replace(b"\0", b" ").decode(errors="replace"))
    return found


def leaders(data: Path, app: str) -> list[int]:
    """Session leaders that run for an application of that platform: one for each instance."""
    found = []
    for folder in _processes():
        try:
            environ = (folder / "environ").read_bytes().split(b"\0")
            fields = (folder / "stat").read_text().rpartition(") ")[2].split()
        except OSError:
            continue
        home = b"HOME=" + os.fsencode(data)
        ours = any(entry.startswith(home) for entry in environ)
        ours = ours and f"DEIS_APP={app}".encode() in environ
        if ours and fields[0] not in "ZX" and fields[3] == folder.name:
            found.append(int(folder.name))
    return found


def _processes() -> list[Path]:
    return [folder for folder in Path("/proc").iterdir() if folder.name.isdigit()]
