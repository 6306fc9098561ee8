"""Ports for servers that only we speak to."""

import socket

from deis_platform.embedded import ports


def test_a_free_port_is_none_that_the_system_gives_to_connections() -> None:
    assert ports.free_port() in ports.QUIET


def test_a_taken_port_is_not_given() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", ports.free_port()))
        taken.listen()
        port = taken.getsockname()[1]
        assert ports.same_or_free(port) != port
