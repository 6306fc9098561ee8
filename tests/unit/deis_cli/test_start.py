"""What happens before any command: help, usage, exit codes, start-up weight."""

import asyncio
import subprocess
import sys

import pytest

from deis_cli.registry import SHORTCUTS, TOPICS, commands
from tests.unit.deis_cli.scripted import Person

ALL = [name for topic in TOPICS for name in commands(topic)]


@pytest.mark.parametrize("name", [*ALL, *SHORTCUTS])
async def test_every_command_has_help(person: Person, name: str) -> None:
    shown = [
        await person.types("help", name),
        await person.types(name, "-h"),
        await person.types(name, "--help"),
    ]
    assert {one.code for one in shown} == {0}
    assert len({one.out for one in shown}) == 1
    assert f"Usage: deis {SHORTCUTS.get(name, name)}" in shown[0].out
    assert not shown[0].out.startswith("Usage")


@pytest.mark.parametrize("topic", [topic for topic in TOPICS if TOPICS[topic].actions])
async def test_every_topic_has_help(person: Person, topic: str) -> None:
    shown = await person.types("help", topic)
    assert shown.code == 0
    assert shown.out.startswith(f"Valid commands for {topic}:\n")
    assert all(f"  {name}" in shown.out for name in commands(topic) if name != "perms:remove")
    assert (await person.types(topic, "--help")).out == shown.out


async def test_no_words_is_a_usage_line_and_failure(person: Person) -> None:
    shown = await person.types()
    assert (shown.code, shown.out) == (1, "")
    assert shown.err.startswith("Usage: deis <command>")


async def test_unknown_words(person: Person) -> None:
    topic = await person.types("bogus")
    assert topic.code == 1
    assert "no matching command" in topic.err
    assert (await person.types("apps:bogus")).code == 2
    flag = await person.types("apps:list", "--bogus")
    assert flag.code == 2
    assert "Usage: deis apps:list" in flag.err
    assert (await person.types("git:remote", "a", "b")).code == 2


async def test_not_logged_in(person: Person) -> None:
    shown = await person.types("apps")
    assert shown.code == 1
    assert f"Error: Client configuration file not found at {person.profile}" in shown.err
    person.environ["DEIS_EXIT_CODES"] = "fine"
    assert (await person.types("apps")).code == 3


async def test_an_option_of_a_remote_command_that_was_taken_for_ours(ada: Person) -> None:
    hint = "Options of the command to run go behind `--`: deis run -- sh -c '...'"
    shown = await ada.types("run", "sh", "-c", "echo hi", "-a", "blog")
    assert shown.code == 1
    assert "Error: Client configuration file not found at" in shown.err
    assert shown.err.splitlines()[1] == f"`-c` chose that profile. {hint}"
    listing = await ada.types("run", "ls", "-l", "-a", "blog")
    assert (listing.code, listing.err.splitlines()[1]) == (2, hint)
    for other in (("whoami", "-c", "stage"), ("apps:list", "-z"), ("run",)):
        assert "behind" not in (await ada.types(*other)).err


async def test_version(person: Person) -> None:
    shown = await person.types("version")
    assert shown.out == "v2.23.0\n"
    assert (await person.types("-v")).out == shown.out


async def test_version_all_asks_the_platform(ada: Person) -> None:
    ada.server.says("GET /healthz", 200)
    shown = await ada.types("version", "--all")
    assert shown.out.splitlines() == [
        "Workflow CLI Version:             v2.23.0",
        "Workflow CLI API Version:         2.3",
        "Workflow Controller API Version:  2.3",
    ]


async def test_shortcuts(person: Person) -> None:
    shown = await person.types("shortcuts")
    assert "create -> apps:create\n" in shown.out
    assert shown.out.endswith("\n\n")


async def test_a_plugin_takes_an_unknown_topic(ada: Person) -> None:
    folder = ada.home / "bin"
    folder.mkdir()
    plugin = folder / "deis-hello"
    plugin.write_text('#!/bin/sh\necho "$1-$2 $DEIS_USERNAME $DEIS_PROFILE"\nexit 7\n')
    plugin.chmod(0o755)
    program = (
        "import sys; from deis_cli.main import run; from deis_cli.state import State;"
        "sys.exit(run(sys.argv[1:], State()))"
    )
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", program, "hello:list", "x"],
        env=ada.environ | {"PATH": f"{folder}:/usr/bin:/bin", "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (7, "list-x ada \n")


@pytest.mark.parametrize("argv", [["--help"], ["help", "apps"], ["apps:create", "--help"]])
def test_help_imports_nothing_heavy(argv: list[str]) -> None:
    program = (
        "import sys; from deis_cli.main import run; from deis_cli.state import State;"
        "run(sys.argv[1:], State());"
        "print([n for n in ('aiohttp', 'rich', 'msgspec', 'asyncio') if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *argv], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
