"""Pod and Secrets of a build (components.md 2.8, DESIGN 6). Pure.

The pod holds no credentials but its task's tokens, no service account, and nothing of the app's
configuration in its own spec: that is a folder of files.
"""

import hashlib
from typing import Any

from deis_bus.contracts.runtime import BuildRun
from deis_platform.runtime.kubernetes import names, objects, pods
from deis_platform.runtime.kubernetes.facts import Facts

BUILD = "/runner/build"
TASK_LABEL = "deis.io/build"
"""Hash of the build's id: how a pod is found again."""
ID = "deis.io/build-id"
APP = "deis.io/build-of"
CONTAINER = "slugbuilder"
SPARE_SECONDS = 60
MAX_APP = 35
Object = dict[str, Any]


def key(task_id: str) -> str:
    """A label's value for any id."""
    return hashlib.sha256(task_id.encode()).hexdigest()[:32]


def name(task: BuildRun) -> str:
    """`slugbuild-APP-SHA8-HASH8` (components.md 2.8), the same for the same attempt."""
    sha = task.sha[:8] or "none"
    return f"slugbuild-{task.app[:MAX_APP].rstrip('-')}-{sha}-{key(task.id)[:8]}"


def pod(task: BuildRun, facts: Facts) -> Object:
    """A one-shot pod; its time limit is the build's, with a little more for a lost watcher."""
    own = name(task)
    told = ["SOURCE_URL", "SOURCE_TOKEN", "SLUG_URL", "SLUG_TOKEN", "CACHE_URL", "CACHE_TOKEN"]
    container = {
        "name": CONTAINER,
        "image": facts.stack_image,
        "imagePullPolicy": facts.pull_policy,
        "command": [pods.SHELL, "-c", pods.LINGER, "build", BUILD],
        "env": [
            *({"name": word, "valueFrom": _from(own, word)} for word in told),
            {"name": "SOURCE_VERSION", "value": task.sha},
            {"name": "SLUG_LIMIT_BYTES", "value": str(task.slug_limit_bytes)},
            {"name": "ENV_DIR", "value": "/environment"},
            *({"name": word, "value": text} for word, text in sorted(facts.build_environ.items())),
        ],
        "resources": {"limits": _limits(task, facts), "requests": {"cpu": "100m"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "work", "mountPath": "/app"},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the container's own
            {"name": "environment", "mountPath": "/environment", "readOnly": True},
        ],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": own,
            "namespace": facts.build_namespace,
            "labels": {
                names.HERITAGE: names.OURS,
                "component": CONTAINER,
                TASK_LABEL: key(task.id),
            },
            "annotations": {ID: task.id, APP: task.app, names.UUID: task.appuuid},
        },
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "restartPolicy": "Never",
            "activeDeadlineSeconds": round(task.time_limit_seconds) + SPARE_SECONDS,
            "terminationGracePeriodSeconds": 5,
            "nodeSelector": facts.build_selector,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": pods.SLUG_USER,
                "runAsGroup": pods.SLUG_USER,
                "fsGroup": pods.SLUG_USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [
                {"name": "work", "emptyDir": {}},
                {"name": "tmp", "emptyDir": {}},
                {"name": "environment", "secret": {"secretName": f"{own}-env"}},
            ],
        },
    }


def secrets(task: BuildRun, facts: Facts) -> list[Object]:
    """The task's tokens, and the app's configuration as files."""
    own, namespace = name(task), facts.build_namespace
    told = {
        "SOURCE_URL": task.source_url,
        "SOURCE_TOKEN": task.source_token,
        "SLUG_URL": task.slug_url,
        "SLUG_TOKEN": task.slug_token,
        "CACHE_URL": task.cache_url,
        "CACHE_TOKEN": task.cache_token,
    }
    return [
        _secret(namespace, own, task, told),
        _secret(namespace, f"{own}-env", task, task.environment),
    ]


def _secret(namespace: str, own: str, task: BuildRun, values: dict[str, str]) -> Object:
    found = objects.opaque(namespace, own, "", 0, values)
    found["metadata"]["labels"] = {names.HERITAGE: names.OURS, TASK_LABEL: key(task.id)}
    return found


def _from(secret: str, word: str) -> Object:
    return {"secretKeyRef": {"name": secret, "key": word}}


def _limits(task: BuildRun, facts: Facts) -> dict[str, str]:
    memory = task.memory_bytes or facts.build_memory_bytes
    return {"memory": str(memory), "cpu": f"{round(facts.build_cpus * 1000)}m"}
