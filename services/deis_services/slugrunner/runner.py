"""Becomes a process of a slug: `runner.py start TYPE`, or `runner.py COMMAND…` for anything else.

Works in the slug's folder (components.md 3.5): `.release`'s config_vars are defaults, the files
of `.profile.d/` are sourced after the environment in name order, then `bash -c COMMAND` takes
the place of this program. A command is an argument all the way down: nothing of it is ever put
into a shell text of ours. One argument that says `start web` is a command like any other; the
local runtime always gives one argument, or `start` and a type where it knows no command.
"""

import _signal  # type: ignore[import-not-found]  # `signal` itself takes 4 ms to import
import os
import sys

TYPE_CHECKING = False  # importing typing would double the time of a start
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_TEXT = 64 * 1024
SCRIPT = """
deis_command=$1
set --
for deis_file in .profile.d/*; do
  if [ -f "$deis_file" ]; then . "$deis_file"; fi
done
exec "$BASH" -c "$deis_command"
"""
"""Neither variable is exported: a name without export reaches the process only where it was
exported already, as the original has it."""
FALLBACK_PATH = "/usr/local/bin:/usr/bin:/bin"


def main(words: "Sequence[str]") -> None:
    """Never returns; exit code 127 where there is no bash."""
    types, variables = release(read(".release") or "")
    text = command(words, read("Procfile"), types)
    bash = find_bash(f"/bin:/usr/bin:{os.environ.get('PATH', FALLBACK_PATH)}")
    if not bash:
        sys.stderr.write("slugrunner: there is no bash on this machine\n")
        sys.exit(127)
    environ = with_defaults(os.environ, variables)
    for number in (_signal.SIGPIPE, _signal.SIGXFSZ):
        # Python ignores these, and what is ignored stays so in the process it becomes.
        _signal.signal(number, _signal.SIG_DFL)
    os.execve(bash, ["bash", "-c", SCRIPT, "slugrunner", text], environ)  # noqa: S606


def find_bash(path: str) -> str:
    """The first bash in these folders; empty when there is none."""
    found = (os.path.join(folder, "bash") for folder in path.split(":") if folder)
    return next((name for name in found if os.access(name, os.X_OK)), "")


def command(words: "Sequence[str]", procfile: str | None, defaults: "Mapping[str, str]") -> str:
    """What to run. `start TYPE` asks the Procfile, without one the buildpack's default types.

    An unknown type is an empty command, which ends at once with code 0.
    """
    if len(words) == 2 and words[0] == "start":
        return (defaults if procfile is None else types_of(procfile)).get(words[1], "")
    return " ".join(words)


def with_defaults(environ: "Mapping[str, str]", variables: "Mapping[str, str]") -> dict[str, str]:
    """The environment; what it does not hold comes from the buildpack's config_vars."""
    return {**variables, **environ}


def types_of(procfile: str) -> dict[str, str]:
    """Process types and commands, line by line; what is no such line is left out."""
    found = (entry(line) for line in procfile.splitlines() if not line.startswith((" ", "\t")))
    return {name: value for name, value in found if name and value}


def release(text: str) -> tuple[dict[str, str], dict[str, str]]:
    """default_process_types and config_vars of `.release`.

    Our slugbuilder writes JSON; slugs of others hold the plain map of two levels that bin/release
    prints. What is neither gives nothing: the build would have told.
    """
    if not text.strip():
        return {}, {}
    import json  # most slugs say nothing there; their start should not pay for it

    try:
        found = json.loads(text)
    except ValueError:
        found = two_levels(text)
    if not isinstance(found, dict):
        return {}, {}
    return strings(found.get("default_process_types")), strings(found.get("config_vars"))


def two_levels(text: str) -> dict[str, dict[str, str]]:
    """A YAML map of maps of plain scalars."""
    found: dict[str, dict[str, str]] = {}
    section: dict[str, str] = {}
    for line in text.splitlines():
        name, value = entry(line)
        if not name:
            continue
        if line[:1] in (" ", "\t"):
            section[name] = value
        else:
            section = found.setdefault(name, {})
    return found


def entry(line: str) -> tuple[str, str]:
    """`name: value`; empty name for a line that is none. One pair of quotes is taken off."""
    name, colon, value = line.strip().partition(":")
    if not colon or name.startswith("#") or (value and not value[0].isspace()):
        return "", ""
    return unquoted(name.strip()), unquoted(value.strip())


def unquoted(text: str) -> str:
    """The text without the quotes around it."""
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    return text


def strings(found: object) -> dict[str, str]:
    """A map of texts, without entries that can be no variable or command."""
    if not isinstance(found, dict):
        return {}
    texts = {str(name): str(value) for name, value in found.items()}
    return {
        name: value
        for name, value in texts.items()
        if name and "=" not in name and "\0" not in name + value
    }


def read(path: str) -> str | None:
    """The file's first 64 KB; None when there is no such file, or a link in its place."""
    if os.path.islink(path) or not os.path.isfile(path):
        return None
    with open(path, "rb") as file:
        return file.read(MAX_TEXT).decode("utf-8", "replace")


if __name__ == "__main__":
    main(sys.argv[1:])
