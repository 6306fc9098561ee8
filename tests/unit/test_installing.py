"""Who installs the client alone gets the client alone (DESIGN 2)."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest

HOUSE = Path(__file__).resolve().parents[2]
CLIENT = {"typer", "rich", "aiohttp", "msgspec"}
OF_SERVICES = (
    "aiobotocore",
    "argon2",
    "asyncpg",
    "asyncssh",
    "cryptography",
    "deis_bus",
    "deis_platform",
    "deis_services",
    "jinja2",
    "kubernetes_asyncio",
    "nats",
    "prometheus_client",
    "structlog",
    "uvloop",
    "yaml",
)
WITHOUT = f"""
import importlib, pkgutil, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {OF_SERVICES!r}:
            raise ModuleNotFoundError("not installed with the client: " + name)

sys.meta_path.insert(0, Absent())
"""


def name(requirement: str) -> str:
    """`nats-py` of `nats-py>=2.16; extra == "x"`."""
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found, requirement
    return found[0].lower()


def python(program: str) -> str:
    """What a program prints, in a process where only the client's libraries are installed."""
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT + program], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_the_project_itself_requires_what_the_client_needs() -> None:
    project = tomllib.loads((HOUSE / "pyproject.toml").read_text())["project"]
    assert {name(entry) for entry in project["dependencies"]} == CLIENT


def test_nothing_the_client_needs_brings_a_library_of_the_services() -> None:
    project = tomllib.loads((HOUSE / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    services = {name(entry) for entry in extras["services"]} - CLIENT
    brought, waiting = set[str](), set(CLIENT)
    while waiting:
        package = waiting.pop()
        brought.add(package)
        try:
            needs = requires(package) or []
        except PackageNotFoundError:  # for another system or another Python
            continue
        waiting |= {name(entry) for entry in needs if "extra ==" not in entry} - brought
    assert brought & services == set()


def test_every_module_of_the_client_does_without_the_services() -> None:
    program = """
import deis_cli
found = [module.name for module in pkgutil.walk_packages(deis_cli.__path__, "deis_cli.")]
for module in found:
    if not module.endswith("__main__"):
        importlib.import_module(module)
print(len(found))
"""
    assert int(python(program)) > 20


@pytest.mark.parametrize("words", [["--help"], ["apps", "--help"], ["help", "apps:create"]])
def test_help_does_without_the_services(words: list[str]) -> None:
    program = f"""
sys.argv = ["deis", *{words!r}]
from deis_cli.main import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
"""
    assert "apps" in python(program)


def test_help_of_the_platform_imports_no_service() -> None:
    program = """
import sys
from deis_services.main import main
try:
    main(["--help"])
except SystemExit:
    pass
heavy = {"nats", "asyncpg", "aiohttp", "asyncssh", "cryptography", "deis_bus", "deis_platform"}
print(sorted(heavy & {module.partition(".")[0] for module in sys.modules}))
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ran.stdout.splitlines()[-1] == "[]"
