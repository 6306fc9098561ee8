"""The zone `pool.` as DNS messages: which addresses are in a shard. Pure.

nginx asks `_http._tcp.g17.pool` for SRV records: a port for each name. Then it asks for the
addresses of each: `p5000.g17.pool` has all of the shard with that port, so that the number of
questions does not grow with that of pods. Everything else is refused; nothing is looked up.
"""

import struct
from collections.abc import Iterator

from deis_services.router.pools import LOCAL, SHARDS, PodPool

MAX_QUERY = 512
UDP_BYTES = 4096
"""What nginx reads of a datagram; a longer answer is cut, and nginx asks again over TCP."""
SECONDS = 1
"""nginx asks again a second after this."""
NOBODY = b"nobody.pool"
NOBODY_PORT = 9
NOBODY_SECONDS = 86_400
"""The name in an empty shard, with an address that no route has: nginx would log an empty answer
every time."""

_HEADER = struct.Struct("!6H")
_QUESTION = struct.Struct("!2H")
_RECORD = struct.Struct("!HHHIH")
_SRV = struct.Struct("!3H")
_A, _IN, _SRV_TYPE = 1, 1, 33
_ANSWER, _TRUNCATED = 0x8400, 0x0200
_REFUSED = 5
_NAME_OF_QUESTION = 0xC000 | _HEADER.size


class BadQuery(Exception):
    """No question that one could answer, or refuse."""


def answer(query: bytes, pool: PodPool, most: int) -> bytes:
    """The answer to one message, at most `most` bytes long. Raises BadQuery."""
    if not _HEADER.size < len(query) <= MAX_QUERY:
        raise BadQuery
    ident, flags, questions, *_ = _HEADER.unpack_from(query)
    if flags & 0xF800 or questions != 1:
        raise BadQuery
    labels, end = _labels(query, _HEADER.size)
    if end + _QUESTION.size > len(query):
        raise BadQuery
    kind, family = _QUESTION.unpack_from(query, end)
    records = _records(labels, kind, pool) if family == _IN else None
    flags = _ANSWER | flags & 0x0100 | (_REFUSED if records is None else 0)
    question = query[_HEADER.size : end + _QUESTION.size]
    body = b"".join(records or ())
    if _HEADER.size + len(question) + len(body) > most:
        return _HEADER.pack(ident, flags | _TRUNCATED, 1, 0, 0, 0) + question
    return _HEADER.pack(ident, flags, 1, len(records or ()), 0, 0) + question + body


def _labels(query: bytes, at: int) -> tuple[list[bytes], int]:
    """The labels of a name and where it ends; a question has no pointers."""
    labels: list[bytes] = []
    while at < len(query) and (length := query[at]):
        if length > 63 or len(labels) == 8:
            raise BadQuery
        labels.append(query[at + 1 : at + 1 + length].lower())
        at += 1 + length
    return labels, at + 1


def _records(labels: list[bytes], kind: int, pool: PodPool) -> list[bytes] | None:
    """The records of a name; None for a name that is not ours."""
    match labels:
        case [b"_http", b"_tcp", group, b"pool"] if (shard := _number(b"g", group)) is not None:
            return list(_services(shard, pool)) if kind == _SRV_TYPE else []
        case [name, group, b"pool"] if (shard := _number(b"g", group)) is not None:
            port = _number(b"p", name)
            hosts = pool.hosts(shard, port) if port is not None and kind == _A else ()
            return [_address(host, SECONDS) for host in hosts]
        case [b"nobody", b"pool"]:
            return [_address(LOCAL, NOBODY_SECONDS)] if kind == _A else []
        case _:
            return None


def _number(letter: bytes, label: bytes) -> int | None:
    """17 of `g17`."""
    digits = label[1:]
    if label[:1] != letter or not digits.isdigit() or len(digits) > 5:
        return None
    return int(digits) if letter != b"g" or int(digits) < SHARDS else None


def _services(shard: int, pool: PodPool) -> Iterator[bytes]:
    """A name for each port."""
    names = [(port, b"p%d.g%d.pool" % (port, shard)) for port in pool.ports(shard)]
    for port, name in names or [(NOBODY_PORT, NOBODY)]:
        target = b"".join(b"%c%b" % (len(label), label) for label in name.split(b".")) + b"\0"
        data = _SRV.pack(0, 1, port) + target
        yield _RECORD.pack(_NAME_OF_QUESTION, _SRV_TYPE, _IN, SECONDS, len(data)) + data


def _address(host: str, seconds: int) -> bytes:
    """The A record of a host."""
    data = bytes(map(int, host.split(".")))
    return _RECORD.pack(_NAME_OF_QUESTION, _A, _IN, seconds, len(data)) + data
