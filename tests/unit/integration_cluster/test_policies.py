"""NetworkPolicies as rules of nftables, piece by piece."""

from typing import Any

from integration.cluster.policies import Pod, Port, pods_of, ruleset

WEB = Pod("shop", {"app": "web"}, "10.244.0.5", (Port("TCP", 8000, "http"),))
DB = Pod("shop", {"app": "db"}, "10.244.0.6", (Port("TCP", 5432, "sql"),))
OTHER = Pod("yard", {"app": "web"}, "10.244.0.7")
PODS = (WEB, DB, OTHER)
NAMESPACES = {"shop": {"team": "a"}, "yard": {"team": "b"}, "kube-system": {"name": "system"}}


def policy(labels: dict[str, str], **spec: Any) -> dict[str, Any]:
    kinds = [kind for kind in ("Ingress", "Egress") if kind.lower() in spec]
    selector = {"matchLabels": labels}
    return {
        "metadata": {"namespace": "shop", "name": "one"},
        "spec": {"podSelector": selector, "policyTypes": kinds, **spec},
    }


def chain(name: str, *policies: dict[str, Any]) -> list[str] | None:
    """The lines of one chain; None when there is no such chain."""
    text = ruleset(policies, PODS, NAMESPACES)
    start = f"chain {name} {{\n"
    if start not in text:
        return None
    return text.partition(start)[2].partition("\n}")[0].splitlines()


def ingress(*rules: dict[str, Any]) -> list[str]:
    """What is allowed to WEB beside itself; the rest is dropped."""
    lines = chain("ingress-10-244-0-5", policy({"app": "web"}, ingress=list(rules)))
    assert lines is not None
    assert lines[0] == "ip saddr 10.244.0.5 return"
    assert lines[-1] == "drop"
    return [" ".join(line.split()) for line in lines[1:-1]]


def egress(*rules: dict[str, Any]) -> list[str]:
    """What WEB is allowed beside itself."""
    lines = chain("egress-10-244-0-5", policy({"app": "web"}, egress=list(rules)))
    assert lines is not None
    assert lines[-1] == "drop"
    return [" ".join(line.split()) for line in lines[1:-1]]


def test_without_policies_nothing_is_judged() -> None:
    text = ruleset([], PODS, NAMESPACES)
    assert "drop" not in text
    assert "jump ingress" not in text


def test_only_selected_pods_of_the_namespace_and_only_named_directions() -> None:
    closed = policy({"app": "web"}, ingress=[])
    assert chain("ingress-10-244-0-5", closed) == ["ip saddr 10.244.0.5 return", "drop"]
    assert chain("egress-10-244-0-5", closed) is None
    assert chain("ingress-10-244-0-6", closed) is None
    assert chain("ingress-10-244-0-7", closed) is None


def test_both_ends_of_a_packet_are_judged() -> None:
    text = ruleset([policy({}, ingress=[], egress=[])], PODS, NAMESPACES)
    assert "ip saddr vmap { 10.244.0.5 : jump egress-10-244-0-5, 10.244.0.6" in text
    assert "ip daddr vmap { 10.244.0.5 : jump ingress-10-244-0-5, 10.244.0.6" in text


def test_the_table_is_put_in_place_whole() -> None:
    lines = ruleset([], [], {}).splitlines()
    assert lines[:2] == ["table ip deis-policies {}", "delete table ip deis-policies"]


def test_rules_of_several_policies_add_up() -> None:
    one = policy({"app": "web"}, ingress=[{"ports": [{"port": 80}]}])
    two = policy({}, ingress=[{"ports": [{"port": 81}]}])
    lines = chain("ingress-10-244-0-5", one, two)
    assert lines is not None
    assert lines[1:] == ["tcp dport 80 return", "tcp dport 81 return", "drop"]


def test_everybody() -> None:
    assert ingress({}) == ["return"]


def test_pods_of_the_same_namespace() -> None:
    found = ingress({"from": [{"podSelector": {"matchLabels": {"app": "db"}}}]})
    assert found == ["ip saddr 10.244.0.6 return"]


def test_pods_of_other_namespaces() -> None:
    team = {"matchLabels": {"team": "b"}}
    assert ingress({"from": [{"namespaceSelector": team}]}) == ["ip saddr 10.244.0.7 return"]
    both = {"namespaceSelector": team, "podSelector": {"matchLabels": {"app": "db"}}}
    assert ingress({"from": [both]}) == []


def test_a_block_with_holes() -> None:
    block = {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16", "10.2.0.0/16"]}
    assert ingress({"from": [{"ipBlock": block}], "ports": [{"port": 80}]}) == [
        "ip saddr 10.0.0.0/8 ip saddr != { 10.1.0.0/16, 10.2.0.0/16 } tcp dport 80 return"
    ]


def test_a_block_of_ipv6_and_one_that_names_a_host() -> None:
    far = {"ipBlock": {"cidr": "::/0", "except": ["fc00::/7"]}}
    near = {"ipBlock": {"cidr": "10.1.2.3/8"}}
    assert egress({"to": [far, near]}) == ["ip daddr 10.0.0.0/8 return"]
    assert egress({"to": [far]}) == []


def test_ports_by_number_range_protocol_and_name() -> None:
    ports = [
        {"port": 80},
        {"port": 90, "endPort": 99},
        {"protocol": "UDP", "port": 53},
        {"protocol": "UDP"},
        {"port": "http"},
        {"port": "unknown"},
        {"protocol": "UDP", "port": "http"},
    ]
    assert ingress({"ports": ports}) == [
        "tcp dport 80 return",
        "tcp dport 90-99 return",
        "udp dport 53 return",
        "meta l4proto udp return",
        "tcp dport 8000 return",
    ]


def test_a_name_on_the_way_out_is_that_of_the_other_pods_port() -> None:
    db = {"podSelector": {"matchLabels": {"app": "db"}}}
    assert egress({"to": [db], "ports": [{"port": "sql"}, {"port": "http"}]}) == [
        "ip daddr 10.244.0.6 tcp dport 5432 return"
    ]


def test_dns_is_open_where_it_is_meant_and_nothing_else_of_the_node() -> None:
    dns = {"namespaceSelector": {}, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}
    node = "ip daddr 198.51.100.10"
    both = [f"{node} udp dport 53 return", f"{node} tcp dport 53 return"]
    assert egress({"to": [dns]}) == both
    assert egress({"to": [dns], "ports": [{"port": 443}, {"protocol": "UDP", "port": 53}]}) == [
        both[0]
    ]
    assert egress({"to": [dns], "ports": [{"protocol": "UDP", "port": "dns"}]}) == [both[0]]


def pod(uid: str, address: str = "", **more: Any) -> dict[str, Any]:
    return {
        "metadata": {"uid": uid, "labels": {"app": uid}},
        "spec": {"containers": [{"ports": [{"containerPort": 80}]}], **more.get("spec", {})},
        "status": {"podIP": address, "phase": more.get("phase", "Running")},
    }


def test_which_pods_there_are() -> None:
    objects = {
        ("shop", "runs"): pod("runs", "10.244.0.5"),
        ("shop", "starts"): pod("starts"),
        ("shop", "waits"): pod("waits"),
        ("shop", "ended"): pod("ended", "10.244.0.8", phase="Succeeded"),
        ("shop", "host"): pod("host", "198.51.100.10", spec={"hostNetwork": True}),
    }
    found = pods_of(objects, {"starts": "10.244.0.6"})
    assert [(one.labels["app"], one.address) for one in found] == [
        ("runs", "10.244.0.5"),
        ("starts", "10.244.0.6"),
    ]
    assert found[0].ports == (Port("TCP", 80),)
