"""What the doctor makes of a platform on Kubernetes (pure): what the manager says of it, the API
server, and where the router listens."""

import shlex
from collections.abc import Iterable
from urllib.parse import urlsplit

from deis_bus.contracts.components import ComponentState, Finding, workload_of
from deis_services.platform_cli.facts import Evidence

ROUTER = workload_of("router")
TRIED_OUT = (
    "Note: sources and slugs are kept by one server in this cluster, without copies or backup. That"
    " is for\ntrying out: `global.storage: s3` and `objects.s3` take an S3 server of yours"
    " (docs/kubernetes-install.md)."
)
PROBLEMS = {
    "missing": "it is missing, or some of it",
    "crashed": "it crashes again and again",
    "outdated": "there is a newer version",
}
"""By the first word of what the manager says."""
NEWER = "pip install --upgrade deis-workflow"
"""On one machine."""


def problems(found: Evidence) -> set[str]:
    """Names of components that the manager has something to say about, of this cluster."""
    return {one.name for one in found.installed if one.problem and found.namespace}


def installed(found: Evidence) -> Iterable[Finding]:
    """What the manager says; on one machine only what is outdated: the rest is seen on the bus."""
    if found.manager:
        yield Finding(
            component="manager",
            problem="it does not say what is installed",
            evidence=found.manager,
            command=pods(found, "manager") or _log(found, "manager"),
        )
    for one in found.installed:
        kind, _, evidence = one.problem.partition(": ")
        if one.problem and (found.namespace or kind == "outdated"):
            yield Finding(
                component=one.name,
                problem=PROBLEMS.get(kind, kind),
                evidence=evidence,
                command=_remedy(found, one, kind),
            )


def _remedy(found: Evidence, one: ComponentState, kind: str) -> str:
    if not found.namespace:
        return NEWER
    if kind == "crashed":
        app = f"app={workload_of(one.name)}"
        return _kubectl(found, "logs", "--previous", "--ignore-errors", "--selector", app)
    # What was deleted or scaled away by hand comes back with an upgrade that changes nothing.
    as_wanted = kind == "missing" and one.image and one.wanted
    return pods(found, one.name) if as_wanted else upgrade(found)


def api_server_away(found: Evidence) -> Iterable[Finding]:
    """Nothing can be deployed; what runs goes on."""
    if found.api_server:
        yield Finding(
            component="kubernetes",
            problem="nothing can be deployed, scaled or built",
            evidence=f"the API server: {found.api_server}",
            command="kubectl get --raw '/readyz?verbose'",
        )


def no_address(found: Evidence) -> Iterable[Finding]:
    """Nobody outside gets to the router."""
    if found.api_server != "":
        return
    if found.router is None:
        yield Finding(
            component="router",
            problem="nobody outside gets to it",
            evidence=f"there is no Service {ROUTER} in namespace {found.namespace}",
            command=upgrade(found),
        )
    elif found.router.kind == "LoadBalancer" and not found.router.addresses:
        yield Finding(
            component="router",
            problem="nobody outside gets to it",
            evidence=f"Service {ROUTER} of type LoadBalancer has no address yet",
            command=_kubectl(found, "describe", "service", ROUTER),
        )


def notes(found: Evidence) -> list[str]:
    """What is no fault, but should be known."""
    tried_out = found.namespace and any(one.name == "objects" for one in found.installed)
    return [TRIED_OUT] if tried_out else []


def pods(found: Evidence, component: str) -> str:
    """What shows a component's pods and why they are as they are; empty on one machine."""
    app = f"app={workload_of(component)}"
    return found.namespace and _kubectl(found, "describe", "pods", "--selector", app)


def server_pods(found: Evidence, component: str, url: str) -> str:
    """The same of a server, where `url` leads to our own one in this cluster."""
    ours = f"{workload_of(component)}.{found.namespace}.svc"
    host = urlsplit(url).hostname or ""
    return pods(found, component) if f"{host}.".startswith(f"{ours}.") else ""


def in_pod(found: Evidence, *words: str) -> str:
    """A `deis-platform` command where its settings are; empty on one machine."""
    pod = f"deployment/{workload_of('controller')}"
    return found.namespace and _kubectl(found, "exec", pod, "--", "deis-platform", *words)


def upgrade(found: Evidence) -> str:
    """As docs/kubernetes-upgrade.md has it; empty on one machine."""
    release = found.router.release if found.router and found.router.release else "workflow"
    words = ["helm", "--namespace", found.namespace, "upgrade", release, "charts/workflow"]
    return found.namespace and shlex.join([*words, "--values", "values.yaml"])


def _log(found: Evidence, service: str) -> str:
    """What a service of this machine has logged."""
    return f"grep -w {service} {shlex.quote(found.data + '/logs/platform.log')} | tail -n 20"


def _kubectl(found: Evidence, *words: str) -> str:
    return shlex.join(["kubectl", "--namespace", found.namespace, *words])
