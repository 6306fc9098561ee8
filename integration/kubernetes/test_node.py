"""The test node is what it says: a cluster in which pods find, reach and are kept from each other.

None of it is about the platform; when these fail, no other test of this folder says anything.
"""

import json

import pytest

from integration.cluster.image import base_image
from integration.cluster.layout import HOST_ADDRESS, LOAD_BALANCERS, NODE, NODE_ADDRESS
from integration.cluster.node import Node
from integration.kubernetes.pods import (
    answers,
    apply,
    output,
    pod,
    server,
    service,
    wait_ready,
)
from integration.kubernetes.waiting import until

pytestmark = [pytest.mark.kubernetes, pytest.mark.own_node, pytest.mark.timeout(180)]

RESOLVE = """
import socket, sys
for name in sys.argv[1:]:
    try:
        print(name, socket.gethostbyname(name))
    except OSError:
        print(name, "unknown")
"""


def conditions(node: Node) -> dict[str, str]:
    status = node.get("node", NODE)["status"]
    return {one["type"]: one["status"] for one in status["conditions"]}


def test_ready_without_pressure(node: Node) -> None:
    found = conditions(node)
    assert found["Ready"] == "True"
    assert found["DiskPressure"] == found["MemoryPressure"] == found["PIDPressure"] == "False"


def test_names_of_the_cluster_resolve_and_no_others(node: Node, namespace: str) -> None:
    names = ["kubernetes.default.svc", "web", f"web.{namespace}.svc.cluster.local", "example.com"]
    apply(
        node,
        namespace,
        service("web", {"app": "web"}, clusterIP="10.96.77.77"),
        pod(node, "asks", ["python3", "-c", RESOLVE, *names]),
    )
    assert output(node, namespace, "asks").splitlines() == [
        "kubernetes.default.svc 10.96.0.1",
        "web 10.96.77.77",
        f"web.{namespace}.svc.cluster.local 10.96.77.77",
        "example.com unknown",
    ]


def test_pods_reach_the_api_server_and_this_machine_and_nothing_outside(
    node: Node, namespace: str
) -> None:
    tries = """
import socket, sys
for place in sys.argv[1:]:
    host, port = place.split(":")
    try:
        socket.create_connection((host, int(port)), timeout=3)
        print("open")
    except OSError as fault:
        print(fault.strerror)
"""
    places = ["10.96.0.1:443", f"{HOST_ADDRESS}:1", f"{LOAD_BALANCERS[-1]}:1", "192.0.2.1:80"]
    apply(node, namespace, pod(node, "asks", ["python3", "-c", tries, *places]))
    assert output(node, namespace, "asks").splitlines() == [
        "open",
        "Connection refused",
        "Connection refused",
        "Network is unreachable",
    ]


def test_metrics_of_node_and_pods(node: Node, namespace: str) -> None:
    apply(node, namespace, server(node, "web"))
    wait_ready(node, namespace, "web")
    path = f"/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods"

    def measured() -> bool:
        return bool(json.loads(node.kube("get", "--raw", path))["items"])

    until(measured, "metrics of a new pod", 60)
    assert "web" in node.kube("-n", namespace, "top", "pod", "--no-headers")
    assert NODE in node.kube("top", "node", "--no-headers")


def test_a_load_balancer_and_a_node_port_answer_this_machine(node: Node, namespace: str) -> None:
    labels = {"app": "web"}
    apply(
        node,
        namespace,
        server(node, "web", labels),
        service("balanced", labels, type="LoadBalancer"),
        service("ported", labels, type="NodePort"),
    )
    wait_ready(node, namespace, "web")

    def ingress() -> list[dict[str, str]]:
        found = node.get("service", "balanced", "-n", namespace)["status"]["loadBalancer"]
        return list(found.get("ingress", []))

    until(lambda: bool(ingress()), "an address for the LoadBalancer")
    address = ingress()[0]["ip"]
    assert address in LOAD_BALANCERS
    until(lambda: answers(f"http://{address}/hostname"), "an answer of the LoadBalancer")
    port = node.get("service", "ported", "-n", namespace)["spec"]["ports"][0]["nodePort"]
    until(lambda: answers(f"http://{NODE_ADDRESS}:{port}/hostname"), "an answer of the NodePort")

    node.kube(
        "-n", namespace, "patch", "service", "balanced", "-p", '{"spec":{"type":"ClusterIP"}}'
    )
    until(lambda: not ingress(), "the address given back")


def test_an_image_of_the_registry(node: Node, namespace: str) -> None:
    image = node.push_image(base_image(print), f"{namespace}:1")
    says = ["python3", "-c", "print('pulled')"]
    apply(node, namespace, pod(node, "says", says, image=image, imagePullPolicy="Always"))
    assert output(node, namespace, "says") == "pulled\n"
    pulled = node.get("events", "-n", namespace)["items"]
    assert any(f'Successfully pulled image "{image}"' in one["message"] for one in pulled)


@pytest.mark.disturbs
@pytest.mark.usefixtures("steadied")
def test_pods_outlive_kubelet_and_containerd(node: Node, namespace: str) -> None:
    apply(node, namespace, server(node, "web"))
    wait_ready(node, namespace, "web")
    before = node.get("pod", "web", "-n", namespace)["status"]
    programs = node.programs()
    says = ("-n", namespace, "exec", "web", "--", "cat", "/etc/hostname")
    for name in ("kubelet", "containerd"):
        programs.end(name)
        assert answers(f"http://{before['podIP']}:8000/hostname")
        programs.start_again(name)
        until(lambda: node.tries(*says), f"exec after the restart of {name}")
        until(lambda: conditions(node)["Ready"] == "True", "a ready node")
    after = node.get("pod", "web", "-n", namespace)["status"]
    assert after["podIP"] == before["podIP"]
    assert after["containerStatuses"][0]["restartCount"] == 0


@pytest.mark.disturbs
@pytest.mark.usefixtures("steadied")
def test_the_api_server_killed_and_started_again(node: Node, namespace: str) -> None:
    programs = node.programs()
    programs.end("kube-apiserver")
    assert not node.tries("get", "--raw=/readyz")
    programs.start_again("kube-apiserver")
    until(lambda: node.tries("get", "--raw=/readyz"), "the API server")
    apply(node, namespace, pod(node, "says", ["echo", "there"]))
    assert output(node, namespace, "says") == "there\n"
