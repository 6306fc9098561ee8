"""What the doctor makes of what it found: evidence in, findings out (pure)."""

import shlex
from collections import Counter
from collections.abc import Iterable

from deis_bus.contracts.components import Finding
from deis_services.platform_cli import cluster_rules
from deis_services.platform_cli.cluster_rules import NEWER, in_pod, pods, server_pods, upgrade
from deis_services.platform_cli.facts import Evidence

ASKING = {"nats": "nats server check connection -s", "postgres": "pg_isready -d"}
"""What asks a server of somebody else whether it is there."""
IN_CLUSTER = {"nats": "nats", "postgres": "database"}
"""Their components on Kubernetes."""


def findings(found: Evidence) -> list[Finding]:
    """Everything that is wrong, the cause before what follows from it."""
    checks = (
        tools,
        disk,
        ports,
        not_running,
        servers_away,
        objects_away,
        migrations,
        cluster_rules.api_server_away,
        cluster_rules.no_address,
        missing_components,
        cluster_rules.installed,
        old_components,
        dead_letters,
    )
    return [finding for check in checks for finding in check(found)]


def tools(found: Evidence) -> Iterable[Finding]:
    """Programs of the machine that pushes and keys need."""
    for tool, package in found.missing_tools:
        yield Finding(
            component="builder",
            problem=f"{tool} is missing",
            evidence=f"no {tool} in PATH",
            command=f"apt-get install {package}",
        )


def disk(found: Evidence) -> Iterable[Finding]:
    """Pushes are refused when the disk is nearly full (DESIGN 9)."""
    if found.free_bytes is not None and found.free_bytes < found.min_free_bytes:
        yield Finding(
            component="data folder",
            problem="the disk is nearly full, pushes are refused",
            evidence=f"{_mb(found.free_bytes)} free, {_mb(found.min_free_bytes)} wanted",
            command=f"du -xh -d 2 {shlex.quote(found.data)} | sort -h | tail",
        )


def ports(found: Evidence) -> Iterable[Finding]:
    """Ports that another program has."""
    for port in found.taken:
        yield Finding(
            component="builder" if port.option == "--ssh-port" else "router",
            problem=f"port {port.port} is taken by another program",
            evidence=f"{port.host}:{port.port} is held by {port.holder or 'another user'}",
            command=_platform(found, "up", port.option, str(port.port + 1)),
        )


def not_running(found: Evidence) -> Iterable[Finding]:
    """A platform that is stopped, or does not get up."""
    if not found.local or found.running:
        return
    if found.starting:
        yield Finding(
            component="platform",
            problem="it has started and does not answer yet",
            evidence=f"process {found.pid or '?'} uses {found.data}, ready.json is not there",
            command=_log(found, "tail -n 50"),
        )
        return
    yield Finding(
        component="platform",
        problem="it is not running",
        evidence=f"nothing uses {found.data}",
        command=_platform(found, "up"),
    )


def servers_away(found: Evidence) -> Iterable[Finding]:
    """NATS or PostgreSQL does not answer."""
    for name, url, why in (
        ("nats", found.nats_url, found.nats),
        ("postgres", found.database_url, found.database),
    ):
        if why:
            log = f"tail -n 50 {shlex.quote(f'{found.data}/logs/{name}.log')}"
            ask = f"{ASKING[name]} {shlex.quote(url)}" if name in found.outside else log
            yield Finding(
                component=name,
                problem="it does not answer",
                evidence=f"{url}: {why}",
                command=server_pods(found, IN_CLUSTER[name], url) or ask,
            )


def objects_away(found: Evidence) -> Iterable[Finding]:
    """The bucket cannot be read: builds fail, and no instance starts where its slug is not yet."""
    if found.objects:
        yield Finding(
            component="objects",
            problem="slugs and sources can neither be stored nor fetched",
            evidence=f"{found.objects_url} at {found.objects_server}: {found.objects}",
            command=server_pods(found, "objects", found.objects_server)
            or f"curl -sSI {shlex.quote(found.objects_server)}",
        )


def migrations(found: Evidence) -> Iterable[Finding]:
    """The schema is older than the program, or does not go with it at all."""
    if found.schema:
        yield Finding(
            component="controller",
            problem="database and program do not go together",
            evidence=found.schema,
            command=upgrade(found) or NEWER,
        )
    if found.pending:
        yield Finding(
            component="controller",
            problem=f"{len(found.pending)} migration(s) pending",
            evidence=f"not applied: {', '.join(found.pending)}",
            command=_platform(found, "migrate"),
        )


def missing_components(found: Evidence) -> Iterable[Finding]:
    """What should run and does not answer on the bus."""
    if found.nats != "":
        return
    there = {component.name for component in found.components}
    # The manager tells more of what has a problem in the cluster.
    told = cluster_rules.problems(found)
    for name in found.expected:
        if name not in there and name not in told:
            yield Finding(
                component=name,
                problem="it is missing",
                evidence=f"no {name} answers on the bus at {found.nats_url}",
                command=pods(found, name) or _log(found, f"grep -w {name}"),
            )


def old_components(found: Evidence) -> Iterable[Finding]:
    """Components of another version than the installed one: not restarted after an upgrade."""
    for component in found.components:
        if component.name in found.expected and component.version != found.version:
            pid, host = component.metadata.get("pid", ""), component.metadata.get("host", "?")
            yield Finding(
                component=component.name,
                problem=f"version {component.version} runs, {found.version} is installed",
                evidence=f"instance {component.id}, process {pid or '?'} on {host}",
                command=pods(found, component.name) or _restart(found, pid),
            )


def dead_letters(found: Evidence) -> Iterable[Finding]:
    """Messages that nobody could handle, by who buried them."""
    newest = {letter.durable: letter for letter in found.dead}
    for durable, count in sorted(Counter(letter.durable for letter in found.dead).items()):
        letter = newest[durable]
        yield Finding(
            component=durable or "unknown",
            problem=f"{count} dead letter{'' if count == 1 else 's'}",
            evidence=f"number {letter.sequence}, {letter.type or letter.subject}: {letter.reason}",
            command=_platform(found, "dead", "list"),
        )


def _platform(found: Evidence, *words: str) -> str:
    typed = shlex.join(["deis-platform", *words, "--data", found.data])
    return in_pod(found, *words) or typed


def _log(found: Evidence, program: str) -> str:
    text = f"{program} {shlex.quote(found.data + '/logs/platform.log')}"
    return text if program.startswith("tail") else f"{text} | tail -n 20"


def _restart(found: Evidence, pid: str) -> str:
    up = _platform(found, "up")
    if not pid.isdigit():
        return up
    # A service's own process is started again by `up`, with the installed program.
    return f"kill {pid}" if int(pid) != found.pid else f"kill {pid} && {up}"


def _mb(size: int) -> str:
    return f"{size // 1024**2} MB"
