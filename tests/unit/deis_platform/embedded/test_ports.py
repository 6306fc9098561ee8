"""Ports for servers that only we speak to."""

import os
import socket
import subprocess
import sys

import pytest

from deis_platform.embedded import ports


def test_a_free_port_is_none_that_the_system_gives_to_connections() -> None:
    assert ports.free_port() in ports.QUIET


def test_a_taken_port_is_not_given() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", ports.free_port()))
        taken.listen()
        port = taken.getsockname()[1]
        assert ports.same_or_free(port) != port


OTHER = """
import sys
from deis_platform.embedded import ports
ports.QUIET, ports.TRIES = range(int(sys.argv[1]), int(sys.argv[1]) + 1), 1
print(ports.free_port())
"""


def test_a_port_is_given_once_though_nobody_listens_on_it_yet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = ports.free_port()
    monkeypatch.setattr(ports, "QUIET", range(given, given + 1))
    monkeypatch.setattr(ports, "TRIES", 1)
    assert ports.free_port() != given
    told = subprocess.run(
        [sys.executable, "-c", OTHER, str(given)], check=True, capture_output=True
    )
    assert int(told.stdout) != given


def test_not_every_port_ever_given_is_remembered() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(2 * ports.CLAIMS):
        ports.free_port()
    assert len(os.listdir("/proc/self/fd")) <= before + ports.CLAIMS
