"""Pod and Secrets of a build (components.md 2.8, DESIGN 6). Pure.

The pod holds no credentials but its task's tokens, no service account, and nothing of the app's
configuration in its own spec: that is a folder of files.
"""

import hashlib
import re
from typing import Any

from deis_bus.contracts.runtime import BuildRun
from deis_platform.build_environment import told
from deis_platform.runtime.kubernetes import names, objects, pods, views
from deis_platform.runtime.kubernetes.facts import Facts

BUILD = "/runner/build"
TASK_LABEL = "deis.io/build"
"""Hash of the build's id: how a pod is found again."""
ID = "deis.io/build-id"
APP = "deis.io/build-of"
STREAM = "deis.io/build-stream"
"""The byte stream that its starter named."""
TIME_LIMIT = "deis.io/time-limit"
OUTPUT_LIMIT = "deis.io/output-limit"
"""Seconds and bytes, for whoever plays the output."""
ENDED = "deis.io/ended"
"""Why the platform ended it, in words."""
CONTAINER = "slugbuilder"
ENVIRONMENT = "/environment"
ENV_END = "-env"
SPARE_SECONDS = 300
"""After the build's own time limit, which counts from its start: for its image to come, and for
the case that nobody watches it any more."""
MAX_APP = 35
MEGABYTE = 1024 * 1024
ROOM = "10Gi"
"""Of the node's disk, for the work folder and for temporary files each."""
LEAST_MEMORY = 512 * 1024**2
"""What a build is scheduled with; its limit is more."""
FILE_NAME = re.compile(r"[A-Za-z0-9_][-._A-Za-z0-9]{0,252}")
Object = dict[str, Any]


def key(task_id: str) -> str:
    """A label's value for any id."""
    return hashlib.sha256(task_id.encode()).hexdigest()[:32]


def name(task: BuildRun) -> str:
    """`slugbuild-APP-SHA8-HASH8` (components.md 2.8), the same for the same attempt."""
    sha = task.sha[:8] or "none"
    return f"slugbuild-{task.app[:MAX_APP].rstrip('-')}-{sha}-{key(task.id)[:8]}"


def pod(task: BuildRun, facts: Facts) -> Object:
    """A one-shot pod that keeps the rules of a namespace at `restricted`."""
    own = name(task)
    volumes = [
        {"name": "work", "emptyDir": {"sizeLimit": ROOM}},
        {"name": "tmp", "emptyDir": {"sizeLimit": ROOM}},
        {"name": "environment", "secret": {"secretName": f"{own}{ENV_END}"}},
    ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": _metadata(task, facts),
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "restartPolicy": "Never",
            "activeDeadlineSeconds": round(task.time_limit_seconds) + SPARE_SECONDS,
            "terminationGracePeriodSeconds": 1,
            "nodeSelector": facts.build_selector,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": pods.SLUG_USER,
                "runAsGroup": pods.SLUG_USER,
                "fsGroup": pods.SLUG_USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [_container(task, facts)],
            "volumes": volumes,
        },
    }


def _metadata(task: BuildRun, facts: Facts) -> Object:
    return {
        "name": name(task),
        "namespace": facts.build_namespace,
        "labels": {
            names.HERITAGE: names.OURS,
            "component": CONTAINER,
            TASK_LABEL: key(task.id),
        },
        "annotations": {
            ID: task.id,
            APP: task.app,
            names.UUID: task.appuuid,
            STREAM: task.stream,
            TIME_LIMIT: f"{task.time_limit_seconds:g}",
            OUTPUT_LIMIT: str(task.output_limit_bytes),
        },
    }


def _container(task: BuildRun, facts: Facts) -> Object:
    secret = told(task, ENVIRONMENT)
    plain = {word: text for word, text in facts.build_environ.items() if word not in secret}
    return {
        "name": CONTAINER,
        "image": facts.stack_image,
        "imagePullPolicy": facts.pull_policy,
        "command": [BUILD],
        "env": [
            *({"name": word, "valueFrom": _from(name(task), word)} for word in secret),
            *({"name": word, "value": text} for word, text in sorted(plain.items())),
        ],
        "resources": _resources(task, facts),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "work", "mountPath": "/app"},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the container's own
            {"name": "environment", "mountPath": ENVIRONMENT, "readOnly": True},
        ],
    }


def secrets(task: BuildRun, facts: Facts) -> list[Object]:
    """What the slugbuilder is told, and the app's configuration as files: what can be no file is
    left out."""
    own, namespace = name(task), facts.build_namespace
    files = {word: text for word, text in task.environment.items() if FILE_NAME.fullmatch(word)}
    return [
        _secret(namespace, own, task, told(task, ENVIRONMENT)),
        _secret(namespace, f"{own}{ENV_END}", task, files),
    ]


def pod_of(secret: str) -> str:
    """The pod that a Secret is for."""
    return secret.removesuffix(ENV_END)


def limits(pod: views.Pod) -> tuple[float, int]:
    """Seconds and bytes a build may take; 0: no limit."""
    marks = pod.metadata.annotations
    try:
        return float(marks.get(TIME_LIMIT, "0")), int(marks.get(OUTPUT_LIMIT, "0"))
    except ValueError:
        return 0.0, 0


def too_late(seconds: float) -> str:
    """What is told of a build over its time."""
    return f"The build took longer than {seconds / 60:g} min and was ended"


def too_much(limit: int) -> str:
    """What is told of a build over its output."""
    return f"The build printed more than {limit / MEGABYTE:g} MB and was ended"


def _secret(namespace: str, own: str, task: BuildRun, values: dict[str, str]) -> Object:
    found = objects.opaque(namespace, own, "", 0, values)
    found["metadata"]["labels"] = {names.HERITAGE: names.OURS, TASK_LABEL: key(task.id)}
    return found


def _from(secret: str, word: str) -> Object:
    return {"secretKeyRef": {"name": secret, "key": word}}


def _resources(task: BuildRun, facts: Facts) -> Object:
    memory = task.memory_bytes or facts.build_memory_bytes
    return {
        "limits": {"memory": str(memory), "cpu": f"{round(facts.build_cpus * 1000)}m"},
        "requests": {"memory": str(min(memory, LEAST_MEMORY)), "cpu": "100m"},
    }
