"""What a process of a slug is started with (components.md 3.5)."""

import json
import os
import subprocess
import sys
from pathlib import Path

from deis_services.slugrunner import runner


def test_words_are_joined_and_run_as_given() -> None:
    assert runner.command(["python manage.py", "migrate"], None, {}) == "python manage.py migrate"


def test_one_word_that_begins_with_start_is_a_command() -> None:
    assert runner.command(["start web"], "web: ./server\n", {}) == "start web"


def test_start_asks_the_procfile_and_does_not_fall_back() -> None:
    procfile = "# a comment\nweb: ./server --port $PORT\nworker: 'sh worker.sh'\n  web: indented\n"
    assert runner.command(["start", "web"], procfile, {"web": "no"}) == "./server --port $PORT"
    assert runner.command(["start", "worker"], procfile, {}) == "sh worker.sh"
    assert runner.command(["start", "clock"], procfile, {"clock": "no"}) == ""


def test_start_without_a_procfile_asks_the_buildpack() -> None:
    assert runner.command(["start", "web"], None, {"web": "serve"}) == "serve"


def test_a_command_may_hold_colons() -> None:
    assert runner.types_of("web: a: b:c\nbad:nothing\n") == {"web": "a: b:c"}


def test_release_of_our_slugbuilder() -> None:
    text = json.dumps({"default_process_types": {"web": "x"}, "config_vars": {"A": "1", "B=": "2"}})
    assert runner.release(text) == ({"web": "x"}, {"A": "1"})


def test_release_of_another_slugbuilder() -> None:
    text = "---\nconfig_vars:\n  PATH: 'bin:/usr/bin'\n  N: 5\ndefault_process_types:\n  web: a b\n"
    assert runner.release(text) == ({"web": "a b"}, {"PATH": "bin:/usr/bin", "N": "5"})


def test_release_that_says_nothing() -> None:
    for text in ("", "\n", "--- {}\n", "[]", "5", "addons: []\n"):
        assert runner.release(text) == ({}, {})


def test_config_vars_are_defaults_only() -> None:
    assert runner.with_defaults({"A": "own"}, {"A": "pack", "B": "pack"}) == {
        "A": "own",
        "B": "pack",
    }


def started(folder: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-S", "-E", runner.__file__, *words],
        cwd=folder,
        env={"PATH": os.defpath, "LANG": "C.UTF-8"} | environ,
        capture_output=True,
        text=True,
        check=False,
    )


def test_profile_scripts_run_in_name_order_after_the_environment(tmp_path: Path) -> None:
    (tmp_path / ".profile.d").mkdir()
    (tmp_path / ".profile.d" / "a.sh").write_text(
        'export A="first $WHO"; set -- x; WHO=changed; C=1\n'
    )
    (tmp_path / ".profile.d" / "b").write_text('export B="$A, second"\n')
    (tmp_path / ".release").write_text('{"config_vars": {"WHO": "pack", "D": "default"}}')
    done = started(tmp_path, 'echo "$A|$B|$WHO|${C-unset}|$D|$#"', WHO="config")
    assert done.stdout == "first config|first config, second|changed|unset|default|0\n", done.stderr


def test_nothing_of_ours_is_left_in_the_environment(tmp_path: Path) -> None:
    done = started(tmp_path, "env")
    names = {line.partition("=")[0] for line in done.stdout.splitlines()}
    assert names <= {"PATH", "LANG", "PWD", "SHLVL", "_", "OLDPWD"}


def test_the_command_is_never_part_of_a_shell_text_of_ours(tmp_path: Path) -> None:
    done = started(tmp_path, """printf '%s' "a'b" '"c' '$(id)'; exit 3""")
    assert (done.stdout, done.returncode) == ("a'b\"c$(id)", 3)


def test_an_unknown_type_ends_well(tmp_path: Path) -> None:
    (tmp_path / "Procfile").write_text("web: exit 4\n")
    assert started(tmp_path, "start", "nope").returncode == 0
    assert started(tmp_path, "start", "web").returncode == 4


def test_a_pipe_that_closes_ends_the_process_as_elsewhere(tmp_path: Path) -> None:
    done = started(tmp_path, "yes | head -n 1; echo ${PIPESTATUS[0]}")
    assert done.stdout == "y\n141\n", done.stderr
