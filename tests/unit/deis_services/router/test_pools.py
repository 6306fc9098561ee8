"""Which upstream group holds an address (router-upstreams.md)."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deis_services.router.pools import SHARD_MOST, SHARDS, PodPool, PortPool

addresses = st.builds(lambda ip, port: f"{ip}:{port}", st.ip_addresses(v=4), st.integers(1, 65535))


def test_ports_of_the_range_are_targets_as_they_are() -> None:
    pool = PortPool(range(20000, 20100))
    assert pool.target("127.0.0.1:20042") == "20042"
    assert pool.fresh("20042") == "20042"
    for address in ("10.0.0.1:20042", "127.0.0.1:20100", "127.0.0.1:x", "", ":20042"):
        assert pool.target(address) == ""


@given(addresses)
def test_a_pods_target_holds_what_nginx_derives_of_its_address(address: str) -> None:
    shard, ident, held = PodPool().target(address).split(",")
    assert held == address
    assert ident == hashlib.md5(address.encode()).hexdigest()  # noqa: S324 - nginx' own choice
    assert 0 <= int(shard) < SHARDS


@given(st.text(max_size=30))
def test_no_other_text_gets_into_a_target(text: str) -> None:
    target = PodPool().target(text)
    assert target == "" or target.rpartition(",")[2] == text
    assert not set(target) - set("0123456789abcdef,.:")


@pytest.mark.parametrize(
    "address",
    ["1.2.3.4", "1.2.3.4:0", "1.2.3.4:65536", "1.2.3:1", "256.1.1.1:1", "[::1]:80", "a:1"],
)
def test_what_is_no_address_of_a_pod(address: str) -> None:
    assert PodPool().target(address) == ""


def test_a_shard_holds_what_was_put_into_it_and_not_dropped() -> None:
    pool = PodPool()
    targets = [pool.target(f"10.0.{n // 250}.{n % 250}:{5000 + n % 3}") for n in range(600)]
    for target in targets:
        pool.hold(target)
    for target in targets[::2]:
        pool.drop(target)
    held = {
        (shard, f"{host}:{port}")
        for shard in range(SHARDS)
        for port in pool.ports(shard)
        for host in pool.hosts(shard, port)
    }
    assert held == {(int(target.split(",")[0]), target.split(",")[2]) for target in targets[1::2]}
    for target in targets[1::2]:
        pool.drop(target)
    assert not any(pool.ports(shard) for shard in range(SHARDS))


def test_a_shard_is_bounded() -> None:
    pool = PodPool()
    for number in range(SHARD_MOST + 10):
        pool.hold(f"3,{number:032x},10.{number >> 16}.{number >> 8 & 255}.{number & 255}:80")
    assert len(pool.hosts(3, 80)) == SHARD_MOST
