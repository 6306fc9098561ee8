"""What a namespace's annotations say was written (two controllers, one that dies half-way). Pure.

A generation is claimed before the first object is written and marked as held after the last one,
with what the API server made of the objects: whoever compares sees a change by hand, and an apply
that was cut off. A change of ours and one by a webhook of the cluster look alike, so what counts is
the answer to the write, not what was sent.
"""

import datetime
import hashlib
from collections.abc import Mapping

import msgspec

from deis_platform.runtime.kubernetes import names, views, words


class Marks(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was written for a generation."""

    generation: int = 0
    """0: nothing, or not yet all of it."""
    release: int = 0
    deadline: datetime.datetime | None = None
    counts: dict[str, int] = {}
    """Wanted instances by process type."""
    service: str = ""
    """Fingerprint of the Service."""
    deployments: dict[str, int] = {}
    """The specs that were written, as the API server counts them, by name."""
    secrets: tuple[str, ...] = ()
    """Names of the Secrets they refer to."""


class _Written(msgspec.Struct, frozen=True):
    service: str = ""
    deployments: dict[str, int] = {}
    secrets: tuple[str, ...] = ()


NONE: dict[str, None] = dict.fromkeys(
    (names.GENERATION, names.RELEASE, names.DEADLINE, names.WANTED, names.WRITTEN)
)
"""A patch that takes them away; the claim stays, so older generations are refused still."""


def number(text: str) -> int:
    """A number off an annotation; 0 for anything else."""
    return int(text) if text.isascii() and text.isdigit() else 0


def claimed(annotations: Mapping[str, str]) -> int:
    """The newest generation that somebody began to write."""
    return number(annotations.get(names.CLAIMED, ""))


def read(annotations: Mapping[str, str]) -> Marks:
    """The marks of a namespace; the empty ones for nonsense."""
    try:
        counts = msgspec.json.decode(annotations.get(names.WANTED, "{}"), type=dict[str, int])
        written = msgspec.json.decode(annotations.get(names.WRITTEN, "{}"), type=_Written)
    except msgspec.MsgspecError:
        return Marks()
    return Marks(
        generation=number(annotations.get(names.GENERATION, "")),
        release=number(annotations.get(names.RELEASE, "")),
        deadline=words.moment(annotations.get(names.DEADLINE, "")),
        counts=counts,
        service=written.service,
        deployments=written.deployments,
        secrets=written.secrets,
    )


def annotations(marks: Marks) -> dict[str, str]:
    """The same as annotations."""
    written = _Written(marks.service, marks.deployments, marks.secrets)
    until = marks.deadline.isoformat(timespec="seconds") if marks.deadline else ""
    return {
        names.GENERATION: str(marks.generation),
        names.RELEASE: str(marks.release),
        names.DEADLINE: until,
        names.WANTED: msgspec.json.encode(marks.counts).decode(),
        names.WRITTEN: msgspec.json.encode(written).decode(),
    }


def fingerprint(service: views.Service) -> str:
    """A short word for the fields of a Service that are ours; Services count no changes."""
    ports = [(port.port, port.target_port) for port in service.spec.ports]
    fields = msgspec.json.encode([service.spec.selector, ports], order="sorted")
    return hashlib.sha256(fields).hexdigest()[:16]
