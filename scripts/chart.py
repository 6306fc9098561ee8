"""Check the chart without a cluster: helm's own lint, then what it renders with several values.

    scripts/chart.py       part of `make lint`

helm is that of $HELM, of the PATH, or the one that `make cluster-up` builds. Where there is none a
line says so; with CI=true that is a failure. The API server's own check of every manifest is in
integration/kubernetes/test_chart.py.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

HOUSE = Path(__file__).resolve().parents[1]
CHART = HOUSE / "charts" / "workflow"
NAMESPACE = "deis"
KUBERNETES = "1.34.0"
ROOT_PODS = {"deis-log-shipper"}
"""The kubelet's logs are root's alone."""
OUTSIDE_SECRETS = {"nats-outside", "nats-ca", "database-outside", "database-ca", "s3-keys"}
VARIANTS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "one of each": {name: {"replicas": 1} for name in ("gateway", "controller", "router")},
    "everything outside": {
        "global": {
            "storage": "s3",
            "databaseLocation": "off-cluster",
            "natsLocation": "off-cluster",
        },
        "nats": {
            "url": "tls://nats.example.com:4222",
            "existingSecret": "nats-outside",
            "caSecret": "nats-ca",
        },
        "database": {
            "url": "postgresql://deis@db.example.com:5432/deis",
            "existingSecret": "database-outside",
            "caSecret": "database-ca",
        },
        "objects": {
            "s3": {
                "url": "s3://bucket/prefix",
                "endpoint": "https://s3.example.com",
                "existingSecret": "s3-keys",
            }
        },
    },
    "bare metal": {
        "platformDomain": "example.com",
        "router": {
            "serviceType": "NodePort",
            "hostPorts": {"enabled": True},
            "publicPorts": {"http": 8080, "git": 2022},
            "nodePorts": {"http": 30080, "https": 30443, "git": 30222, "health": 30090},
            "annotations": {"router.deis.io/nginx.bodySize": "100m"},
            "dhparam": "-----BEGIN DH PARAMETERS-----\n-----END DH PARAMETERS-----\n",
        },
        "pods": {
            "nodeSelector": {"pool": "platform"},
            "tolerations": [{"operator": "Exists"}],
            "priorityClassName": "system-cluster-critical",
            "annotations": {"note": "x"},
        },
        "images": {"pullSecrets": ["registry"], "tag": "1.2.3"},
        "apps": {"quota": {"hard": {"pods": "10"}}},
        "builds": {
            "nodeSelector": {"pool": "builds", "zone": "a"},
            "egress": {"allow": ["10.1.2.3/32"], "deny": ["203.0.113.0/24"]},
        },
        "networkPolicies": {
            "metricsFrom": {"name": "monitoring"},
            "automationsFrom": {"team": "robots"},
        },
    },
    "nothing kept": {
        "nats": {"storage": {"enabled": False}},
        "database": {"storage": {"enabled": False}},
        "objects": {"inCluster": {"storage": {"enabled": False}}},
        "rbac": {"create": False},
        "networkPolicies": {"enabled": False},
    },
}
Object = dict[str, Any]


def main() -> int:
    """Check everything; gives the exit code."""
    helm = find_helm()
    if helm is None:
        sys.stderr.write("not checked: the chart (no helm: set HELM, or type `make cluster-up`)\n")
        return int(os.environ.get("CI") == "true")
    found = lint(helm)
    for name, values in VARIANTS.items():
        found += [f"{name}: {mistake}" for mistake in mistakes(rendered(helm, values))]
    for line in found:
        sys.stderr.write(f"{line}\n")
    if not found:
        sys.stdout.write(f"The chart is well with {len(VARIANTS)} sets of values.\n")
    return int(bool(found))


def find_helm() -> str | None:
    """The helm to use."""
    if given := os.environ.get("HELM") or shutil.which("helm"):
        return given
    top = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    built = (top / "deis-workflow" / "cluster" / "programs").glob("*/helm")
    return max(map(str, built), default=None, key=os.path.getmtime)


def lint(helm: str) -> list[str]:
    """What `helm lint` complains about."""
    done = run(helm, "lint", "--strict", "--quiet", "--kube-version", KUBERNETES, str(CHART))
    return [] if done.returncode == 0 else [done.stdout + done.stderr]


def rendered(helm: str, values: Mapping[str, Any]) -> list[Object]:
    """The manifests with these values. Raises RuntimeError with helm's words."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(values, file)
        file.flush()
        done = run(
            helm, "template", "workflow", str(CHART), "--namespace", NAMESPACE, "--values",
            file.name, "--kube-version", KUBERNETES,
        )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr)
    return [found for found in yaml.safe_load_all(done.stdout) if found]


def run(*argv: str) -> "subprocess.CompletedProcess[str]":
    """helm without anything that it keeps for its user."""
    with tempfile.TemporaryDirectory() as folder:
        homes = {f"HELM_{kind}_HOME": folder for kind in ("CACHE", "CONFIG", "DATA")}
        environ = os.environ | homes
        return subprocess.run(argv, capture_output=True, text=True, check=False, env=environ)  # noqa: S603 - a list, no shell


def mistakes(objects: list[Object]) -> list[str]:
    """What is wrong with these manifests, in words."""
    found = list(twice(objects))
    for one in workloads(objects):
        found += [f"{title(one)}: {text}" for text in pod_mistakes(one, objects)]
    for one in kinds(objects, "Service"):
        found += [f"{title(one)}: {text}" for text in service_mistakes(one, objects)]
    for one in kinds(objects, "NetworkPolicy", "PodDisruptionBudget"):
        selector = one["spec"].get("podSelector") or one["spec"].get("selector") or {}
        wanted = selector.get("matchLabels", {})
        if wanted and not list(selected(objects, wanted)):
            found.append(f"{title(one)}: it selects no pod")
    for one in objects:
        if one["kind"] != "Namespace" and one["metadata"]["labels"].get("heritage") != "deis":
            found.append(f"{title(one)}: it lacks the label heritage=deis")
    return found


def twice(objects: list[Object]) -> Iterator[str]:
    """Objects of one kind and name."""
    seen = set()
    for one in objects:
        if title(one) in seen:
            yield f"{title(one)}: it is there twice"
        seen.add(title(one))


def pod_mistakes(workload: Object, objects: list[Object]) -> Iterator[str]:
    """What a pod of the platform must not lack."""
    spec = pod_of(workload)
    root = workload["metadata"]["name"] in ROOT_PODS
    security = spec.get("securityContext", {})
    if security.get("runAsNonRoot") is not True and not root:
        yield "it may run as root"
    if security.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "it has no seccomp profile"
    if "automountServiceAccountToken" not in spec:
        yield "it does not say whether it has a token"
    if spec["automountServiceAccountToken"] and not spec.get("serviceAccountName"):
        yield "it has a token of nobody's account"
    secrets = {one["metadata"]["name"] for one in kinds(objects, "Secret")} | OUTSIDE_SECRETS
    for volume in spec.get("volumes", []):
        secret = volume.get("secret", {})
        name = secret.get("secretName", "")
        if name and name not in secrets and not secret.get("optional"):
            yield f"it mounts the Secret {name}, which nobody makes"
    volumes = {volume["name"] for volume in spec.get("volumes", [])}
    claims = workload["spec"].get("volumeClaimTemplates", [])
    volumes |= {claim["metadata"]["name"] for claim in claims}
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        for text in container_mistakes(container, volumes):
            yield f"{container['name']}: {text}"
        if workload["kind"] != "Pod" and container in spec["containers"]:
            missing = {"livenessProbe", "readinessProbe"} - container.keys()
            if missing:
                yield f"{container['name']}: it has no {' and no '.join(sorted(missing))}"


def container_mistakes(container: Object, volumes: set[str]) -> Iterator[str]:
    """What a container must not lack."""
    security = container.get("securityContext", {})
    if security.get("allowPrivilegeEscalation") is not False:
        yield "it may gain privileges"
    if security.get("readOnlyRootFilesystem") is not True:
        yield "its root file system can be written"
    if security.get("capabilities") != {"drop": ["ALL"]}:
        yield "it keeps capabilities"
    if container["image"].endswith(":latest") or ":" not in container["image"].rsplit("/", 1)[-1]:
        yield "its image has no version"
    for mount in container.get("volumeMounts", []):
        if mount["name"] not in volumes:
            yield f"it mounts {mount['name']}, which is no volume of the pod"
    for variable in container.get("env", []):
        if not isinstance(variable.get("value", ""), str):
            yield f"{variable['name']} is no text"
    names = [variable["name"] for variable in container.get("env", [])]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"{name} is there twice"


def service_mistakes(service: Object, objects: list[Object]) -> Iterator[str]:
    """A Service leads to pods, and to ports that they have."""
    pods = list(selected(objects, service["spec"]["selector"]))
    if not pods:
        yield "it selects no pod"
    for pod in pods:
        ports = {port["name"] for one in pod["containers"] for port in one.get("ports", [])}
        for port in service["spec"]["ports"]:
            if port["targetPort"] not in ports:
                yield f"its pods have no port {port['targetPort']}"


def kinds(objects: list[Object], *wanted: str) -> list[Object]:
    """The objects of these kinds."""
    return [one for one in objects if one["kind"] in wanted]


def workloads(objects: list[Object]) -> list[Object]:
    """Whatever runs pods."""
    return kinds(objects, "Deployment", "StatefulSet", "DaemonSet", "Pod")


def pod_of(workload: Object) -> Object:
    """The pod's spec."""
    found: Object = (
        workload["spec"] if workload["kind"] == "Pod" else workload["spec"]["template"]["spec"]
    )
    return found


def selected(objects: list[Object], labels: Mapping[str, str]) -> Iterator[Object]:
    """Specs of the pods that have these labels."""
    for one in workloads(objects):
        where = one if one["kind"] == "Pod" else one["spec"]["template"]
        if labels.items() <= where["metadata"]["labels"].items():
            yield pod_of(one)


def title(one: Object) -> str:
    """Kind and name, for a line."""
    return f"{one['kind']} {one['metadata'].get('namespace', '')}/{one['metadata']['name']}"


if __name__ == "__main__":
    sys.exit(main())
