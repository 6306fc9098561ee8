"""The house of DESIGN 2 keeps its shape: five guards against `platform/` hiding the module.

`platform/`, `bus/`, `services/` and `cli/` are plain folders; each holds one package. One stray
`__init__.py` in them and `import platform` means ours instead of the standard library's.
"""

import ast
import asyncio
import platform
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path
from typing import Any

import pytest

from deis_platform.runner import new_loop

HOUSE = Path(__file__).resolve().parents[2]
ROOMS = {
    "bus": "deis_bus",
    "platform": "deis_platform",
    "services": "deis_services",
    "cli": "deis_cli",
}
MODULE_LINES = 400
FUNCTION_LINES = 60


def project() -> dict[str, Any]:
    """The settings of the tools."""
    tools: dict[str, Any] = tomllib.loads((HOUSE / "pyproject.toml").read_text())["tool"]
    return tools


@pytest.mark.parametrize(("room", "package"), ROOMS.items())
def test_a_room_holds_one_package_and_no_module(room: str, package: str) -> None:
    assert sorted(path.name for path in (HOUSE / room).glob("*.py*")) == []
    packages = [path.parent.name for path in (HOUSE / room).glob("*/__init__.py")]
    assert packages == [package]


def test_platform_is_the_standard_library() -> None:
    stdlib = Path(sysconfig.get_path("stdlib")).resolve()
    assert Path(platform.__file__).resolve().parent == stdlib


def test_from_the_root_platform_is_still_the_standard_library() -> None:
    program = "import platform, uuid; platform.system(); print(platform.__file__)"
    printed = subprocess.run(
        [sys.executable, "-c", program], cwd=HOUSE, capture_output=True, text=True, check=True
    ).stdout
    assert HOUSE / "platform" not in Path(printed.strip()).parents


def test_the_tools_keep_the_guards() -> None:
    tools = project()
    assert "src" not in tools["ruff"], "with src, ruff stops reporting platform/__init__.py (A005)"
    assert "A" in tools["ruff"]["lint"]["select"]
    assert set(tools["ruff"]["lint"]["isort"]["known-first-party"]) == set(ROOMS.values())
    banned = tools["ruff"]["lint"]["flake8-tidy-imports"]["banned-api"]
    assert set(banned) == {"bus", "services", "cli"}
    assert "packages" not in tools["mypy"], "with packages, mypy reads half and says success"
    assert set(ROOMS) <= set(tools["mypy"]["files"])
    assert "--import-mode=importlib" in tools["pytest"]["ini_options"]["addopts"]


def test_the_makefile_keeps_the_working_directory_off_the_path() -> None:
    assert "export PYTHONSAFEPATH := 1" in (HOUSE / "Makefile").read_text()


@pytest.mark.parametrize("target", ["demo", "bench"])
def test_what_the_makefile_runs_out_of_this_folder_is_found(target: str) -> None:
    """As `make` would run it, but only looked for."""
    recipe = subprocess.run(
        ["make", "-n", "--no-print-directory", target, f"PYTHON_IN_VENV={sys.executable}"],
        cwd=HOUSE, capture_output=True, text=True, check=True,
    ).stdout.splitlines()[-1]  # fmt: skip
    run, module = recipe.split(" -m ")
    program = f"import importlib.util; assert importlib.util.find_spec({module!r})"
    subprocess.run(
        ["/bin/sh", "-c", f'{run} -c "{program}"'],
        cwd=HOUSE, env={"PYTHONSAFEPATH": "1"}, check=True,
    )  # fmt: skip


@pytest.mark.parametrize(("room", "package"), ROOMS.items())
def test_modules_and_functions_stay_small_and_have_a_subject(room: str, package: str) -> None:
    found: list[str] = []
    for path in sorted((HOUSE / room / package).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if len(text.splitlines()) > MODULE_LINES:
            found.append(f"{path} is longer than {MODULE_LINES} lines")
        if path.stem in ("utils", "helpers", "common"):
            found.append(f"{path} says nothing of what is in it")
        found += [
            f"{path}: {node.name} is longer than {FUNCTION_LINES} lines"
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and (node.end_lineno or 0) - node.lineno >= FUNCTION_LINES
        ]
    assert found == []


def test_every_folder_of_tests_is_a_package() -> None:
    bare = {
        path.parent
        for room in ("tests", "integration")
        for path in (HOUSE / room).rglob("test_*.py")
        if not (path.parent / "__init__.py").exists()
    }
    assert bare == set()


def test_the_locked_dependencies_have_hashes_and_name_no_index() -> None:
    lines = (HOUSE / "requirements.lock").read_text().splitlines()
    names = [line for line in lines if line and line[0].isalnum()]
    assert names
    assert all("==" in line and line.endswith("\\") for line in names)
    assert [line for line in lines if "://" in line or line.startswith("--")] == []


async def test_tests_run_on_the_platforms_loop_and_leave_the_servers_of_the_session_up(
    request: pytest.FixtureRequest,
) -> None:
    fresh = new_loop()
    fresh.close()
    assert type(asyncio.get_running_loop()) is type(fresh)
    assert not hasattr(request.node, "callspec"), "a parameter ends `nats` and `postgres` each time"
