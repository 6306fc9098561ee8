"""Applications that misbehave, on a whole platform: the others, and the old release, do not mind."""

import asyncio
import json
import re
from pathlib import Path

import pytest

from integration.person import Person
from integration.platform_up import Platform
from integration.sample_app import commit, edition, registered, repository
from integration.servers import until
from integration.test_wrong_pushes import fresh

pytestmark = [pytest.mark.server, pytest.mark.timeout(180)]

APPS = Path(__file__).parent / "apps"
NEVER_LISTENS = {"server.py": "import threading\nthreading.Event().wait()\n"}


def sample(name: str) -> dict[str, str]:
    """The files of a folder of integration/apps."""
    return {path.name: path.read_text() for path in (APPS / name).iterdir()}


@pytest.fixture
async def ada(platform: Platform, tmp_path: Path) -> Person:
    return await registered(platform, tmp_path / "ada", fresh("ada"))


async def test_a_release_that_never_becomes_ready_leaves_the_old_one_serving(
    platform: Platform, ada: Person
) -> None:
    app = fresh("app")
    await repository(ada, edition(0), app)
    await ada.types("git", "push", "deis", "main", says=f"{app}:v2 deployed")
    await ada.types("deis", "config:set", "DEIS_DEPLOY_TIMEOUT=10")
    await commit(ada, NEVER_LISTENS)
    pushed = await ada.types("git", "push", "deis", "main", code=1)
    assert "v4" in pushed.output
    assert await ada.sees(f"{app}.localhost", platform.port) == (200, "edition 0")
    listed = json.loads((await ada.types("deis", "releases:list", "-o", "json")).output)
    states = {row["version"]: row["state"] for row in listed}
    assert (states[4], states[3]) == ("failed", "succeeded")
    refused = await ada.types("deis", "rollback", "v4", code=1)
    assert "v4" in refused.output
    shown = await ada.types("deis", "ps:list")
    assert "web.v3" in shown.output or re.search(r"v3\b", shown.output)
    await commit(ada, edition(1))
    await ada.types("git", "push", "deis", "main", says=f"{app}:v5 deployed")
    assert await ada.sees(f"{app}.localhost", platform.port) == (200, "edition 1")


async def test_a_crasher_is_told_and_shown(platform: Platform, ada: Person) -> None:
    app = fresh("app")
    await repository(ada, sample("crasher"), app)
    pushed = await ada.types("git", "push", "deis", "main", code=1)
    assert "exit" in pushed.output.lower() or "crash" in pushed.output.lower()
    await until(lambda: _logs_say(ada, "going down"), "its last words are in the log")
    status, _ = await ada.sees(f"{app}.localhost", platform.port)
    assert status == 503


async def test_an_app_that_ignores_sigterm_is_ended_after_its_grace(
    platform: Platform, ada: Person
) -> None:
    app = fresh("app")
    await repository(ada, sample("stubborn"), app)
    grace = "KUBERNETES_POD_TERMINATION_GRACE_PERIOD_SECONDS=1"
    await ada.types("deis", "config:set", grace)
    await ada.types("git", "push", "deis", "main", says=f"{app}:v3 deployed")
    await ada.types("deis", "ps:scale", "web=0")
    await until(lambda: _none_left(ada), "the stubborn instance is gone")
    await ada.types("deis", "destroy", f"--confirm={app}")
    assert (await ada.sees(f"{app}.localhost", platform.port))[0] == 404


async def test_two_configurations_at_once_are_both_in_the_newest_release(ada: Person) -> None:
    app = fresh("app")
    await repository(ada, edition(0), app)
    await ada.types("git", "push", "deis", "main", says=f"{app}:v2 deployed")
    await asyncio.gather(
        ada.types("deis", "config:set", "FIRST=1"), ada.types("deis", "config:set", "SECOND=2")
    )
    shown = await ada.types("deis", "config:list")
    assert "FIRST" in shown.output
    assert "SECOND" in shown.output
    listed = json.loads((await ada.types("deis", "releases:list", "-o", "json")).output)
    assert sorted(row["version"] for row in listed) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "command",
    [
        ("config:set", "1BAD=x"),
        ("config:set", "PORT=http"),
        ("ps:scale", "web=-1"),
        ("ps:scale", "web=many"),
        ("ps:scale", "nothere=1"),
        ("domains:add", "not_a domain"),
        ("rollback", "v99"),
        ("perms:create", "nobody-of-that-name"),
    ],
    ids=" ".join,
)
async def test_what_is_not_allowed_changes_nothing(ada: Person, command: tuple[str, ...]) -> None:
    app = fresh("app")
    await repository(ada, edition(0), app)
    before = (await ada.types("deis", "releases:list")).output
    done = await ada.types("deis", *command, code=None)
    assert done.code != 0
    assert "Error" in done.output
    assert (await ada.types("deis", "releases:list")).output == before


async def test_a_forking_app_leaves_nothing_behind(platform: Platform, ada: Person) -> None:
    app = fresh("app")
    await repository(ada, sample("forker"), app)
    await ada.types("git", "push", "deis", "main", says=f"{app}:v2 deployed")
    assert _processes_of(app)
    await ada.types("deis", "destroy", f"--confirm={app}")
    await until(lambda: not _processes_of(app), "every process of the application is gone")


def _processes_of(app: str) -> list[int]:
    """Processes whose environment names the application, zombies left out."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                entries = (folder / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if f"DEIS_APP={app}".encode() in entries:
                found.append(int(folder.name))
    return found


async def _logs_say(person: Person, text: str) -> bool:
    return text in (await person.types("deis", "logs", code=None)).output


async def _none_left(person: Person) -> bool:
    shown = json.loads((await person.types("deis", "ps:list", "-o", "json")).output)
    return not shown
