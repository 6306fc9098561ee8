"""The node's network namespace: one veth pair to the host, no default route, no way out.

Inside, every address of OUTSIDE is the node's own, so that what is sent to a LoadBalancer or to
a wrong address ends here, kube-proxy or not. The host routes that range, Services and pods
through its end of the pair. Deleting the namespace takes links, routes and rules with it.
"""

import ipaddress
import json
from pathlib import Path

from integration.cluster.commands import inside, run
from integration.cluster.errors import ClusterError
from integration.cluster.layout import (
    HOST_ADDRESS,
    HOST_LINK,
    NODE_ADDRESS,
    NODE_LINK,
    OUTSIDE,
    PODS,
    SERVICES,
    UPLINK_ADDRESS,
)

RANGES = (OUTSIDE, SERVICES, PODS)


def check_free() -> None:
    """Raises ClusterError when something else uses the node's ranges or its link's name."""
    if is_joined():
        raise ClusterError(f"there is a network link {HOST_LINK} of another node: end that first")
    for route in json.loads(run("ip", "-json", "route", "show", "table", "all").stdout):
        if taken := _overlap(str(route["dst"])):
            raise ClusterError(
                f"this machine has a route to {route['dst']}: the node needs {taken}"
            )


def is_joined() -> bool:
    """Whether the host's end of the pair is there."""
    return run("ip", "link", "show", HOST_LINK, check=False).returncode == 0


def part() -> None:
    """Take the pair away, and the host's routes with it."""
    if is_joined():
        # It may go by itself meanwhile, when its namespace has just ended.
        run("ip", "link", "delete", HOST_LINK, check=False)


def _overlap(destination: str) -> str:
    try:
        found = ipaddress.ip_network(destination)
    except ValueError:
        return ""  # "default"
    if not isinstance(found, ipaddress.IPv4Network) or found.prefixlen == 0:
        return ""
    return next((str(ours) for ours in RANGES if ours.overlaps(found)), "")


def make(net: Path) -> None:
    """Make the namespace, to be entered by the file `net`, and join it to the host."""
    net.touch(mode=0o600)
    run("unshare", f"--net={net}", "--", "true")
    run(*_link("add", HOST_LINK, "type", "veth", "peer", "name", NODE_LINK, "netns", net))
    run("ip", "address", "add", f"{HOST_ADDRESS}/30", "dev", HOST_LINK)
    run(*_link("set", HOST_LINK, "up"))
    _make_inside(net)
    for reached in RANGES:
        to = ["to", str(reached), "via", UPLINK_ADDRESS, "src", HOST_ADDRESS]
        run("ip", "route", "add", *to)


def _make_inside(net: Path) -> None:
    for argv in (
        _link("set", "lo", "up"),
        ["ip", "address", "add", f"{UPLINK_ADDRESS}/30", "dev", NODE_LINK],
        _link("set", NODE_LINK, "up"),
        ["ip", "address", "add", f"{NODE_ADDRESS}/32", "dev", "lo"],
        ["ip", "route", "add", "local", str(OUTSIDE), "dev", "lo"],
        # Without a route, what the node itself sends to a Service would end before kube-proxy's
        # rules see it. What they do not translate ends on the loopback.
        ["ip", "route", "add", str(SERVICES), "dev", "lo", "src", NODE_ADDRESS],
    ):
        run(*inside(net, argv))
    for setting in ("net.ipv4.ip_forward=1", "net.bridge.bridge-nf-call-iptables=1"):
        run(*inside(net, ["sysctl", "-q", "-w", setting]))


def _link(*words: str | Path) -> list[str | Path]:
    return ["ip", "link", *words]
