"""What a build and an application see of the platform: nothing of its environment, and as root
nothing of its data. As an ordinary user they have that user's rights, as `up` and the docs say."""

import json
import re
from pathlib import Path

import pytest

from integration.person import Person
from integration.platform_up import Platform
from integration.sample_app import registered, repository
from integration.test_app_faults import sample
from integration.test_wrong_pushes import executable, fresh

pytestmark = [pytest.mark.server, pytest.mark.timeout(180)]

TOLD = {"DEIS_APP", "DEIS_PYTHON"}
"""Variables of our name that applications and builds are meant to see."""
SECRET = re.compile(r"nats://|postgresql://|password|secret|token|KEEPER", re.IGNORECASE)


@pytest.fixture
async def ada(platform: Platform, tmp_path: Path) -> Person:
    return await registered(platform, tmp_path / "ada", fresh("ada"))


async def test_a_build_that_prints_its_environment_shows_nothing_of_ours(ada: Person) -> None:
    files = sample("worker") | {"bin/pre-compile": "#!/bin/bash\necho BEGIN; env; echo END\n"}
    await repository(ada, files, fresh("app"))
    await executable(ada, "bin/pre-compile")
    pushed = await ada.types("git", "push", "deis", "main", says=":v2 deployed")
    printed = pushed.output.split("BEGIN")[1].split("END")[0]
    assert "SOURCE_VERSION=" in printed
    names = set(re.findall(r"\b(DEIS_[A-Z_]+)=", printed))
    assert names <= TOLD
    assert not SECRET.search(printed), printed


async def test_an_app_that_prints_its_environment_shows_nothing_of_ours(
    platform: Platform, ada: Person
) -> None:
    app = fresh("app")
    await repository(ada, sample("worker"), app)
    await ada.types("deis", "config:set", "COLOUR=blue")
    await ada.types("git", "push", "deis", "main", says=":v3 deployed")
    status, text = await ada.sees(f"{app}.localhost", platform.port, "/env")
    seen = json.loads(text)
    assert (status, seen["COLOUR"], seen["DEIS_APP"]) == (200, "blue", app)
    assert {name for name in seen if name.startswith("DEIS_")} <= TOLD
    assert not SECRET.search(text), text


@pytest.mark.root
@pytest.mark.parametrize("inside", ["build", "run"])
async def test_the_data_folder_is_closed(platform: Platform, ada: Person, inside: str) -> None:
    look = look_around(platform.data)
    files = sample("worker") | {"look": look, "bin/pre-compile": f"#!/bin/bash\n{look}\n"}
    await repository(ada, files, fresh("app"))
    await executable(ada, "bin/pre-compile")
    pushed = await ada.types("git", "push", "deis", "main", says=":v2 deployed")
    if inside == "run":
        pushed = await ada.types("deis", "run", "--", "bash", "look")
    assert "LOOKING" in pushed.output
    assert "READ " not in pushed.output, pushed.output


def look_around(data: Path) -> str:
    """A script that tries to list and read what lies in the data folder."""
    places = ("secrets", "postgres", "nats", "logs", "objects", "builder", "certificates", "router")
    words = " ".join(f"{data}/{place}" for place in places)
    return (
        f"echo LOOKING\nls {data} 2>/dev/null && echo READ the folder\n"
        f"for place in {words}; do ls $place >/dev/null 2>&1 && echo READ $place; done\n"
        f"cat {data}/secrets/master.key >/dev/null 2>&1 && echo READ the key\n"
        f"cat {data}/ready.json >/dev/null 2>&1 && echo READ ready.json\ntrue"
    )
