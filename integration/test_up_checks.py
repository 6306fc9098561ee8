"""What `deis-platform up` refuses: one clear line, before anything starts."""

import asyncio
import os
import shutil
import socket
import sys
from pathlib import Path

import pytest

from deis_platform.embedded.binaries import nats_server
from deis_services.platform_cli.folder import opened, problems
from integration.platform_up import platform_up

pytestmark = [pytest.mark.server, pytest.mark.timeout(140)]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder that is not there yet."""
    return tmp_path / "data"


def names(folder: Path) -> list[str]:
    """What lies in a folder; nothing when it is not there."""
    return [path.name for path in folder.iterdir()] if folder.exists() else []


def filled(folder: Path, name: str, text: str) -> None:
    """A folder with one file in it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def owned(folder: Path, user: int) -> None:
    """An empty folder of another user."""
    folder.mkdir()
    os.chown(folder, user, user)


def closed(folder: Path) -> None:
    """A folder that only we may enter."""
    folder.mkdir(mode=0o700)


async def refused(
    data: Path,
    *options: str,
    environ: dict[str, str] | None = None,
    python: str = sys.executable,
) -> list[str]:
    """The lines of an `up` that does not start."""
    process = await asyncio.create_subprocess_exec(
        python, "-m", "deis_services.main", "up", "--data", str(data),
        *("--port", "0", "--https-port", "0", "--ssh-port", "0"), *options,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=os.environ | {"PYTHONSAFEPATH": "1"} | (environ or {}),
    )  # fmt: skip
    output, _ = await process.communicate()
    assert process.returncode == 1, output.decode()
    return output.decode().splitlines()


@pytest.mark.parametrize("option", ["--port", "--https-port", "--ssh-port"])
async def test_a_taken_port_is_named_with_its_setting(data: Path, option: str) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        setting = f"DEIS_{option.removeprefix('--').replace('-', '_').upper()}"
        assert await refused(data, option, str(port)) == [
            f"deis-platform: port {port} on 127.0.0.1 is taken: choose another,"
            f" {option} or {setting}"
        ]
    assert names(data) == []


async def test_a_missing_git_is_named_with_its_package(data: Path, tmp_path: Path) -> None:
    assert await refused(data, environ={"PATH": str(tmp_path / "nothing")}) == [
        "deis-platform: git not found: install it (Debian: apt-get install git)",
        "deis-platform: ssh-keygen not found: install it (Debian: apt-get install openssh-client)",
    ]
    assert names(data) == []


@pytest.mark.parametrize("setting", ["DEIS_NATS_SERVER", "DEIS_POSTGRES_BIN", "DEIS_NGINX"])
async def test_a_missing_server_is_named_with_its_setting(data: Path, setting: str) -> None:
    lines = await refused(data, environ={setting: str(data / "nowhere")})
    assert len(lines) == 1
    assert lines[0].startswith(f"deis-platform: {setting}: no program at ")
    assert names(data) == []


async def test_a_newer_data_folder_is_left_alone(data: Path) -> None:
    filled(data, "version", "99\n")
    assert await refused(data) == [
        f"deis-platform: data folder {data} was written by a newer deis-platform (layout 99, this"
        " one knows 1): use that one, or choose another with --data"
    ]
    assert names(data) == ["version"]


async def test_a_folder_with_other_things_in_it_is_left_alone(data: Path) -> None:
    filled(data, "thesis.txt", "")
    assert await refused(data) == [
        f"deis-platform: data folder {data} holds something else: choose another with --data"
    ]
    assert names(data) == ["thesis.txt"]


def test_a_first_start_that_was_killed_at_once_can_come_again(data: Path) -> None:
    filled(data, "lock", "4711")
    filled(data, ".version", "")
    assert problems(data) == []
    with opened(data) as folder:
        assert folder.first
    with opened(data) as folder:
        assert not folder.first
    assert problems(data) == []


@pytest.mark.root
async def test_a_data_folder_of_another_user_is_left_alone(data: Path) -> None:
    owned(data, 65534)
    assert await refused(data) == [
        f"deis-platform: data folder {data} belongs to another user: choose another with --data"
    ]
    assert names(data) == []


@pytest.mark.root
async def test_a_data_folder_that_other_users_cannot_reach_is_refused(data: Path) -> None:
    closed(data)
    assert await refused(data / "below") == [
        f"deis-platform: data folder {data}/below lies below {data}, which only its owner may"
        " enter: as root, choose another with --data"
    ]
    assert names(data) == []


@pytest.mark.root
async def test_an_interpreter_that_other_users_cannot_reach_is_refused(
    data: Path, tmp_path: Path
) -> None:
    closed(tmp_path / "closed")
    python = tmp_path / "closed" / "python3"
    shutil.copy(os.path.realpath(sys.executable), python)
    places = {
        "PYTHONHOME": sys.base_prefix,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "DEIS_NATS_SERVER": str(nats_server()),
    }
    assert await refused(data, environ=places, python=str(python)) == [
        f"deis-platform: Python {python} lies below {tmp_path}/closed, which only its owner may"
        " enter, and as root applications run as users of their own: install with another one,"
        " such as PYTHON=/usr/bin/python3"
    ]
    assert names(data) == []


@pytest.mark.user  # root may look into every folder
async def test_a_data_folder_where_we_may_not_look_is_refused(data: Path) -> None:
    closed(data)
    data.chmod(0)
    assert await refused(data / "below") == [
        f"deis-platform: data folder {data}/below cannot be made in {data}: choose another with"
        " --data"
    ]
    data.chmod(0o700)


async def test_wrong_settings_are_all_named(data: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "deis_services.main", "up", "--data", str(data),
        stderr=asyncio.subprocess.PIPE,
        env=os.environ
        | {"DEIS_PORT": "eighty", "DEIS_PROCESSES": "perhaps", "DEIS_LOG_LEVEL": "loud"},
    )  # fmt: skip
    _, errors = await process.communicate()
    assert process.returncode == 2
    assert "DEIS_PORT: expected a whole number" in errors.decode()
    assert "DEIS_PROCESSES: expected true or false" in errors.decode()
    assert "DEIS_LOG_LEVEL: expected one of debug, info, warning, error" in errors.decode()


async def test_a_second_platform_on_the_same_data_is_refused(data: Path) -> None:
    async with platform_up(data, environ={"DEIS_SERVICES": "router"}) as platform:
        assert await refused(data, "--port", str(platform.port)) == [
            f"deis-platform: data folder {data} is in use by another platform"
            f" (process {platform.process.pid})"
        ]


async def test_a_database_of_another_postgresql_is_refused(data: Path) -> None:
    async with platform_up(data, environ={"DEIS_SERVICES": "router"}):
        pass
    filled(data / "postgres" / "cluster", "PG_VERSION", "17\n")
    lines = await refused(data, environ={"DEIS_SERVICES": "router"})
    assert len(lines) == 1
    assert "is of PostgreSQL 17, the program is 18." in lines[0]


def test_the_tools_for_these_tests_are_there() -> None:
    assert shutil.which("git")
    assert shutil.which("ssh-keygen")
