"""Whose program listens on a port, by the kernel's own table and against real sockets."""

import os
import socket

import pytest

from deis_services.runtime.listeners import listening, strangers

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout"
ROW = "   0: {0}:5DC0 00000000:0000 {1} 00000000:00000000 00:00000000 00000000 {2}        0 1 1"
ZERO = "0" * 32


@pytest.mark.parametrize(
    ("row", "users"),
    [
        (ROW.format("0100007F", "0A", 7), {7}),
        (ROW.format("00000000", "0A", 7), {7}),
        (ROW.format(ZERO, "0A", 7), {7}),
        (ROW.format("0000000000000000FFFF00000100007F", "0A", 7), {7}),
        (ROW.format("0200007F", "0A", 7), set()),  # 127.0.0.2
        (ROW.format("0100007F", "01", 7), set()),  # a connection
        (ROW.format("0100007F", "0A", 7).replace("5DC0", "5DC1"), set()),
    ],
)
def test_who_takes_connections(row: str, users: set[int]) -> None:
    assert listening(0x5DC0, [f"{HEAD}\n{row}\n"]) == users


@pytest.mark.parametrize(
    ("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET, ""), (socket.AF_INET6, "")]
)
def test_a_real_listener(family: socket.AddressFamily, host: str) -> None:
    with socket.socket(family) as ours:
        ours.bind((host, 0))
        port = ours.getsockname()[1]
        assert not strangers(port, 12345)  # bound is not listening
        ours.listen()
        assert not strangers(port, -1)
        assert not strangers(port, os.geteuid())
        assert strangers(port, os.geteuid() + 1)
