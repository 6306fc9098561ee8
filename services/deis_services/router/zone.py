"""The zone `pool.` as DNS messages: which addresses are in a shard. Pure.

nginx asks `_http._tcp.g17.pool` for SRV records, then once for the address of each name that it
is told (`0a000005.pool` is 10.0.0.5 for ever). Everything else is refused; nothing is looked up.
"""

import struct

from deis_services.router.pools import SHARDS, PodPool

MAX_QUERY = 512
UDP_BYTES = 4096
"""What nginx reads of a datagram; a longer answer is cut, and nginx asks again over TCP."""
SRV_SECONDS = 1
"""nginx asks again a second after this."""
A_SECONDS = 86_400
NOBODY = "127.0.0.1:9"
"""Stands in every shard, and in no route: nginx would log an empty answer every time."""

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
        case [b"_http", b"_tcp", shard, b"pool"] if _number(shard) is not None:
            members = (*pool.members(_number(shard) or 0), NOBODY)
            return [_service(member) for member in members] if kind == _SRV_TYPE else []
        case [name, b"pool"] if _address(name) is not None:
            record = _RECORD.pack(_NAME_OF_QUESTION, _A, _IN, A_SECONDS, 4)
            return [record + (_address(name) or b"")] if kind == _A else []
    return None


def _number(label: bytes) -> int | None:
    """17 of `g17`."""
    digits = label[1:]
    if label[:1] == b"g" and digits.isdigit() and len(digits) < 4 and int(digits) < SHARDS:
        return int(digits)
    return None


def _address(label: bytes) -> bytes | None:
    """The four bytes of `0a000005`."""
    try:
        return bytes.fromhex(label.decode("ascii")) if len(label) == 8 else None
    except ValueError:
        return None


def _service(member: str) -> bytes:
    """The SRV record of `ip:port`."""
    host, _, port = member.rpartition(":")
    name = "".join(f"{int(part):02x}" for part in host.split(".")).encode()
    target = b"\x08" + name + b"\x04pool\x00"
    data = _SRV.pack(0, 1, int(port)) + target
    return _RECORD.pack(_NAME_OF_QUESTION, _SRV_TYPE, _IN, SRV_SECONDS, len(data)) + data
