"""Acceptance checks of components.md, Appendix B: 1 (buildpack), 2 to 5, 7, 14 and 15."""

import asyncio
import re
import secrets
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from integration.kubernetes.platform import ClusterPlatform
from integration.kubernetes.sample import destroyed, registered
from integration.person import Person
from integration.sample_app import edition, repository
from integration.servers import until

pytestmark = [pytest.mark.kubernetes, pytest.mark.server, pytest.mark.timeout(300)]


@pytest.fixture
async def ada(platform: ClusterPlatform, tmp_path: Path) -> Person:
    """Somebody with an account of her own for each test."""
    return await registered(platform, tmp_path / "home", f"ada-{secrets.token_hex(3)}")


@pytest.fixture
async def app(ada: Person) -> AsyncIterator[str]:
    """A name for an application, which is gone afterwards."""
    name = f"check-{secrets.token_hex(3)}"
    yield name
    await destroyed(ada, name)


async def hooked(person: Person, app: str, script: str) -> None:
    """A repository whose build runs this first."""
    files = edition(0) | {"bin/pre-compile": f"#!/bin/bash\n{script}\n"}
    await repository(person, files, app)
    (person.folder / "bin" / "pre-compile").chmod(0o755)
    await person.types("git", "add", ".")
    await person.types("git", "commit", "-q", "--amend", "--no-edit")


async def test_1_a_pushed_app_answers(platform: ClusterPlatform, ada: Person, app: str) -> None:
    await repository(ada, edition(0), app)
    await ada.types("git", "push", "deis", "main", says=f"{app}:v2 deployed")
    assert await ada.sees(platform.host(app), 80) == (200, "edition 0")


async def test_2_and_3_a_second_push_and_an_interrupted_one(
    platform: ClusterPlatform, ada: Person, app: str
) -> None:
    gate = platform.gate(app)
    await hooked(ada, app, gate.script)
    process = await asyncio.create_subprocess_exec(
        *(*ada.prefix, "git", "push", "deis", "main"),
        cwd=ada.folder,
        env=ada.environ,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    await until(gate.reached, "the build begins", 60)
    second = await ada.types("git", "push", "deis", "main", code=128)
    assert "fatal: remote error: Another git push is ongoing" in second.output
    process.send_signal(signal.SIGINT)
    assert await process.wait() != 0
    third = await ada.types("git", "push", "deis", "main", code=128)
    assert "fatal: remote error: Another git push is ongoing" in third.output
    gate.open()
    await until(lambda: serves(platform, ada, app), "the interrupted push is deployed", 90)
    again = await ada.types("git", "push", "deis", "main")
    assert "Everything up-to-date" in again.output or "v2" in again.output


async def test_4_two_apps_build_at_once(
    platform: ClusterPlatform, ada: Person, app: str, tmp_path: Path
) -> None:
    bob, other = await registered(platform, tmp_path / "bob", f"bob-{app}"), f"{app}-too"
    gates = [platform.gate(name) for name in (app, other)]
    await hooked(ada, app, gates[0].script)
    await hooked(bob, other, gates[1].script)
    pushes = [
        asyncio.create_task(person.types("git", "push", "deis", "main")) for person in (ada, bob)
    ]
    try:
        await until(lambda: all(gate.reached() for gate in gates), "both builds run", 90)
        for gate in gates:
            gate.open()
        outputs = [(await push).output for push in pushes]
    finally:
        await destroyed(bob, other)
    for name, text in zip((app, other), outputs, strict=True):
        assert f"{name}:v2 deployed" in text


async def test_5_a_failing_build(ada: Person, app: str) -> None:
    await hooked(ada, app, "echo '-----> it fails'; exit 1")
    failed = await ada.types("git", "push", "deis", "main", code=1)
    assert "-----> it fails" in failed.output
    assert "exited with code 1, stopping build" in failed.output


async def test_7_configuration_from_before_the_push(
    platform: ClusterPlatform, ada: Person, app: str
) -> None:
    files = edition(0)
    server = files["server.py"].replace("text = EDITION", 'text = os.environ["WORD"]')
    await repository(ada, files | {"server.py": server}, app)
    await ada.types("deis", "config:set", "WORD=said before", "PORT=7777")
    await ada.types("git", "push", "deis", "main", says=f"{app}:v3 deployed")
    assert await ada.sees(platform.host(app), 80) == (200, "said before")
    shown = await ada.types("deis", "run", "echo port $PORT")
    assert "port 7777" in shown.output


async def test_14_ssh_without_git(platform: ClusterPlatform, ada: Person, app: str) -> None:
    await repository(ada, edition(0), app)
    ssh = [
        *("ssh", "-F", "none", "-i", str(ada.home / ".ssh" / "id_ed25519")),
        *("-o", "StrictHostKeyChecking=accept-new", "-o", "BatchMode=yes"),
        *("-o", f"UserKnownHostsFile={ada.home / '.ssh' / 'known_hosts'}"),
        *("-p", "2222", f"git@deis-builder.{platform.host('x').partition('.')[2]}"),
    ]
    assert "pong" in (await ada.types(*ssh, "ping")).output
    refused = await ada.types(*ssh, "uname -a", code=None)
    assert refused.code != 0
    assert "Linux" not in refused.output
    assert (await ada.types(*ssh, "git-upload-pack", code=None)).code != 0


async def test_15_logs_of_an_app(ada: Person, app: str) -> None:
    await repository(ada, edition(0), app)
    await ada.types("git", "push", "deis", "main", says=f"{app}:v2 deployed")
    await ada.types("deis", "run", "echo a line of a run")

    async def told() -> bool:
        shown = await ada.types("deis", "logs", code=None)
        return bool(re.search(rf"deis\[controller\]: INFO .*{app}|{app}\[", shown.output))

    await until(told, "lines of the application", 60)


async def serves(platform: ClusterPlatform, person: Person, app: str) -> bool:
    """Whether its first edition is there."""
    return await person.sees(platform.host(app), 80) == (200, "edition 0")
