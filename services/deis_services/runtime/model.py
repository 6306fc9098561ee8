"""Which instances to start, to keep and to end: wanted against actual (pure; DESIGN 6).

A **mark** names what an instance runs: release, artifact, environment and the process' own
settings. Instances of the wanted mark are *fresh*, all others *old*. Old ones serve until every
wanted instance is ready; then all of them go at once. What serves is never touched by a spec
that wants the same marks, so going back after a failed release restarts nothing.
"""

import hashlib
from collections.abc import Collection, Iterable

import msgspec

from deis_bus.contracts.runtime import AppSpec, Process

MARK_LENGTH = 16
CRASHES = 3
"""So many crashes in a row while a release is rolled out, and it has failed."""
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 60.0


class Wanted(msgspec.Struct, frozen=True):
    """A process type, how many of it, and what each of them runs."""

    type: str
    count: int
    mark: str


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """What a decision needs to know of an instance."""

    name: str
    type: str
    mark: str
    ready: bool = False
    routable: bool = False
    replaced: bool = False
    """Was asked to be restarted: another takes its place first."""
    leaving: bool = False
    """Is being ended already."""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What to do now; deciding again changes nothing until something else changed."""

    start: tuple[str, ...] = ()
    """A process type for each instance to start."""
    end: frozenset[str] = frozenset()
    """Names of instances that have to leave: out of the routes first, then ended."""
    routed: tuple[str, ...] = ()
    """Names of the instances that get requests."""
    complete: bool = False
    """Everything that is wanted is ready."""


def mark(spec: AppSpec, process: Process) -> str:
    """Equal exactly for instances that are interchangeable; counts and grace do not matter."""
    same = (
        spec.release,
        spec.artifact.slug or spec.artifact.image,
        sorted(spec.environment.items()),
        process.command,
        process.routable,
        process.memory_bytes,
        process.cpus,
        process.probe,
        process.post_start,
    )
    return hashlib.sha256(msgspec.json.encode(same)).hexdigest()[:MARK_LENGTH]


def wanted(spec: AppSpec) -> tuple[Wanted, ...]:
    """What a spec asks for."""
    return tuple(Wanted(p.type, p.count, mark(spec, p)) for p in spec.processes)


def decide(
    wants: Iterable[Wanted],
    members: Iterable[Member],
    serving: Collection[tuple[str, str]],
    failed: bool = False,
) -> Decision:
    """The next step. Members come oldest first; `serving` holds (type, mark) of what was last
    complete. A spec that has `failed` is given up where something else serves."""
    alive = [member for member in members if not member.leaving]
    wants = tuple(wants)
    given_up = failed and any(_key(member) in serving for member in alive)
    marks = {want.type: want.mark for want in wants}
    start: list[str] = []
    end: set[str] = set()
    complete = True
    for want in wants:
        fresh, replaced = _split(want, alive)
        if given_up and (want.type, want.mark) not in serving:
            end.update(member.name for member in (*fresh, *replaced))
            complete = complete and want.count == 0
            continue
        kept = sorted(fresh, key=lambda member: not member.ready)[: want.count]
        end.update({member.name for member in fresh} - {member.name for member in kept})
        start += [want.type] * (want.count - len(kept))
        ready = sum(member.ready for member in kept) == want.count
        complete = complete and ready
        if ready:
            end.update(member.name for member in replaced)
    for member in alive:
        old = marks.get(member.type) != member.mark
        if old and (complete or _key(member) not in serving):
            end.add(member.name)
    stay = [member for member in alive if member.name not in end]
    return Decision(
        start=tuple(start), end=frozenset(end), routed=_routed(stay, serving), complete=complete
    )


def _split(want: Wanted, alive: list[Member]) -> tuple[list[Member], list[Member]]:
    same = [m for m in alive if m.type == want.type and m.mark == want.mark]
    return [m for m in same if not m.replaced], [m for m in same if m.replaced]


def _key(member: Member) -> tuple[str, str]:
    return member.type, member.mark


def _routed(stay: list[Member], serving: Collection[tuple[str, str]]) -> tuple[str, ...]:
    """What served keeps serving; with nothing of it left, anything ready is better than none."""
    ready = [member for member in stay if member.ready and member.routable]
    known = [member for member in ready if _key(member) in serving]
    return tuple(member.name for member in known or ready)


def pause(crashes: int) -> float:
    """Seconds until the next start after so many crashes in a row: 0.5, 1, 2 … at most 60."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(crashes - 1, 20))


def ending(code: int) -> str:
    """How a process ended, in words: its exit code, or the signal above 128."""
    if code > 128:
        return f"was ended by signal {code - 128}"
    return f"ended with exit code {code}"
