"""An application destroyed while builder, logger and runtime are down, its name taken by somebody
else: nothing of the old one shows (identity is the appuuid, DESIGN 4)."""

import json
from pathlib import Path

import pytest

from integration.person import Person
from integration.platform_up import Platform, platform_up
from integration.sample_app import commit, edition, registered, repository
from integration.servers import until
from integration.truth import leaders, rows

pytestmark = [pytest.mark.server, pytest.mark.timeout(240)]

APP = "taken"
WITHOUT = {"DEIS_SERVICES": "controller,gateway,router,manager"}


def ports(platform: Platform) -> tuple[str, ...]:
    """Options for a platform at the same addresses."""
    ready = platform.ready
    names = {"--port": "http_port", "--https-port": "https_port", "--ssh-port": "ssh_port"}
    return tuple(word for option, name in names.items() for word in (option, str(ready[name])))


async def test_a_name_under_a_new_owner_shows_nothing_of_the_old_app(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with platform_up(data) as platform:
        same = ports(platform)
        olga = await registered(platform, tmp_path / "olga", "olga")
        await repository(olga, edition(0) | {"secret.txt": "of olga\n"}, APP)
        await olga.types("git", "push", "deis", "main", says=f"{APP}:v2 deployed")
        await olga.types("deis", "run", "--", "echo", "a line of olga")
        old = str((await rows(platform, "SELECT uuid::text AS uuid FROM apps"))[0]["uuid"])
    async with platform_up(data, *same, environ=WITHOUT) as platform:
        await olga.types("deis", "destroy", f"--confirm={APP}")
        eve = await registered(platform, tmp_path / "eve", "eve")
        eve.folder = eve.home
        await eve.types("deis", "create", APP, "--no-remote")
    async with platform_up(data, *same) as platform:
        await nothing_shows(platform, eve, old)
        await repository_of_eve(platform, eve)
        assert await eve.sees(f"{APP}.localhost", platform.port) == (200, "edition 7")
        await until(lambda: not list(traces(data, old)), "no file of the old app is left", 60)


async def nothing_shows(platform: Platform, eve: Person, old: str) -> None:
    """What the new owner sees before the first push of their own."""
    assert leaders(platform.data, APP) == []
    assert (await eve.sees(f"{APP}.localhost", platform.port))[0] in (404, 503)
    cloned = await eve.types(
        "git", "clone", f"{platform.ready['git']}/{APP}.git", "clone", code=None
    )
    assert not (eve.home / "clone" / "secret.txt").exists(), cloned.output
    logs = await eve.types("deis", "logs", "-a", APP, code=None)
    assert "of olga" not in logs.output
    listed = await eve.types("deis", "releases:list", "-a", APP, "-o", "json")
    assert [row["version"] for row in json.loads(listed.output)] == [1]
    builds = await eve.types("deis", "builds:list", "-a", APP, "-o", "json")
    assert json.loads(builds.output) == []
    told = await eve.types("deis", "events", "--since", "beginning", code=None)
    assert old not in told.output
    assert "olga" not in told.output


async def repository_of_eve(platform: Platform, eve: Person) -> None:
    """A first push under the old name."""
    eve.folder = eve.home / "app"
    eve.writes(edition(7))
    await eve.types("git", "init", "-q", "-b", "main")
    await commit(eve, edition(7))
    await eve.types("git", "remote", "add", "deis", f"{platform.ready['git']}/{APP}.git")
    pushed = await eve.types("git", "push", "deis", "main", says=f"{APP}:v2 deployed")
    assert "Restored" not in pushed.output


def traces(data: Path, appuuid: str) -> list[Path]:
    """Files and folders that carry the identity of an application."""
    return [path for path in data.rglob(f"*{appuuid}*") if "postgres" not in path.parts]
