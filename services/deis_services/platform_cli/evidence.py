"""Collects what the doctor judges; nothing here decides, and whatever does not answer is noted."""

import asyncio
import contextlib
import re
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import msgspec

from deis_bus import dead
from deis_bus.contracts.components import COMPONENTS
from deis_bus.errors import BusError, Transient
from deis_bus.letters import Letter
from deis_bus.ports import Bus, Component
from deis_bus.users import OPERATOR
from deis_platform.buses import open_bus
from deis_platform.database import Database, open_database
from deis_platform.embedded.errors import ServerFailed
from deis_platform.embedded.ports import check_free
from deis_platform.groups import KubernetesSettings, ObjectsSettings, RuntimeSettings
from deis_platform.migrations import SchemaError, check
from deis_platform.migrations import found as migrations
from deis_platform.objects import NoObject, open_objects
from deis_platform.settings import load
from deis_services.platform_cli import folder
from deis_services.platform_cli.checks import TOOLS
from deis_services.platform_cli.cluster_evidence import of_cluster, of_manager
from deis_services.platform_cli.facts import Evidence, Port
from deis_services.platform_cli.holders import holder
from deis_services.platform_cli.reach import Reach
from deis_services.platform_cli.schema import OWNER

LOOKS = 8
"""A component that is busy may miss a ping; one that misses all of these does not run."""
LOOK_SECONDS = 0.5
DATABASE_SECONDS = 5.0
OBJECTS_SECONDS = 5.0
NO_OBJECT = "doctor"
"""The doctor asks for an object of that name: what answers that there is none is well."""
LETTERS = 1000

FreeBytes = Callable[[Path], int]


def free_bytes(path: Path) -> int:
    """What this user may still write on the disk of `path`."""
    return shutil.disk_usage(path).free


async def collect(found: Reach, free: FreeBytes = free_bytes) -> Evidence:
    """Everything, the slow things side by side. Raises SettingsError."""
    options = found.options
    local = bool(found.ready) or not (options.nats_url and options.database_url)
    existing = next(path for path in (found.data, *found.data.parents) if path.exists())
    evidence = Evidence(
        data=str(found.data),
        version=version("deis-workflow"),
        local=local,
        running=bool(found.ready),
        starting=not found.ready and folder.in_use(found.data),
        pid=_pid(found),
        namespace=_namespace(found),
        # In a pod each image has what its own services need.
        missing_tools=()
        if _namespace(found)
        else tuple((tool, package) for tool, package in TOOLS.items() if not shutil.which(tool)),
        free_bytes=free(existing),
        min_free_bytes=_min_free_bytes(found),
        taken=() if found.ready or not local else await asyncio.to_thread(_taken, found),
        expected=_expected(found),
        outside=found.outside,
    )
    asked = [_of_bus(found), _of_database(found), _of_objects(found)]
    if evidence.namespace:
        asked.append(of_cluster(found))
    parts = await asyncio.gather(*asked)
    changes = {name: value for part in parts for name, value in part.items()}
    return msgspec.structs.replace(evidence, **changes)


def _namespace(found: Reach) -> str:
    """Of the platform on Kubernetes. Raises SettingsError."""
    if load(RuntimeSettings, found.environ).kind != "kubernetes":
        return ""
    return load(KubernetesSettings, found.environ).namespace


def _min_free_bytes(found: Reach) -> int:
    """Raises SettingsError."""
    nowhere = {"DEIS_OBJECTS_URL": "-"}  # the services' setting; does not matter here
    return load(ObjectsSettings, {**found.environ, **nowhere}).min_free_bytes


def _pid(found: Reach) -> int:
    if found.ready:
        return int(found.ready["pid"])
    try:
        text = (found.data / "lock").read_text().strip()
    except OSError:
        return 0
    return int(text) if text.isdigit() else 0


def _expected(found: Reach) -> tuple[str, ...]:
    told = found.environ.get("DEIS_COMPONENTS", "") or found.environ.get("DEIS_SERVICES", "")
    if told:
        return tuple(name.strip() for name in told.split(",") if name.strip())
    return tuple(found.ready.get("services") or (*COMPONENTS, "runtime"))


def _taken(found: Reach) -> tuple[Port, ...]:
    options = found.options
    taken: list[Port] = []
    for option, port in (
        ("--port", options.port),
        ("--https-port", options.https_port),
        ("--ssh-port", options.ssh_port),
    ):
        if not port or folder.in_use(found.data):
            continue
        try:
            check_free(options.host, port, option)
        except ServerFailed:
            taken.append(Port(port=port, host=options.host, option=option, holder=holder(port)))
    return tuple(taken)


async def _of_bus(found: Reach) -> dict[str, object]:
    try:
        settings = found.bus()
    except ServerFailed:
        return {}
    url = _public(settings.url)
    try:
        async with open_bus(settings, OPERATOR) as bus:
            if not await bus.ready():
                return {"nats": "no answer within a second", "nats_url": url}
            letters = await _letters(bus)
            components = await _components(bus, _expected(found))
            told = await of_manager(bus) if _has(components, "manager") else {}
    except (BusError, OSError) as fault:
        return {"nats": str(fault) or type(fault).__name__, "nats_url": url}
    return {
        "nats": "",
        "nats_url": url,
        "components": components,
        "dead": tuple(letters),
        **told,
    }


def _has(components: tuple[Component, ...], name: str) -> bool:
    return any(component.name == name for component in components)


async def _letters(bus: Bus) -> list[Letter]:
    """None where the controller has not made the stream yet."""
    with contextlib.suppress(Transient):
        if await dead.count(bus):
            return await dead.listed(bus, limit=LETTERS)
    return []


async def _components(bus: Bus, expected: tuple[str, ...]) -> tuple[Component, ...]:
    seen: dict[str, Component] = {}
    for _ in range(LOOKS):
        seen |= {component.id: component for component in await bus.discover(LOOK_SECONDS)}
        if {component.name for component in seen.values()} >= set(expected):
            break
    return tuple(sorted(seen.values(), key=lambda component: (component.name, component.id)))


async def _of_database(found: Reach) -> dict[str, object]:
    try:
        settings = found.database()
    except ServerFailed:
        return {}
    url = _public(settings.url)
    try:
        async with asyncio.timeout(DATABASE_SECONDS), open_database(settings) as database:
            return {"database": "", "database_url": url, **await _schema(database)}
    except TimeoutError:
        return {"database": f"no answer within {DATABASE_SECONDS:g} s", "database_url": url}
    except (BusError, OSError) as fault:
        return {"database": str(fault) or type(fault).__name__, "database_url": url}


async def _of_objects(found: Reach) -> dict[str, object]:
    settings = found.bucket()
    if settings is None:
        return {}
    server = settings.s3_endpoint or f"https://s3.{settings.s3_region}.amazonaws.com"
    told = {"objects_url": settings.url, "objects_server": server}
    try:
        async with (
            asyncio.timeout(OBJECTS_SECONDS),
            open_objects(settings, prepare=False) as store,
            store.get(NO_OBJECT),
        ):
            return {"objects": "", **told}
    except NoObject:
        return {"objects": "", **told}
    except TimeoutError:
        return {"objects": f"no answer within {OBJECTS_SECONDS:g} s", **told}
    except (Transient, ValueError) as fault:
        return {"objects": str(fault), **told}


async def _schema(database: Database) -> dict[str, object]:
    wanted = migrations(OWNER)
    async with database.reading() as tx:
        if await tx.fetchval("SELECT to_regclass('schema_migrations')::text") is None:
            return {"pending": tuple(step.name for step in wanted)}
        rows = await tx.fetch("SELECT version, digest FROM schema_migrations")
    try:
        check(wanted, {row["version"]: row["digest"] for row in rows})
    except SchemaError as fault:
        return {"schema": str(fault)}
    return {"pending": tuple(step.name for step in wanted[len(rows) :])}


def _public(url: str) -> str:
    """Without user and password."""
    return re.sub(r"//[^/]*@", "//", url).partition("?")[0]
