"""Pod and Secret of a one-off command (api.md 11, 26.1). Pure."""

from typing import Any

from deis_bus.contracts.runtime import Process, RunTask
from deis_platform.kubernetes import Kind, kinds
from deis_platform.runtime.kubernetes import names, objects, pods
from deis_platform.runtime.kubernetes.facts import Facts

COMMAND = "DEIS_COMMAND"
"""Variable with the command: it may hold secrets, and a pod's spec is no place for them."""
OPEN = f"IFS= read -r _; command=${COMMAND}; unset {COMMAND};"
"""Waits for the first line of its input: what is printed then is heard."""
GATE = f'{OPEN} "$BASH" -c "$command"; code=$?; sleep 0.5; exit "$code"'
"""Runs the command and stays a moment: what lies in the pipes when a container's first process
ends is lost to its log and to who is attached (up to 128 KB, measured with containerd)."""
TERMINAL_GATE = OPEN + ' stty rows {} cols {} 2>/dev/null; exec "$BASH" -c "$command"'
"""The same on a terminal, where nothing is lost at the end and job control wants no one between.
Its size is set here, too: the one sent by the attachment may come later than the program's look."""
INIT = (pods.INIT,)
"""Fetches the slug and forgets its token before the gate is reached."""
SHELL = (pods.SHELL, "-c")
SPARE_SECONDS = 120
"""After the command's own time limit, for the case that nobody watches it any more."""
SECRET_TYPE = "run-env"  # noqa: S105 - a label
SECRET_END = "-env"  # noqa: S105 - the end of a name
Object = dict[str, Any]


def pod(task: RunTask, facts: Facts, exposed: int = 0) -> Object:
    """One container, started once, with everything the release's processes get."""
    artifact = task.artifact
    secret = secret_name(task)
    command = {
        "name": container(task),
        "image": pods.image(artifact, facts),
        "imagePullPolicy": task.environment.get("IMAGE_PULL_POLICY", facts.pull_policy),
        "command": [*(INIT if artifact.slug else SHELL), _gate(task)],
        "env": [
            {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": name}}}
            for name in sorted(_values(task, exposed))
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
            "containers": [command],
        },
    }


def secret(task: RunTask, exposed: int = 0) -> Object:
    """Its variables and its command, in a Secret of its own that ends with the pod."""
    values = _values(task, exposed)
    return objects.opaque(task.app, secret_name(task), SECRET_TYPE, task.release, values)


def container(task: RunTask) -> str:
    """`APP-run` (api.md 11)."""
    return names.deployment(task.app, names.RUN)


def secret_name(task: RunTask) -> str:
    """`APP-run-XXXXX-env`."""
    return f"{task.instance}{SECRET_END}"


def secret_key(task: RunTask) -> tuple[Kind, str, str]:
    """Kind, name and namespace of the Secret."""
    return kinds.SECRET, secret_name(task), task.app


def owned(task: RunTask, uid: str) -> Object:
    """A patch by which the Secret goes when the pod goes."""
    owner = {"apiVersion": "v1", "kind": "Pod", "name": task.instance, "uid": uid}
    return {"metadata": {"ownerReferences": [owner]}}


def _values(task: RunTask, exposed: int) -> dict[str, str]:
    port = pods.port_of(task.environment, task.artifact, exposed)
    return pods.environment(task.environment, task.artifact, port) | {COMMAND: task.command}


def _gate(task: RunTask) -> str:
    return TERMINAL_GATE.format(task.rows, task.columns) if task.tty else GATE
