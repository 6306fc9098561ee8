"""From a process type to the template of its pods (api.md 24.2, 25, 26.2). Pure."""

from typing import Any

from deis_bus.contracts.runtime import AppSpec, Artifact, Probe, Process
from deis_platform.runtime.kubernetes import names
from deis_platform.runtime.kubernetes.facts import Facts

SHELL = "/bin/bash"
INIT = "/runner/init"
SLUG_USER = 2000
POD_IP = "POD_IP"


def environment(spec_environment: dict[str, str], artifact: Artifact, port: int) -> dict[str, str]:
    """Everything in the Secret of a release: the app's own variables and ours."""
    found = dict(spec_environment)
    if port:
        found.setdefault("PORT", str(port))
    if artifact.slug:
        found |= {"SLUG_URL": artifact.url, "SLUG_TOKEN": artifact.token}
    return found


def port_of(environment: dict[str, str], artifact: Artifact, exposed: int = 0) -> int:
    """The port that requests come in on (api.md 25.2); 0: not known."""
    own = environment.get("PORT", "")
    if own.isascii() and own.isdigit() and 0 < int(own) < 65536:
        return int(own)
    return names.SLUG_PORT if artifact.slug else exposed


def image(artifact: Artifact, facts: Facts) -> str:
    """The image of the pods: the stack for a slug, else the app's own."""
    return facts.stack_image if artifact.slug else artifact.image


def start(process: Process, artifact: Artifact) -> dict[str, list[str]]:
    """`command` and `args` of a container (api.md 24.2)."""
    if artifact.slug:
        words = [process.command] if process.command else ["start", process.type]
        return {"command": [INIT], "args": words}
    if process.type == "cmd":
        return {"args": process.command.split()} if process.command else {}
    if process.command:
        return {"command": [SHELL, "-c"], "args": [process.command]}
    return {"command": [SHELL, "-c"], "args": ["start", process.type]}


def template(spec: AppSpec, process: Process, facts: Facts, exposed: int = 0) -> dict[str, Any]:
    """The pod template of a process type. The same release gives the same template, always:
    going back to it after a failed one starts no pod anew."""
    labels = names.labels(spec.app, process.type, spec.release)
    port = port_of(spec.environment, spec.artifact, exposed)
    container = {
        "name": names.deployment(spec.app, process.type),
        "image": image(spec.artifact, facts),
        "imagePullPolicy": spec.environment.get("IMAGE_PULL_POLICY", facts.pull_policy),
        **start(process, spec.artifact),
        "env": env(spec, port),
        "resources": resources(process),
        "securityContext": security(spec.artifact),
        **_ports(process, port),
        **_probes(spec, process, port),
        **_lifecycle(process, facts),
        **mounts(spec.artifact),
    }
    grace = process.grace_seconds + (facts.stop_delay_seconds if process.routable else 0)
    return {
        "metadata": {"labels": labels, "annotations": {names.UUID: spec.appuuid}},
        "spec": {
            **pod(spec.artifact),
            "containers": [container],
            "nodeSelector": process.tags,
            "terminationGracePeriodSeconds": round(grace),
            **pull_secrets(spec.pull_secret),
        },
    }


def pod(artifact: Artifact) -> dict[str, Any]:
    """What is the same for every pod of that artifact, its volumes too."""
    found: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
    }
    if artifact.slug:
        # A program that is process 1 ignores SIGTERM unless it handles it, and inherits zombies:
        # here the pod's own first process is number 1.
        found["shareProcessNamespace"] = True
        found["securityContext"] |= {
            "runAsNonRoot": True,
            "runAsUser": SLUG_USER,
            "runAsGroup": SLUG_USER,
        }
        found["volumes"] = [{"name": "app", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}]
    return found


def mounts(artifact: Artifact) -> dict[str, Any]:
    """Folders a slug may write to; everything else of its file system is read-only."""
    if not artifact.slug:
        return {}
    return {
        "volumeMounts": [
            {"name": "app", "mountPath": "/app"},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the container's own
        ]
    }


def security(artifact: Artifact) -> dict[str, Any]:
    """What a container may not: more for slugs, whose image is ours."""
    found: dict[str, Any] = {"allowPrivilegeEscalation": False}
    if artifact.slug:
        found |= {"readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    return found


def env(spec: AppSpec, port: int) -> list[dict[str, Any]]:
    """Every variable by name, its value from the release's Secret (api.md 26.2)."""
    secret = names.env_secret(spec.app, spec.release)
    found = [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": name}}}
        for name in sorted(environment(spec.environment, spec.artifact, port))
    ]
    exposed = spec.environment.get("DEIS_EXPOSE_POD_IP") == "True"
    if exposed and POD_IP not in spec.environment:
        found.append({"name": POD_IP, "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}})
    return found


def resources(process: Process) -> dict[str, Any]:
    """Limits, and requests where they are less (api.md 8.3)."""
    limits = _amounts(process.memory_bytes, process.cpus)
    requests = _amounts(process.memory_request_bytes, process.cpu_request)
    found = {"limits": limits, "requests": requests}
    return {name: amounts for name, amounts in found.items() if amounts}


def pull_secrets(registry: dict[str, str]) -> dict[str, Any]:
    """The app's own registry credentials, by reference (api.md 25.3)."""
    return {"imagePullSecrets": [{"name": names.PULL_SECRET}]} if registry else {}


def _amounts(memory_bytes: int, cpus: float) -> dict[str, str]:
    found = {}
    if memory_bytes:
        found["memory"] = str(memory_bytes)
    if cpus:
        found["cpu"] = f"{round(cpus * 1000)}m"
    return found


def _ports(process: Process, port: int) -> dict[str, Any]:
    return {"ports": [{"containerPort": port}]} if process.routable and port else {}


def _probes(spec: AppSpec, process: Process, port: int) -> dict[str, Any]:
    """Exactly the user's own where there is one; else that of HEALTHCHECK_URL; else a routable
    type is ready when its port is (api.md 26.2)."""
    if process.probes:
        return dict(process.probes)
    if process.probe is not None and port:
        return {"readinessProbe": _asks(process.probe, port)}
    if process.routable and port:
        seconds = max(3, round(spec.deploy_timeout_seconds))
        probe = {"periodSeconds": 1, "timeoutSeconds": 5, "failureThreshold": seconds}
        return {"readinessProbe": {"tcpSocket": {"port": port}, **probe}}
    return {}


def _asks(probe: Probe, port: int) -> dict[str, Any]:
    check = {"httpGet": {"path": probe.path, "port": port}}
    return (check if probe.path else {"tcpSocket": {"port": port}}) | {
        "initialDelaySeconds": round(probe.initial_delay_seconds),
        "periodSeconds": max(1, round(probe.period_seconds)),
        "timeoutSeconds": max(1, round(probe.timeout_seconds)),
        "failureThreshold": max(1, probe.failure_threshold),
    }


def _lifecycle(process: Process, facts: Facts) -> dict[str, Any]:
    """Hooks of the user; before its SIGTERM a routable pod waits until no router knows it."""
    found: dict[str, Any] = {}
    if process.post_start:
        found["postStart"] = _command(process.post_start)
    delay = facts.stop_delay_seconds if process.routable else 0
    if process.pre_stop:
        wait = f"sleep {delay}; " if delay else ""
        found["preStop"] = {
            "exec": {"command": [SHELL, "-c", f'{wait}eval "$0"', process.pre_stop]}
        }
    elif delay:
        found["preStop"] = {"sleep": {"seconds": delay}}
    return {"lifecycle": found} if found else {}


def _command(text: str) -> dict[str, Any]:
    return {"exec": {"command": [SHELL, "-c", text]}}
