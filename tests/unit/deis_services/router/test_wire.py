"""How a host is written for nginx."""

import ipaddress

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from deis_services.router.model import Site
from deis_services.router.policy import NOBODY
from deis_services.router.wire import PIECE, Line, Piece, Value, allowed, api_line, line, pieces

PLAIN = Site(
    app="blog", targets=("20001", "20002"), maintenance=False, enforce_https=False, allow=None,
    retry_writes=False, tls=True, fingerprint="",
)  # fmt: skip


def test_a_plain_host_is_its_ports() -> None:
    assert line("h", PLAIN) == Line("h", "", ("20001", "20002"))


def test_flags_stand_before_the_target() -> None:
    site = replace(PLAIN, tls=False, retry_writes=True, enforce_https=True, allow=("10.0.0.0/8",))
    assert line("h", site) == Line("h", "nwea:blog:", ("20001", "20002"))


def test_maintenance_hides_the_instances() -> None:
    assert line("h", replace(PLAIN, maintenance=True)).targets == ("M",)


def test_nothing_up_nobodys_and_the_api() -> None:
    assert line("h", replace(PLAIN, targets=())).targets == ("U",)
    assert line("h", None).targets == ()
    assert api_line("h").targets == ("G",)


def test_on_kubernetes_every_value_names_its_application() -> None:
    assert line("h", PLAIN, named=True).prefix == ":blog:"
    assert line("h", replace(PLAIN, profile=12, tls=False), named=True).prefix == "np12:blog:"
    assert line("h", replace(PLAIN, allow=()), named=True).prefix == "a:blog:"


def test_longer_paths_of_others_come_first() -> None:
    other = replace(PLAIN, targets=("20009",), enforce_https=True)
    site = replace(PLAIN, grafts=(("/a", other), ("/a/b", replace(other, targets=()))))
    found = line("h", site)
    assert found.prefix == "g"
    assert found.grafts == (("/a/b", Value("e", ("U",))), ("/a", Value("e", ("20009",))))


def test_hosts_with_many_instances_are_spread_over_requests() -> None:
    targets = tuple(f"1,{n:032x},10.0.0.1:{n}" for n in range(512))
    lines = [Line(f"h{n}", ":blog:", targets) for n in range(PIECE)]
    parts = list(pieces(Piece(lines=lines)))
    assert [row for part in parts for row in part.lines] == lines
    assert max(len(msgspec.json.encode(part)) for part in parts) < 8 * 1024 * 1024


def test_a_list_of_bad_networks_lets_nobody_in() -> None:
    assert allowed(("x", "10.0.0.0/99")) == ("", ["x", "10.0.0.0/99"])
    assert allowed((NOBODY,)) == ("", [])
    assert allowed(("10.0.0.1",))[0] == "4:" + format(0x0A000001, "032b")
    assert allowed(("0.0.0.0/0", "::/0"))[0] == "4: 6:"


@given(st.ip_addresses(v=4), st.ip_addresses(v=4), st.integers(0, 32))
def test_a_prefix_matches_as_its_network_does(
    visitor: ipaddress.IPv4Address, base: ipaddress.IPv4Address, length: int
) -> None:
    text, bad = allowed((f"{base}/{length}",))
    network = ipaddress.ip_network(f"{base}/{length}", strict=False)
    assert not bad
    assert f"4:{int(visitor):032b}".startswith(text) == (visitor in network)


def test_pieces_are_bounded_and_in_order() -> None:
    lines = [Line(f"h{n}", "", ()) for n in range(2 * PIECE + 1)]
    parts = list(pieces(Piece(allow={"a": "4:"}, pem={"h1": None}, lines=lines)))
    assert [len(part.lines) for part in parts] == [0, 0, PIECE, PIECE, 1]
    assert parts[0].allow
    assert parts[1].pem == {"h1": None}


def test_large_certificates_are_spread_over_requests_that_nginx_takes() -> None:
    line = "x" * 63 + "\n"
    pem: dict[str, str | None] = {f"h{number}": line for number in range(10)}
    pem |= {f"l{number}": line * 1024 for number in range(PIECE)}
    parts = [part.pem for part in pieces(Piece(pem=pem))]
    assert {host: text for part in parts for host, text in part.items()} == pem
    assert max(len(msgspec.json.encode(part)) for part in parts) < 8 * 1024 * 1024
