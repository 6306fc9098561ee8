"""Pushes that must not become a release, and what their author is told (cli.md 9)."""

import asyncio
import re
import signal
import uuid
from pathlib import Path

import pytest

from integration.person import Person
from integration.platform_up import Platform
from integration.sample_app import commit, edition, registered, repository
from integration.servers import until

pytestmark = [pytest.mark.server, pytest.mark.timeout(180)]


def fresh(word: str) -> str:
    """A name that no other test has."""
    return f"{word}-{uuid.uuid4().hex[:8]}"


@pytest.fixture
async def ada(platform: Platform, tmp_path: Path) -> Person:
    return await registered(platform, tmp_path / "ada", fresh("ada"))


def hooked(script: str) -> dict[str, str]:
    """The sample application with a step of its own before the build."""
    return edition(0) | {"bin/pre-compile": f"#!/bin/bash\n{script}\n"}


async def executable(person: Person, path: str) -> None:
    (person.folder / path).chmod(0o755)
    await person.types("git", "add", ".")
    await person.types("git", "commit", "-q", "--amend", "--no-edit")


async def releases(person: Person) -> str:
    return (await person.types("deis", "releases:list")).output


async def test_an_unknown_app_is_named(platform: Platform, ada: Person) -> None:
    await repository(ada, edition(0), fresh("app"))
    remote = f"{platform.ready['git']}/not-there.git"
    pushed = await ada.types("git", "push", remote, "main", code=None)
    assert pushed.code == 128
    assert "There is no application not-there." in pushed.output


async def test_an_app_of_somebody_else_is_refused(
    platform: Platform, ada: Person, tmp_path: Path
) -> None:
    app = fresh("app")
    await repository(ada, edition(0), app)
    eve = await registered(platform, tmp_path / "eve", fresh("eve"))
    await repository(eve, edition(1), fresh("app"))
    remote = f"{platform.ready['git']}/{app}.git"
    pushed = await eve.types("git", "push", remote, "main", code=None)
    assert pushed.code == 128
    assert f"You do not have permission to push to {app}." in pushed.output
    cloned = await eve.types("git", "clone", remote, "stolen", code=None)
    assert cloned.code == 128
    assert "v2" not in await releases(ada)


async def test_an_unknown_key_is_refused(platform: Platform, ada: Person, tmp_path: Path) -> None:
    app = fresh("app")
    await repository(ada, edition(0), app)
    stranger = Person(tmp_path / "stranger")
    (stranger.home / ".ssh").mkdir(mode=0o700)
    key = str(stranger.home / ".ssh" / "id_ed25519")
    await stranger.types("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
    stranger.folder = ada.folder
    remote = f"{platform.ready['git']}/{app}.git"
    pushed = await stranger.types("git", "push", remote, "main", code=None)
    assert pushed.code == 128
    assert "Permission denied (publickey)" in pushed.output


async def test_an_empty_tree_is_refused(ada: Person) -> None:
    app = fresh("app")
    ada.folder = ada.home / app
    ada.writes({})
    ada.folder.mkdir()
    await ada.types("git", "init", "-q", "-b", "main")
    await ada.types("git", "commit", "-q", "--allow-empty", "-m", "nothing")
    await ada.types("deis", "create", app)
    pushed = await ada.types("git", "push", "deis", "main", code=1)
    assert "no files" in pushed.output
    assert "v2" not in await releases(ada)


async def test_no_procfile_and_no_known_language_is_told(ada: Person) -> None:
    await repository(ada, {"notes.txt": "hello\n"}, fresh("app"))
    pushed = await ada.types("git", "push", "deis", "main", code=1)
    assert "Unable to select a buildpack" in pushed.output
    assert "v2" not in await releases(ada)


async def test_a_failing_build_rejects_the_ref_and_the_same_commit_can_come_again(
    ada: Person,
) -> None:
    await repository(ada, hooked("echo broken on purpose >&2\nexit 3"), fresh("app"))
    await executable(ada, "bin/pre-compile")
    for _ in range(2):
        pushed = await ada.types("git", "push", "deis", "main", code=1)
        assert "broken on purpose" in pushed.output
        assert "exited with code 3" in pushed.output
        assert "failed to push some refs" in pushed.output
    await commit(ada, {"bin/pre-compile": "#!/bin/bash\nexit 0\n"})
    await ada.types("git", "push", "deis", "main", says=":v2 deployed")


async def test_the_second_of_two_pushes_is_told_to_wait(ada: Person, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    await repository(ada, hooked(waits_for(gate)), fresh("app"))
    await executable(ada, "bin/pre-compile")
    first = asyncio.create_task(ada.types("git", "push", "deis", "main", code=None))
    await until((tmp_path / "gate.waits").exists, "the build begins")
    second = await ada.types("git", "push", "deis", "main", code=128)
    assert "Another git push is ongoing" in second.output
    gate.touch()
    assert re.search(r":v2 deployed", (await first).output)


async def test_a_build_goes_on_when_its_client_is_interrupted(ada: Person, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    await repository(ada, hooked(waits_for(gate)), fresh("app"))
    await executable(ada, "bin/pre-compile")
    process = await asyncio.create_subprocess_exec(
        *("git", "push", "deis", "main"),
        cwd=ada.folder,
        env=ada.environ,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    await until((tmp_path / "gate.waits").exists, "the build begins")
    process.send_signal(signal.SIGINT)
    assert await process.wait() != 0
    attached = asyncio.create_task(ada.types("deis", "builds:attach"))
    gate.touch()
    assert "the gate is open" in (await attached).output
    await until(lambda: _deployed(ada), "the release is made")
    again = await ada.types("git", "push", "deis", "main")
    assert "v2" in again.output or "up-to-date" in again.output


async def _deployed(person: Person) -> bool:
    shown = await person.types("deis", "releases:list")
    return "v2" in shown.output and "deploying" not in shown.output


def waits_for(gate: Path) -> str:
    """A build step that says it has begun and goes on once a file appears (at most 60 s)."""
    gate.parent.chmod(0o777)
    return (
        f"touch {gate}.waits\n"
        f"for i in $(seq 600); do [ -e {gate} ] && break; sleep 0.1; done\n"
        "echo the gate is open"
    )
