"""Addresses that no image may make us connect to. Pure.

A user names any image, so the platform connects wherever the name leads. The machine itself and
what answers on the link only, the cloud's metadata above all, trust whoever can reach them.
"""

import ipaddress

METADATA = tuple(
    ipaddress.ip_network(text)
    for text in (
        "100.100.100.200/32",  # Alibaba
        "168.63.129.16/32",  # Azure
        "192.0.0.192/32",  # Oracle
        "fd00:ec2::/32",  # Amazon
    )
)
"""Services of clouds about the machine that are not at 169.254.169.254."""
THIS_NETWORK = ipaddress.ip_network("0.0.0.0/8")
"""Linux takes 0.0.0.0 for itself."""
NAT64 = ipaddress.ip_network("64:ff9b::/96")


def forbidden(text: str) -> bool:
    """Whether an address, as the system writes it, is one of those; True for no address."""
    try:
        found = _embedded(ipaddress.ip_address(text))
    except ValueError:
        return True
    return (
        found.is_loopback
        or found.is_link_local
        or found.is_multicast
        or found.is_unspecified
        or found.is_reserved
        or found in THIS_NETWORK
        or any(found in network for network in METADATA)
    )


def _embedded(
    found: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The IPv4 address that an IPv6 address leads to, where it does."""
    if isinstance(found, ipaddress.IPv4Address):
        return found
    if found in NAT64:
        return ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
    return found.ipv4_mapped or found.sixtofour or found
