"""How often somebody wrote to the API server, by its own count. Pure but for one question."""

import re
from collections.abc import Mapping

from integration.cluster.node import Node

WRITES = frozenset({"APPLY", "CREATE", "DELETE", "DELETECOLLECTION", "PATCH", "POST", "PUT"})
OURS = frozenset(
    {
        "deployments",
        "namespaces",
        "networkpolicies",
        "poddisruptionbudgets",
        "resourcequotas",
        "secrets",
        "services",
    }
)
"""What the platform writes for an application, and nobody else while nothing happens."""
_LINE = re.compile(r"apiserver_request_total\{(?P<labels>[^}]*)\} (?P<count>\S+)")
_LABEL = re.compile(r'(\w+)="([^"]*)"')
Counts = dict[tuple[str, str], int]
"""Writes so far by verb and resource."""


def writes(metrics: str) -> Counts:
    """Those to our kinds of objects, their status left out, from Prometheus' text."""
    found: Counts = {}
    for row in metrics.splitlines():
        match = _LINE.fullmatch(row)
        if match is None:
            continue
        labels = dict(_LABEL.findall(match["labels"]))
        verb, resource = labels.get("verb", ""), labels.get("resource", "")
        if verb in WRITES and resource in OURS and not labels.get("subresource"):
            key = (verb, resource)
            found[key] = found.get(key, 0) + int(float(match["count"]))
    return found


def since(before: Mapping[tuple[str, str], int], after: Counts) -> Counts:
    """What came to it in between."""
    grown = {key: count - before.get(key, 0) for key, count in after.items()}
    return {key: count for key, count in grown.items() if count}


def written(node: Node) -> Counts:
    """The API server's count now."""
    return writes(node.kube("get", "--raw", "/metrics"))
