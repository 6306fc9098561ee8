"""From an app spec to the objects of its namespace (api.md 26). Pure."""

import base64
from typing import Any

import msgspec

from deis_bus.contracts.runtime import AppSpec, Process
from deis_bus.routes import AppRoute
from deis_platform.runtime.kubernetes import names, pods
from deis_platform.runtime.kubernetes.facts import Facts

Object = dict[str, Any]
DOCKER_HUB = "https://index.docker.io/v1/"


def namespace(app: str, appuuid: str, platform: str) -> Object:
    """The application's namespace; whoever else has one of that name keeps it."""
    labels = {
        names.HERITAGE: names.OURS,
        names.PLATFORM: platform,
        "pod-security.kubernetes.io/enforce": "baseline",
    }
    metadata = {"name": app, "labels": labels, "annotations": {names.UUID: appuuid}}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def quota(app: str, spec: dict[str, object]) -> Object:
    """The ResourceQuota that the operator wants in every namespace."""
    return _object("v1", "ResourceQuota", app, names.quota(app), names.labels(app)) | {"spec": spec}


def env_secret(spec: AppSpec, exposed: int = 0) -> Object:
    """The release's variables; with them what was learned of its image."""
    port = pods.port_of(spec.environment, spec.artifact, exposed)
    values = pods.environment(spec.environment, spec.artifact, port)
    name = names.env_secret(spec.app, spec.release)
    secret = opaque(spec.app, name, "env", spec.release, values)
    if spec.artifact.image:
        told = {names.IMAGE: spec.artifact.image, names.EXPOSED: str(exposed)}
        secret["metadata"]["annotations"] = told
    return secret


def opaque(app: str, name: str, kind: str, release: int, values: dict[str, str]) -> Object:
    """Variables of one release: they never change, so the object may not either."""
    secret = _object("v1", "Secret", app, name, names.labels(app, kind, release))
    return secret | {"type": "Opaque", "immutable": True, "data": _encoded(values)}


def pull_secret(app: str, registry: dict[str, str], image: str) -> Object:
    """Credentials of the app's own registry (api.md 25.3).

    Never immutable: of such a Secret kubelet keeps what it has read for as long as any pod names
    it, another one of the same name included, so corrected credentials would not be used.
    """
    login = f"{registry.get('username', '')}:{registry.get('password', '')}"
    host = registry.get("hostname") or registry_of(image)
    auths = {"auths": {host: {"auth": base64.b64encode(login.encode()).decode()}}}
    secret = _object("v1", "Secret", app, names.PULL_SECRET, names.labels(app))
    return secret | {
        "type": "kubernetes.io/dockerconfigjson",
        "data": _encoded({".dockerconfigjson": msgspec.json.encode(auths).decode()}),
    }


def registry_of(image: str) -> str:
    """The registry's host in an image's name; Docker Hub where it names none."""
    first, slash, _ = image.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return DOCKER_HUB if first == "docker.io" else first
    return DOCKER_HUB


def service(spec: AppSpec, exposed: int = 0) -> Object:
    """Where requests go: the routable type, first one that has instances (api.md 26.3)."""
    routable = [process for process in spec.processes if process.routable]
    routed = next((one for one in routable if one.count), next(iter(routable), None))
    port = pods.port_of(spec.environment, spec.artifact, exposed) or names.SLUG_PORT
    return _service(spec.app, spec.appuuid, routed.type if routed else names.WEB, port)


def bare_service(app: str, appuuid: str) -> Object:
    """The Service as it is before the first release."""
    return _service(app, appuuid, names.WEB, names.SLUG_PORT)


def _service(app: str, appuuid: str, kind: str, port: int) -> Object:
    """It always names a type: without one, workers and one-off pods would get requests."""
    found = _object("v1", "Service", app, app, names.labels(app))
    found["metadata"]["annotations"] = {names.UUID: appuuid}
    ports = [{"name": names.PORT_NAME, "port": 80, "protocol": "TCP", "targetPort": port}]
    return found | {"spec": {"selector": names.labels(app, kind), "ports": ports}}


def routes(route: AppRoute) -> Object:
    """What the router reads off the Service; empty values are written too (api.md 32, D3)."""
    annotations = {
        "domains": ",".join(route.hosts),
        "certificates": ",".join(f"{name}:{cert}" for name, cert in route.certificates.items()),
        "whitelist": ",".join(route.allow),
        "maintenance": _bool(route.maintenance),
        "ssl.enforce": _bool(route.enforce_https),
    }
    found = _object("v1", "Service", route.app, route.app, {})
    found["metadata"] |= {
        "labels": {names.ROUTABLE: _bool(route.routable)},
        "annotations": {names.ROUTER + key: value for key, value in annotations.items()},
    }
    return found


def deployment(spec: AppSpec, process: Process, facts: Facts, exposed: int = 0) -> Object:
    """One process type: new pods are ready before old ones go, as many at once as there are nodes."""
    labels = names.labels(spec.app, process.type)
    found = _object(
        "apps/v1", "Deployment", spec.app, names.deployment(spec.app, process.type), labels
    )
    found["metadata"]["annotations"] = {
        names.UUID: spec.appuuid,
        names.GENERATION: str(spec.generation),
        "kubernetes.io/change-cause": spec.environment.get("WORKFLOW_RELEASE_SUMMARY", ""),
    }
    strategy = {
        "maxUnavailable": 0,
        "maxSurge": surge(spec.batch, process.count, facts.nodes),
    }
    return found | {
        "spec": {
            "replicas": process.count,
            "selector": {"matchLabels": labels},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": strategy},
            "revisionHistoryLimit": spec.revisions,
            "progressDeadlineSeconds": max(1, round(spec.deploy_timeout_seconds)),
            "template": pods.template(spec, process, facts, exposed),
        }
    }


def surge(batch: int, count: int, nodes: int) -> int:
    """How many new pods at once (api.md 24.3)."""
    found = batch or max(1, nodes)
    return min(found, count) if count else found


def batches(spec: AppSpec, nodes: int) -> int:
    """How often so many new pods are begun until all are there; a type's are one after the other,
    the types beside each other."""
    counts = [process.count for process in spec.processes if process.count]
    return max((-(-count // surge(spec.batch, count, nodes)) for count in counts), default=1)


def budgets(spec: AppSpec) -> list[Object]:
    """One for each type of several instances."""
    return [disruption_budget(spec.app, one) for one in spec.processes if one.count > 1]


def disruption_budget(app: str, process: Process) -> Object:
    """From two instances on, nodes are emptied one instance at a time (DESIGN 6)."""
    labels = names.labels(app, process.type)
    name = names.deployment(app, process.type)
    found = _object("policy/v1", "PodDisruptionBudget", app, name, labels)
    return found | {"spec": {"maxUnavailable": 1, "selector": {"matchLabels": labels}}}


def network_policy(app: str, facts: Facts) -> Object:
    """Apps reach apps and the outside; of the platform the router and artifacts (DESIGN 6)."""
    platform = {"matchLabels": {"kubernetes.io/metadata.name": facts.platform_namespace}}
    open_parts = {"matchExpressions": [_among("app", "deis-router", "deis-gateway")]}
    apps = {"matchLabels": {names.PLATFORM: facts.platform_namespace}}
    egress: list[Object] = [
        {"ports": [{"port": 53, "protocol": way} for way in ("UDP", "TCP")]},
        {"to": [{"namespaceSelector": apps}]},
        {"to": [{"namespaceSelector": platform, "podSelector": open_parts}]},
    ]
    if facts.api is not None:
        closed = [*facts.denied, *(f"{address}/32" for address in facts.api)]
        egress.append({"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": closed}}]})
    found = _object("networking.k8s.io/v1", "NetworkPolicy", app, names.POLICY, names.labels(app))
    return found | {"spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": egress}}


def _among(label: str, *values: str) -> Object:
    return {"key": label, "operator": "In", "values": list(values)}


def _object(api: str, kind: str, namespace: str, name: str, labels: dict[str, str]) -> Object:
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return {"apiVersion": api, "kind": kind, "metadata": metadata}


def _encoded(values: dict[str, str]) -> dict[str, str]:
    return {name: base64.b64encode(text.encode()).decode() for name, text in values.items()}


def _bool(value: bool) -> str:
    return "true" if value else "false"
