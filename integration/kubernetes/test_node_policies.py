"""The test node enforces NetworkPolicies, from a pod's first packet on."""

from typing import Any

import pytest

from integration.cluster.node import Node
from integration.kubernetes.pods import answers, apply, output, pod, server, service, wait_ready
from integration.kubernetes.waiting import until

pytestmark = [pytest.mark.kubernetes, pytest.mark.own_node, pytest.mark.timeout(180)]

FETCH = """
import sys, urllib.request
for url in sys.argv[1:]:
    try:
        print(urllib.request.urlopen(url, timeout=3).status)
    except OSError:
        print("no")
"""
DNS = {
    "to": [
        {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
            "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
        }
    ],
    "ports": [{"protocol": "UDP", "port": 53}],
}
WEB = {"app": "web"}


def policy(name: str, labels: dict[str, str], **spec: Any) -> dict[str, Any]:
    kinds = [kind for kind in ("Ingress", "Egress") if kind.lower() in spec]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": {"podSelector": {"matchLabels": labels}, "policyTypes": kinds, **spec},
    }


def asks(node: Node, name: str, *urls: str) -> dict[str, Any]:
    return pod(node, name, ["python3", "-c", FETCH, *urls], {"role": name})


def test_who_may_come_in(node: Node, namespace: str) -> None:
    """Directly and through the Service; the kubelet's probe is no guest."""
    friends = {"from": [{"podSelector": {"matchLabels": {"role": "friend"}}}]}
    apply(
        node,
        namespace,
        policy("web", WEB, ingress=[{**friends, "ports": [{"port": "web"}]}]),
        server(node, "web", WEB),
        service("web", WEB),
    )
    wait_ready(node, namespace, "web")
    address = node.get("pod", "web", "-n", namespace)["status"]["podIP"]
    urls = ("http://web/hostname", f"http://{address}:8000/hostname")
    apply(node, namespace, asks(node, "friend", *urls), asks(node, "stranger", *urls))
    assert output(node, namespace, "friend").split() == ["200", "200"]
    assert output(node, namespace, "stranger").split() == ["no", "no"]
    assert not answers(urls[1])

    node.kube("-n", namespace, "delete", "networkpolicy", "web")
    until(lambda: answers(urls[1]), "an answer without the policy")


def test_a_closed_namespace_and_the_next_one(node: Node, namespace: str) -> None:
    """`namespaceSelector` lets others in by their namespace's labels, once it has them."""
    other = f"{namespace}-other"
    node.kube("create", "namespace", other)
    try:
        guests = [{"namespaceSelector": {"matchLabels": {"guests": namespace}}}]
        apply(node, namespace, policy("all", {}, ingress=[{"from": guests}]), server(node, "web"))
        wait_ready(node, namespace, "web")
        url = f"http://{node.get('pod', 'web', '-n', namespace)['status']['podIP']}:8000/hostname"
        apply(node, other, asks(node, "before", url))
        assert output(node, other, "before") == "no\n"
        node.kube("label", "namespace", other, f"guests={namespace}")
        apply(node, other, asks(node, "after", url))
        assert output(node, other, "after") == "200\n"
    finally:
        node.kube("delete", "namespace", other, "--wait=false")


def test_a_pod_that_may_go_nowhere_gets_nowhere_with_its_first_packet(
    node: Node, namespace: str
) -> None:
    """Ten pods try at once, as fast as they start: none slips through before its rules."""
    apply(node, namespace, server(node, "web", WEB), server(node, "open", {"app": "open"}))
    wait_ready(node, namespace, "web", "open")
    address = {
        name: node.get("pod", name, "-n", namespace)["status"]["podIP"] for name in ("web", "open")
    }
    block = {"cidr": "0.0.0.0/0", "except": [f"{address['web']}/32", "10.96.0.0/16"]}
    rules = [{"to": [{"ipBlock": block}]}, DNS]
    closed = {"kind": "closed"}
    apply(node, namespace, policy("closed", closed, egress=rules))
    names = [f"tries-{number}" for number in range(10)]
    urls = [f"http://{address['web']}:8000/hostname", f"http://{address['open']}:8000/hostname"]
    tries = [pod(node, name, ["python3", "-c", FETCH, *urls], closed) for name in names]
    apply(node, namespace, *tries)
    found = {name: output(node, namespace, name).split() for name in names}
    assert set(map(tuple, found.values())) == {("no", "200")}


def test_the_nodes_own_ports_are_behind_policies_too(node: Node, namespace: str) -> None:
    """DNS stays open where it is named; API server and registry are closed."""
    apply(node, namespace, policy("all", {}, egress=[DNS]))
    tries = """
import socket
print(socket.gethostbyname("kubernetes.default.svc"))
for place in (("10.96.0.1", 443), ("198.51.100.10", 5000), ("169.254.169.254", 80)):
    try:
        socket.create_connection(place, timeout=2)
        print("open")
    except OSError:
        print("no")
"""
    apply(node, namespace, pod(node, "tries", ["python3", "-c", tries]))
    assert output(node, namespace, "tries").split() == ["10.96.0.1", "no", "no", "no"]
