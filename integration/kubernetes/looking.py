"""What an operator sees of the installed platform."""

import base64
import http.client

from integration.kubernetes.installed import NAMESPACE, Installation

WRITTEN_BY_THE_CLUSTER = ("event", "endpoint", "pods.metrics")
"""Beginnings of kinds whose objects come and go by themselves."""


def status(address: str, path: str, host: str = "") -> int:
    """The status of an answer of the router; 0 where there is none."""
    link = http.client.HTTPConnection(address, 80, timeout=5)
    try:
        link.request("GET", path, headers={"Host": host})
        return link.getresponse().status
    except OSError:
        return 0
    finally:
        link.close()


def secrets(it: Installation) -> dict[str, dict[str, bytes]]:
    """The contents of every Secret by name, without those where helm keeps its releases."""
    return {
        one["metadata"]["name"]: {
            key: base64.b64decode(text) for key, text in one.get("data", {}).items()
        }
        for one in it.get("secrets", "--selector", "owner!=helm")["items"]
    }


def uids(it: Installation) -> dict[str, str]:
    """Every pod with its identity, without that of `helm test`, which belongs to nobody."""
    return {
        name: pod["metadata"]["uid"]
        for name, pod in it.pods().items()
        if "ownerReferences" in pod["metadata"]
    }


def replaced(old: dict[str, str], new: dict[str, str]) -> set[str]:
    """Deployments whose pods are others now, by `uids`; none while old ones are there too."""
    gone, come = (
        {name.rsplit("-", 2)[0] for name, _ in some.items() - others.items()}
        for some, others in ((old, new), (new, old))
    )
    return come if come == gone else set()


def objects(it: Installation) -> set[str]:
    """Everything in the platform's namespace, as `kubectl get -o name` writes it."""
    listed = it.node.kube("api-resources", "--namespaced", "--verbs=list", "-o", "name").split()
    kinds = [kind for kind in listed if not kind.startswith(WRITTEN_BY_THE_CLUSTER)]
    return named(it, ",".join(kinds))


def named(it: Installation, kinds: str) -> set[str]:
    """Objects of these kinds, in the platform's namespace where they have one."""
    words = ("get", kinds, "--namespace", NAMESPACE, "-o", "name", "--ignore-not-found")
    return set(it.node.kube(*words).split())
