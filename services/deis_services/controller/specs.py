"""From a release to what a runtime is asked to run; pure but for the token's signature."""

from collections.abc import Mapping

from deis_bus.contracts.runtime import AppSpec, Artifact, Probe, Process, RunTask
from deis_platform import artifacts
from deis_services.controller.deps import Deps
from deis_services.controller.model import App, Build, Config, Release
from deis_services.controller.rules import limits
from deis_services.controller.settings import DeploySettings

FIRST_PROBE_SECONDS = 50.0
"""What a health check counts for that does not say when it begins (api.md 24.3)."""
LONGEST_WAIT_SECONDS = 86_400.0
ROUTABLE = ("web", "cmd")


def app_spec(deps: Deps, app: App, release: Release, build: Build, config: Config) -> AppSpec:
    """The wanted state of an app: this release, at the app's present counts and generation."""
    routed = routable_type(app.structure)
    defaults = deps.settings.deploy
    return AppSpec(
        app=app.id,
        appuuid=app.uuid,
        generation=app.generation,
        release=release.version,
        artifact=artifact(deps, app, build),
        environment=environment(app, release, build, config),
        processes=tuple(
            process(name, count, build, config, routed, defaults)
            for name, count in sorted(app.structure.items())
        ),
        deploy_timeout_seconds=batch_seconds(defaults, config),
        batch=_batch(defaults, config),
        revisions=int(
            _number(config, "KUBERNETES_DEPLOYMENTS_REVISION_HISTORY_LIMIT", defaults.revisions)
        ),
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


def batch_seconds(defaults: DeploySettings, config: Config) -> float:
    """How long a batch of new instances may take: `DEIS_DEPLOY_TIMEOUT`, and the longest that a
    health check waits before it asks (api.md 24.3)."""
    waits = [_number(config, "HEALTHCHECK_INITIAL_DELAY", 0.0)]
    for probes in config.healthcheck.values():
        waits += [_first_wait(probe) for probe in probes.values() if isinstance(probe, dict)]
    return _number(config, "DEIS_DEPLOY_TIMEOUT", defaults.seconds) + max(waits)


def rollout_seconds(defaults: DeploySettings, config: Config, counts: Mapping[str, int]) -> float:
    """How long a rollout of these counts may take at most (api.md 24.3).

    How many nodes there are the runtime knows, and ends it sooner; here it is taken for one.
    """
    batch = _batch(defaults, config) or 1
    return max(1, -(-max(counts.values(), default=0) // batch)) * batch_seconds(defaults, config)


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


def process(
    name: str, count: int, build: Build, config: Config, routed: str, defaults: DeploySettings
) -> Process:
    """A process type with what its configuration says of it; `routed` is the one with requests."""
    memory_request, memory = limits.memory_bytes(config.memory.get(name, ""))
    cpu_request, cpus = limits.cpus(config.cpu.get(name, ""))
    return Process(
        type=name,
        count=count,
        command=build.procfile.get(name, ""),
        routable=name == routed,
        probe=_probe(config) if name == routed else None,
        probes=_probes(config, name),
        memory_bytes=memory,
        memory_request_bytes=memory_request,
        cpus=cpus,
        cpu_request=cpu_request,
        grace_seconds=_grace(name, config, defaults),
        tags=config.tags,
        post_start=config.lifecycle_post_start.get(name, ""),
        pre_stop=config.lifecycle_pre_stop.get(name, ""),
    )


def _probe(config: Config) -> Probe | None:
    """The check of `HEALTHCHECK_URL`, as the variables beside it say (api.md 8.6); what they do not
    say is as quick as without them."""
    path = config.values.get("HEALTHCHECK_URL", "")
    plain = Probe(path=path)
    if not path:
        return None
    return Probe(
        path=path,
        initial_delay_seconds=_number(config, "HEALTHCHECK_INITIAL_DELAY", 0.0),
        timeout_seconds=max(1.0, _number(config, "HEALTHCHECK_TIMEOUT", plain.timeout_seconds)),
        period_seconds=max(
            1.0, _number(config, "HEALTHCHECK_PERIOD_SECONDS", plain.period_seconds)
        ),
        failure_threshold=max(
            1, int(_number(config, "HEALTHCHECK_FAILURE_THRESHOLD", plain.failure_threshold))
        ),
    )


def _first_wait(probe: Mapping[str, object]) -> float:
    given = probe.get("initialDelaySeconds", FIRST_PROBE_SECONDS)
    seconds = float(given) if isinstance(given, int | float) else FIRST_PROBE_SECONDS
    return min(max(0.0, seconds), LONGEST_WAIT_SECONDS)


def _batch(defaults: DeploySettings, config: Config) -> int:
    """`DEIS_DEPLOY_BATCHES`; 0 means as many as there are nodes, whatever the default is."""
    return int(_number(config, "DEIS_DEPLOY_BATCHES", defaults.batch))


def _probes(config: Config, name: str) -> dict[str, dict[str, object]]:
    """Health checks of that type, or those of `web/cmd` for either (api.md 26.2)."""
    found = config.healthcheck.get(name)
    if found is None and name in ROUTABLE:
        found = config.healthcheck.get("web/cmd")
    return {probe: dict(given) for probe, given in (found or {}).items() if isinstance(given, dict)}


def _grace(name: str, config: Config, defaults: DeploySettings) -> float:
    own = config.termination_grace_period.get(name, "")
    if own.isdigit():
        return float(own)
    return _number(
        config, "KUBERNETES_POD_TERMINATION_GRACE_PERIOD_SECONDS", defaults.grace_seconds
    )


def _number(config: Config, key: str, default: float) -> float:
    text = config.values.get(key, "")
    return float(text) if text.isdigit() else default
