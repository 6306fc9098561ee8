"""The zone of pods as DNS messages (RFC 1035, RFC 2782)."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deis_services.router import zone
from deis_services.router.pools import PodPool

A, SRV, AAAA = 1, 33, 28


def query(name: str, kind: int, *, family: int = 1, flags: int = 0x0100, count: int = 1) -> bytes:
    labels = b"".join(bytes([len(word)]) + word.encode() for word in name.split(".") if word)
    head = struct.pack("!6H", 0xBEEF, flags, count, 0, 0, 0)
    return head + labels + b"\0" + struct.pack("!2H", kind, family)


def name_at(message: bytes, at: int) -> tuple[str, int]:
    if message[at] >= 0xC0:
        return name_at(message, struct.unpack_from("!H", message, at)[0] & 0x3FFF)[0], at + 2
    words = []
    while length := message[at]:
        words.append(message[at + 1 : at + 1 + length].decode())
        at += 1 + length
    return ".".join(words), at + 1


def records(message: bytes) -> list[tuple[str, int, int, bytes, int]]:
    """Name, type, seconds, data and where the data begins of each answer."""
    count = struct.unpack_from("!6H", message)[3]
    at = name_at(message, 12)[1] + 4
    found = []
    for _ in range(count):
        name, at = name_at(message, at)
        kind, _, seconds, length = struct.unpack_from("!HHIH", message, at)
        found.append((name, kind, seconds, message[at + 10 : at + 10 + length], at + 10))
        at += 10 + length
    assert at == len(message)
    return found


def pool(*addresses: str) -> tuple[PodPool, int]:
    """A pool with these in one shard."""
    held = PodPool()
    for address in addresses:
        held.hold(f"17,{'0' * 32},{address}")
    return held, 17


def ask(held: PodPool, name: str, kind: int, most: int = zone.UDP_BYTES) -> bytes:
    return zone.answer(query(name, kind), held, most)


def test_a_shard_tells_its_ports_and_each_port_its_hosts() -> None:
    held, _ = pool("10.0.0.1:5000", "10.0.0.2:5000", "10.0.0.3:8080")
    told = {}
    message = ask(held, "_http._tcp.g17.pool", SRV)
    for name, kind, _seconds, data, at in records(message):
        assert (name, kind) == ("_http._tcp.g17.pool", SRV)
        port = struct.unpack("!3H", data[:6])[2]
        told[port] = name_at(message, at + 6)[0]
    assert set(told) == {5000, 8080}
    hosts = {
        port: {".".join(map(str, data)) for _, _, _, data, _ in records(ask(held, name, A))}
        for port, name in told.items()
    }
    assert hosts == {5000: {"10.0.0.1", "10.0.0.2"}, 8080: {"10.0.0.3"}}


def test_an_empty_shard_names_nobody_and_nobody_has_an_address() -> None:
    message = ask(PodPool(), "_http._tcp.g0.pool", SRV)
    [(_, _, _, _, at)] = records(message)
    name = name_at(message, at + 6)[0]
    [(_, _, seconds, data, _)] = records(ask(PodPool(), name, A))
    assert data == bytes([127, 0, 0, 1])
    assert seconds > 3600


def test_names_are_taken_in_any_case() -> None:
    held, _ = pool("10.0.0.1:80")
    assert len(records(ask(held, "P80.G17.Pool", A))) == 1


@pytest.mark.parametrize(
    "name",
    ["example.com", "pool", "g17.pool", "_http._tcp.g128.pool", "_http._tcp.gx.pool", "p80.g999.pool",
     "_ftp._tcp.g1.pool", "_http._tcp.g17.pool.org", "kubernetes.default.svc.cluster.local", ""],
)  # fmt: skip
def test_other_names_are_refused(name: str) -> None:
    message = ask(PodPool(), name, A)
    assert struct.unpack_from("!6H", message)[1] & 0xF == 5
    assert records(message) == []


@pytest.mark.parametrize("kind", [AAAA, 255, 16])
def test_other_types_of_our_names_have_no_records(kind: int) -> None:
    held, _ = pool("10.0.0.1:80")
    for name in ("_http._tcp.g17.pool", "p80.g17.pool", "nobody.pool"):
        message = ask(held, name, kind)
        assert struct.unpack_from("!6H", message)[1] & 0xF == 0
        assert records(message) == []


def test_an_answer_that_is_too_long_is_cut_and_whole_over_tcp() -> None:
    held, _ = pool(*(f"10.0.{n // 250}.{n % 250}:80" for n in range(400)))
    short = ask(held, "p80.g17.pool", A)
    assert struct.unpack_from("!6H", short)[1] & 0x0200
    assert records(short) == []
    whole = ask(held, "p80.g17.pool", A, most=65_535)
    assert len(records(whole)) == 400
    assert not struct.unpack_from("!6H", whole)[1] & 0x0200


def test_what_is_no_question_is_not_answered() -> None:
    good = query("p80.g17.pool", A)
    for bad in (
        b"",
        good[:12],
        good[:-1],
        query("p80.g17.pool", A, flags=0x8000),
        query("p80.g17.pool", A, count=2),
        query(".".join("abcdefghij"), A),
        good[:12] + b"\xc0\x0c" + good[-4:],
        good + b"x" * 600,
    ):
        with pytest.raises(zone.BadQuery):
            zone.answer(bad, PodPool(), zone.UDP_BYTES)


@given(st.binary(max_size=80))
def test_no_bytes_break_it(data: bytes) -> None:
    try:
        message = zone.answer(data, PodPool(), zone.UDP_BYTES)
    except zone.BadQuery:
        return
    assert message[:2] == data[:2]
    assert records(message) == []
