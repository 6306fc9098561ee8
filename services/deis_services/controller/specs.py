"""From a release to what a runtime is asked to run; pure but for the token's signature."""

from collections.abc import Mapping

from deis_bus.contracts.runtime import AppSpec, Artifact, Probe, Process, RunTask
from deis_platform import artifacts
from deis_services.controller.deps import Deps
from deis_services.controller.model import App, Build, Config, Release
from deis_services.controller.rules import limits

GRACE_SECONDS = 30.0
DEPLOY_SECONDS = 120.0
ROUTABLE = ("web", "cmd")


def app_spec(deps: Deps, app: App, release: Release, build: Build, config: Config) -> AppSpec:
    """The wanted state of an app: this release, at the app's present counts and generation."""
    routed = routable_type(app.structure)
    return AppSpec(
        app=app.id,
        appuuid=app.uuid,
        generation=app.generation,
        release=release.version,
        artifact=artifact(deps, app, build),
        environment=environment(app, release, build, config),
        processes=tuple(
            _process(name, count, build, config, routed)
            for name, count in sorted(app.structure.items())
        ),
        deploy_timeout_seconds=deploy_seconds(config),
        pull_secret=config.registry,
    )


def routable_type(structure: Mapping[str, int]) -> str:
    """The one type that gets HTTP traffic: `web`, else `cmd` (cli.md 9)."""
    return next((name for name in ROUTABLE if name in structure), "")


def artifact(deps: Deps, app: App, build: Build) -> Artifact:
    """Where a build's slug is fetched, with a token for this app's slugs only; or its image."""
    if build.kind != "buildpack":
        return Artifact(image=build.image)
    prefix = f"slugs/{app.uuid}/"
    return Artifact(
        slug=build.image,
        url=f"{deps.settings.artifacts_url}/artifacts/{build.image}",
        token=artifacts.sign(deps.keyring.derive("artifacts"), "GET", prefix),
    )


def environment(app: App, release: Release, build: Build, config: Config) -> dict[str, str]:
    """Variables of every process (api.md 28.1); the user's of the same name win."""
    given = {
        "DEIS_APP": app.id,
        "WORKFLOW_RELEASE": f"v{release.version}",
        "WORKFLOW_RELEASE_SUMMARY": release.summary,
        "WORKFLOW_RELEASE_CREATED_AT": f"{release.created:%Y-%m-%dT%H:%M:%SZ}",
    }
    if build.sha:
        given["SOURCE_VERSION"] = build.sha
    return given | config.values


def deploy_seconds(config: Config) -> float:
    """`DEIS_DEPLOY_TIMEOUT`, plus the wait before the first probe (api.md 24.3)."""
    return _number(config, "DEIS_DEPLOY_TIMEOUT", DEPLOY_SECONDS) + _number(
        config, "HEALTHCHECK_INITIAL_DELAY", 0.0
    )


def run_task(
    deps: Deps,
    app: App,
    release: Release,
    build: Build,
    config: Config,
    *,
    instance: str,
    command: str,
    stream: str,
    tty: bool = False,
    columns: int = 80,
    rows: int = 24,
) -> RunTask:
    """A one-off command with everything the release's processes get (api.md 11)."""
    return RunTask(
        app=app.id,
        appuuid=app.uuid,
        release=release.version,
        instance=instance,
        artifact=artifact(deps, app, build),
        environment=environment(app, release, build, config),
        command=command,
        stream=stream,
        tty=tty,
        columns=columns,
        rows=rows,
        tags=config.tags,
        pull_secret=config.registry,
    )


def _process(name: str, count: int, build: Build, config: Config, routed: str) -> Process:
    path = config.values.get("HEALTHCHECK_URL", "")
    memory_request, memory = limits.memory_bytes(config.memory.get(name, ""))
    cpu_request, cpus = limits.cpus(config.cpu.get(name, ""))
    probe = Probe(
        path=path, initial_delay_seconds=_number(config, "HEALTHCHECK_INITIAL_DELAY", 0.0)
    )
    return Process(
        type=name,
        count=count,
        command=build.procfile.get(name, ""),
        routable=name == routed,
        probe=probe if path and name == routed else None,
        probes=_probes(config, name),
        memory_bytes=memory,
        memory_request_bytes=memory_request,
        cpus=cpus,
        cpu_request=cpu_request,
        grace_seconds=_grace(name, config),
        tags=config.tags,
        post_start=config.lifecycle_post_start.get(name, ""),
        pre_stop=config.lifecycle_pre_stop.get(name, ""),
    )


def _probes(config: Config, name: str) -> dict[str, dict[str, object]]:
    """Health checks of that type, or those of `web/cmd` for either (api.md 26.2)."""
    found = config.healthcheck.get(name)
    if found is None and name in ROUTABLE:
        found = config.healthcheck.get("web/cmd")
    return {probe: dict(given) for probe, given in (found or {}).items() if isinstance(given, dict)}


def _grace(name: str, config: Config) -> float:
    own = config.termination_grace_period.get(name, "")
    if own.isdigit():
        return float(own)
    return _number(config, "KUBERNETES_POD_TERMINATION_GRACE_PERIOD_SECONDS", GRACE_SECONDS)


def _number(config: Config, key: str, default: float) -> float:
    text = config.values.get(key, "")
    return float(text) if text.isdigit() else default
