"""Pod and Secret of a one-off command (api.md 11, 26.1). Pure."""

from typing import Any

from deis_bus.contracts.runtime import Process, RunTask
from deis_platform.kubernetes import Kind, kinds
from deis_platform.runtime.kubernetes import names, objects, pods
from deis_platform.runtime.kubernetes.facts import Facts

GATE = f"IFS= read -r _; {pods.LINGER}"
"""Waits for the first line of its input, then runs the command."""
TERMINAL_GATE = 'IFS= read -r _; exec "$@"'
"""The same on a terminal, where nothing is lost at the end and job control wants no one between."""
SPARE_SECONDS = 120
"""After the command's own time limit, for the case that nobody watches it any more."""
Object = dict[str, Any]


def pod(task: RunTask, facts: Facts, exposed: int = 0) -> Object:
    """One container, started once, with everything the release's processes get."""
    artifact = task.artifact
    port = pods.port_of(task.environment, artifact, exposed)
    variables = sorted(pods.environment(task.environment, artifact, port))
    secret = secret_name(task)
    container = {
        "name": task.instance,
        "image": pods.image(artifact, facts),
        "imagePullPolicy": task.environment.get("IMAGE_PULL_POLICY", facts.pull_policy),
        "command": [pods.SHELL, "-c", TERMINAL_GATE if task.tty else GATE, "run", *_words(task)],
        "env": [
            {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": name}}}
            for name in variables
        ],
        "stdin": True,
        "stdinOnce": True,
        "tty": task.tty,
        "resources": pods.resources(
            Process(type=names.RUN, count=1, memory_bytes=task.memory_bytes, cpus=task.cpus)
        ),
        "securityContext": pods.security(artifact),
        **pods.mounts(artifact),
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": task.instance,
            "namespace": task.app,
            "labels": names.labels(task.app, names.RUN, task.release),
            "annotations": {names.UUID: task.appuuid},
        },
        "spec": {
            **pods.pod(artifact),
            **pods.pull_secrets(task.pull_secret),
            "nodeSelector": task.tags,
            "restartPolicy": "Never",
            "activeDeadlineSeconds": round(task.time_limit_seconds) + SPARE_SECONDS,
            "terminationGracePeriodSeconds": 5,
            "containers": [container],
        },
    }


def secret(task: RunTask, exposed: int = 0) -> Object:
    """Its variables, in a Secret of its own that ends with the pod."""
    port = pods.port_of(task.environment, task.artifact, exposed)
    values = pods.environment(task.environment, task.artifact, port)
    return objects.opaque(task.app, secret_name(task), "run-env", task.release, values)


def secret_name(task: RunTask) -> str:
    """`APP-run-XXXXX-env`."""
    return f"{task.instance}-env"


def secret_key(task: RunTask) -> tuple[Kind, str, str]:
    """Kind, name and namespace of the Secret."""
    return kinds.SECRET, secret_name(task), task.app


def owned(task: RunTask, uid: str) -> Object:
    """A patch by which the Secret goes when the pod goes."""
    owner = {"apiVersion": "v1", "kind": "Pod", "name": task.instance, "uid": uid}
    return {"metadata": {"ownerReferences": [owner]}}


def _words(task: RunTask) -> list[str]:
    if task.artifact.slug:
        return [pods.INIT, task.command]
    return [pods.SHELL, "-c", task.command]
