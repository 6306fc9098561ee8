"""Ports of instances: in turn, never somebody else's, to another application only when dropped."""

import socket
from collections.abc import Iterator

import pytest

from deis_services.runtime.ports import NoPort, PortPool, is_free


@pytest.fixture
def ports() -> Iterator[range]:
    """Three ports in a row that nobody listens on."""
    for first in range(11_000, 19_000, 3):
        found = range(first, first + 3)
        if all(map(is_free, found)):
            yield found
            return
    raise AssertionError("no three ports")


class Routers:
    """How far they are."""

    revision = 0

    def dropped(self, revision: int) -> bool:
        return self.revision >= revision


def test_ports_are_handed_out_in_turn_until_none_is_left(ports: range) -> None:
    pool = PortPool(ports, Routers().dropped)
    assert [pool.take("a") for _ in ports] == [*ports]
    with pytest.raises(NoPort, match=f"no port from {ports[0]} to {ports[-1]} is free"):
        pool.take("a")
    pool.give_back(ports[1], "a", 0)
    assert pool.take("b") == ports[1]


def test_another_application_waits_until_the_routers_dropped_it(ports: range) -> None:
    routers = Routers()
    pool = PortPool(ports[:1], routers.dropped)
    port = pool.take("a")
    pool.give_back(port, "a", 7)
    with pytest.raises(NoPort):
        pool.take("b")
    assert pool.take("a") == port
    pool.give_back(port, "a", 7)
    routers.revision = 7
    assert pool.take("b") == port


def test_a_port_that_somebody_listens_on_is_left_out(ports: range) -> None:
    pool = PortPool(ports, Routers().dropped)
    with socket.socket() as other:
        other.bind(("0.0.0.0", ports[0]))  # noqa: S104 - any address, so ours too
        other.listen(1)
        assert not is_free(ports[0])
        assert pool.take("a") == ports[1]
    assert is_free(ports[0])
