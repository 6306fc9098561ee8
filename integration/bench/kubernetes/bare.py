"""The bare Deployment beside an application: a copy of its own, that the platform does not know."""

import copy
from typing import Any

Object = dict[str, Any]
NAME = "bare"
SECRET = "bare-env"
LABELS = {"bench": NAME}


def bare_secret(secret: Object) -> Object:
    """The release's variables under a name of the copy's own."""
    namespace = secret["metadata"]["namespace"]
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": SECRET, "namespace": namespace, "labels": LABELS},
        "type": secret["type"],
        "data": secret["data"],
    }


def bare_deployment(deployment: Object) -> Object:
    """The same image, command, replicas, readiness and strategy, without our labels.

    It is in the application's namespace, so the same policies hold for its pods.
    """
    spec = copy.deepcopy(deployment["spec"])
    spec["selector"] = {"matchLabels": LABELS}
    spec["template"]["metadata"] = {"labels": LABELS}
    for container in spec["template"]["spec"]["containers"]:
        container["name"] = NAME
        for variable in container.get("env", ()):
            reference = variable.get("valueFrom", {}).get("secretKeyRef")
            if reference:
                reference["name"] = SECRET
    namespace = deployment["metadata"]["namespace"]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAME, "namespace": namespace, "labels": LABELS},
        "spec": spec,
    }
