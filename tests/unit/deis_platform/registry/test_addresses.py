"""Where no image may make us connect to."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deis_platform.registry.addresses import forbidden


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1",
        "127.8.9.1",
        "0.0.0.0",  # noqa: S104 - nothing listens there
        "0.1.2.3",
        "169.254.169.254",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "ff02::1",
        "fd00:ec2::254",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::169.254.169.254",
        "2002:7f00:1::",
        "",
        "localhost",
        "127.1",
    ],
)
def test_closed(text: str) -> None:
    assert forbidden(text)


@pytest.mark.parametrize(
    "text",
    [
        "93.184.216.34",
        "10.0.0.1",
        "172.16.3.4",
        "192.168.1.9",
        "100.64.0.1",
        "198.51.100.10",
        "2606:4700::1111",
        "fd12:3456::1",
        "64:ff9b::93.184.216.34",
    ],
)
def test_open(text: str) -> None:
    assert not forbidden(text)


@given(st.ip_addresses(v=4))
def test_an_address_within_another_counts(address: ipaddress.IPv4Address) -> None:
    closed = forbidden(str(address))
    assert forbidden(f"::ffff:{address}") == closed
    assert forbidden(f"64:ff9b::{address}") == closed
