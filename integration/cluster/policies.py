"""NetworkPolicies as one nftables table: pure rules from objects to text.

A pod that a policy selects gets a chain for each direction the policies speak of: what they
allow returns from it, the rest is dropped. Packets are seen where they are forwarded, or come in
for the node, after kube-proxy has put a pod's address in place of a Service's. What the node
itself sends (probes) passes no such place, as Kubernetes wants it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

from integration.cluster.api import Key, Object
from integration.cluster.layout import NODE_ADDRESS
from integration.cluster.selectors import Labels, matches

TABLE = "deis-policies"
_ENDED = ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class Port:
    """A port that a pod serves."""

    protocol: str
    number: int
    name: str = ""


@dataclass(frozen=True, slots=True)
class Pod:
    """What policies ask of a pod."""

    namespace: str
    labels: Labels
    address: str
    ports: tuple[Port, ...] = ()
    closed: bool = False
    """Nothing but `ports` belongs to it."""


DNS = Pod(
    namespace="kube-system",
    labels={"k8s-app": "kube-dns"},
    address=NODE_ADDRESS,
    ports=(Port("UDP", 53, "dns"), Port("TCP", 53, "dns-tcp")),
    closed=True,
)
"""The cluster's DNS is a program of the node; policies know it as pods with this label."""


@dataclass(frozen=True, slots=True)
class Direction:
    """The half of a policy that is looked at."""

    kind: str
    rules: str
    peers: str
    address: str
    """Of the packet: that of the peer."""


INGRESS = Direction("Ingress", "ingress", "from", "saddr")
EGRESS = Direction("Egress", "egress", "to", "daddr")


def pods_of(objects: Mapping[Key, Object], early: Mapping[str, str]) -> list[Pod]:
    """Pods that have a network of their own; `early` has addresses by uid that no status has yet."""
    found = []
    for (namespace, _), one in objects.items():
        address = early.get(one["metadata"]["uid"]) or one.get("status", {}).get("podIP")
        ended = one.get("status", {}).get("phase") in _ENDED
        if address and not ended and not one["spec"].get("hostNetwork"):
            labels = one["metadata"].get("labels") or {}
            found.append(Pod(namespace, labels, address, _ports(one)))
    return found


def _ports(pod: Object) -> tuple[Port, ...]:
    return tuple(
        Port(port.get("protocol", "TCP"), port["containerPort"], port.get("name", ""))
        for container in pod["spec"]["containers"]
        for port in container.get("ports") or []
    )


def ruleset(
    policies: Iterable[Object], pods: Sequence[Pod], namespaces: Mapping[str, Labels]
) -> str:
    """What nft reads to put the whole table in place of what was there, in one step.

    `namespaces` are their labels by name.
    """
    chains: list[str] = []
    jumps: dict[str, list[str]] = {"saddr": [], "daddr": []}
    peers = [*pods, DNS]
    homes: dict[str, list[Object]] = {}
    for policy in policies:
        homes.setdefault(policy["metadata"]["namespace"], []).append(policy)
    for direction, own in ((INGRESS, "daddr"), (EGRESS, "saddr")):
        for pod in pods:
            lines = _allowed(direction, pod, homes.get(pod.namespace, []), peers, namespaces)
            if lines is not None:
                name = f"{direction.rules}-{pod.address.replace('.', '-')}"
                jumps[own].append(f"{pod.address} : jump {name}")
                chains.append(_chain(name, [*lines, "drop"]))
    judged = ["ct state established,related accept"]
    for field, verdicts in jumps.items():
        if verdicts:
            judged.append(f"ip {field} vmap {{ {', '.join(verdicts)} }}")
    chains.append(_chain("judge", judged))
    for hook in ("forward", "input"):
        where = f"type filter hook {hook} priority -5; policy accept;"
        chains.append(_chain(hook, [where, "jump judge"]))
    body = "\n".join(chains)
    return f"table ip {TABLE} {{}}\ndelete table ip {TABLE}\ntable ip {TABLE} {{\n{body}\n}}\n"


def _chain(name: str, lines: Sequence[str]) -> str:
    return "\n".join([f"chain {name} {{", *lines, "}"])


def _allowed(
    direction: Direction,
    pod: Pod,
    policies: Sequence[Object],
    peers: Sequence[Pod],
    namespaces: Mapping[str, Labels],
) -> list[str] | None:
    """What may pass by the policies of the pod's namespace; None when none speaks of it."""
    ours = [one for one in policies if _selects(one, pod, direction)]
    if not ours:
        return None
    lines = [f"ip {direction.address} {pod.address} return"]  # through a Service, to itself
    for policy in ours:
        home = policy["metadata"]["namespace"]
        for rule in policy["spec"].get(direction.rules) or []:
            lines += _rule(direction, rule, pod, _Peers(peers, namespaces, home))
    return lines


def _selects(policy: Object, pod: Pod, direction: Direction) -> bool:
    spec = policy["spec"]
    spoken_of = direction.kind in spec["policyTypes"]  # the API server fills it in
    return spoken_of and matches(spec.get("podSelector") or {}, pod.labels)


@dataclass(frozen=True, slots=True)
class _Peers:
    """The pods there are, as a policy of namespace `home` sees them."""

    pods: Sequence[Pod]
    namespaces: Mapping[str, Labels]
    home: str

    def selected(self, peer: Mapping[str, Any]) -> list[Pod]:
        """Those that one entry of `from` or `to` means."""
        labels = peer.get("podSelector") or {}
        return [
            pod
            for pod in self.pods
            if self._in_namespace(peer, pod) and matches(labels, pod.labels)
        ]

    def _in_namespace(self, peer: Mapping[str, Any], pod: Pod) -> bool:
        if peer.get("namespaceSelector") is None:
            return pod.namespace == self.home
        return matches(peer["namespaceSelector"], self.namespaces.get(pod.namespace, {}))


def _rule(direction: Direction, rule: Mapping[str, Any], pod: Pod, peers: _Peers) -> list[str]:
    asked = rule.get("ports") or []
    if not rule.get(direction.peers):
        return [f"{port} return" for port in _port_matches(asked, pod, direction)]
    lines = []
    for peer in rule[direction.peers]:
        if block := peer.get("ipBlock"):
            if not (where := _block(direction, block)):
                continue
            lines += [f"{where} {port} return" for port in _port_matches(asked, pod, direction)]
            continue
        for other in peers.selected(peer):
            where = f"ip {direction.address} {other.address}"
            served = pod if direction is INGRESS else other
            lines += [f"{where} {port} return" for port in _matches_of(asked, served, other)]
    return lines


def _block(direction: Direction, block: Mapping[str, Any]) -> str:
    """One `ipBlock`; "" for one of IPv6, which no pod here speaks."""
    network, *holes = (ip_network(one, strict=False) for one in _networks(block))
    if network.version != 4:
        return ""
    field = f"ip {direction.address}"
    without = f" {field} != {{ {', '.join(map(str, holes))} }}" if holes else ""
    return f"{field} {network}{without}"


def _networks(block: Mapping[str, Any]) -> list[str]:
    return [block["cidr"], *(block.get("except") or [])]


def _port_matches(asked: Sequence[Mapping[str, Any]], pod: Pod, direction: Direction) -> list[str]:
    """Towards anybody: names of ports say something only of the pod's own."""
    named = pod.ports if direction is INGRESS else ()
    return [""] if not asked else [text for one in asked for text in _match(one, named)]


def _matches_of(asked: Sequence[Mapping[str, Any]], served: Pod, peer: Pod) -> list[str]:
    if not peer.closed:
        return [""] if not asked else [text for one in asked for text in _match(one, served.ports)]
    every = [_exactly(port) for port in peer.ports]
    if not asked:
        return every
    return [text for one in asked for text in _match(one, peer.ports) if text in every]


def _match(port: Mapping[str, Any], named: Sequence[Port]) -> list[str]:
    """One entry of `ports`: a number, a range, a name, or a whole protocol."""
    protocol, number = port.get("protocol", "TCP"), port.get("port")
    if number is None:
        return [f"meta l4proto {protocol.lower()}"]
    if isinstance(number, str):
        known = [one for one in named if one.name == number and one.protocol == protocol]
        return [_exactly(one) for one in known]
    last = port.get("endPort")
    return [f"{protocol.lower()} dport {number}{f'-{last}' if last else ''}"]


def _exactly(port: Port) -> str:
    return f"{port.protocol.lower()} dport {port.number}"
