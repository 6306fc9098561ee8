"""What clients may say: the command of a session, names of repositories, updates of refs (pure)."""

import re
from collections.abc import Sequence

import msgspec

from deis_platform.names import is_app_name

MAX_COMMAND = 512
MAX_REF = 255
"""Letters of a ref; git makes a folder of each part of it."""
MAX_REFS = 1000
"""Updates of one push that are looked at; more are refused all the same."""
NOTHING = re.compile(r"0+")
_GIT = re.compile(r"git[ -](receive|upload)-pack (?:'([^'\\]*)'|([A-Za-z0-9/._-]+))")
_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class NotServed(ValueError):
    """A command or a push that is not for us; the text says what is."""


class GitCommand(msgspec.Struct, frozen=True):
    """`git-receive-pack` (write) or `git-upload-pack` of an application's repository."""

    app: str
    write: bool


class Ping(msgspec.Struct, frozen=True):
    """Asks for `pong`."""


class RefUpdate(msgspec.Struct, frozen=True):
    """A ref shall go from one commit to another."""

    old: str
    new: str
    ref: str


def command(text: str) -> GitCommand | Ping:
    """What an exec request asks for; no shell ever sees it. Raises NotServed."""
    if text.strip() == "ping":
        return Ping()
    found = _GIT.fullmatch(text.strip()) if len(text) <= MAX_COMMAND else None
    if found is None:
        raise NotServed("Only git push, git fetch and ping are served here.")
    return GitCommand(repository(found[2] or found[3] or ""), found[1] == "receive")


def repository(name: str) -> str:
    """The application a repository is of: `/blog.git` and `blog` are blog's. Raises NotServed."""
    app = name.removeprefix("/").removesuffix(".git")
    if not is_app_name(app):
        raise NotServed(f"{name[:80]!a} is not the name of a repository: <app>.git is.")
    return app


def updates(lines: Sequence[str]) -> list[RefUpdate]:
    """Lines `old new ref` as git gives them to pre-receive. Raises NotServed."""
    found = []
    for line in lines:
        old, _, rest = line.partition(" ")
        new, _, ref = rest.partition(" ")
        if not (_SHA.fullmatch(old) and _SHA.fullmatch(new) and ref):
            raise NotServed("git sent an update of a ref that cannot be read.")
        found.append(RefUpdate(old, new, ref))
    return found


def chosen(given: Sequence[RefUpdate]) -> RefUpdate:
    """The one update that becomes a build: the new tip of one branch. Raises NotServed."""
    if any(NOTHING.fullmatch(update.new) for update in given):
        raise NotServed(
            "A branch cannot be deleted here: it says what was deployed. "
            "Use deis apps:destroy to remove the application."
        )
    if len(given) != 1:
        raise NotServed("Push one branch at a time, e.g. git push deis main")
    if len(given[0].ref) > MAX_REF:
        raise NotServed(f"The name of the branch is longer than {MAX_REF} letters.")
    if not given[0].ref.startswith("refs/heads/"):
        kind = "A tag" if given[0].ref.startswith("refs/tags/") else f"{given[0].ref[:80]!a}"
        raise NotServed(
            f"{kind} cannot be deployed: push a branch, e.g. git push deis HEAD:refs/heads/main"
        )
    return given[0]
