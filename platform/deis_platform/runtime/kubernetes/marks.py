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
from deis_platform.runtime.kubernetes.facts import Facts

DIGITS = 12
"""Of a word: enough to tell the versions of one object apart."""


class Marks(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was written for a generation."""

    generation: int = 0
    """0: nothing, or not yet all of it."""
    release: int = 0
    deadline: datetime.datetime | None = None
    counts: dict[str, int] = {}
    """Wanted instances by process type."""
    objects: dict[str, str] = {}
    """Everything that was written, by kind and name, each with its word (`word`)."""
    around: str = ""
    """The surroundings it was written for (`surroundings`)."""


class _Written(msgspec.Struct, frozen=True):
    objects: dict[str, str] = {}
    around: str = ""


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
        objects=written.objects,
        around=written.around,
    )


def annotations(marks: Marks) -> dict[str, str]:
    """The same as annotations."""
    written = _Written(marks.objects, marks.around)
    until = marks.deadline.isoformat(timespec="seconds") if marks.deadline else ""
    return {
        names.GENERATION: str(marks.generation),
        names.RELEASE: str(marks.release),
        names.DEADLINE: until,
        names.WANTED: msgspec.json.encode(marks.counts).decode(),
        names.WRITTEN: msgspec.json.encode(written).decode(),
    }


def word(view: views.View) -> str:
    """A short word for what is ours of an object: another one after any change of that, and for
    another object of the same name. What the router reads off a Service is compared elsewhere."""
    meta = view.metadata
    labels = {name: value for name, value in meta.labels.items() if name != names.ROUTABLE}
    told = {name: text for name, text in meta.annotations.items() if names.marked(name)}
    return _digest([meta.uid, meta.generation, labels, told, view.uncounted()])


def surroundings(facts: Facts) -> str:
    """A short word for what objects depend on beside the app's spec, as far as those are written
    again when it changes; empty while it is not known."""
    return "" if facts.api is None else _digest([facts.denied, facts.api, facts.quota])


def _digest(fields: list[object]) -> str:
    return hashlib.sha256(msgspec.json.encode(fields, order="sorted")).hexdigest()[:DIGITS]
