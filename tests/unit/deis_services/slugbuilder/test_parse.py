"""What the texts of a repository mean: Procfile, release file, .slugignore."""

import pytest

from deis_services.slugbuilder import parse


@pytest.mark.parametrize(
    ("text", "types"),
    [
        ("web: ./server\nworker: sh worker.sh\n", {"web": "./server", "worker": "sh worker.sh"}),
        ("web: true\n", {"web": "true"}),
        ("web: echo a: b\n# no\n\nclock: x\n", {"web": "echo a: b", "clock": "x"}),
        ("web: 'quoted'\n", {"web": "quoted"}),
        ("", {}),
        ("# nothing\n", {}),
    ],
)
def test_procfile(text: str, types: dict[str, str]) -> None:
    assert parse.procfile(text) == types


@pytest.mark.parametrize(
    "text",
    [
        "just words\n",
        "- web\n",
        "Web: x\n",
        "web-: x\n",
        "a" * 64 + ": x\n",
        "web:\n",
        "web: {a: b}\n",
        "web: a: b\nnonsense\n",
        "web: a\0\n",
        "web: " + "a" * parse.MAX_TEXT,
        "web: " + "[" * 30_000,
    ],
)
def test_procfile_that_is_none(text: str) -> None:
    with pytest.raises(parse.Malformed):
        parse.procfile(text)


def test_release() -> None:
    text = "---\ndefault_process_types:\n  web: serve\nconfig_vars:\n  A: 1\n"
    assert parse.release(text) == ({"web": "serve"}, {"A": "1"})
    assert parse.release("") == ({}, {})


@pytest.mark.parametrize(
    "text",
    [
        *("[1]", "{", "default_process_types: [a]", "config_vars: x", "a: *b", "[" * 30_000),
        "config_vars: {A: [x]}",
    ],
)
def test_release_that_is_none(text: str) -> None:
    with pytest.raises(parse.Malformed):
        parse.release(text)


@pytest.mark.parametrize(
    ("pattern", "out", "kept"),
    [
        ("*.psd", ["a.psd", "art/b.psd"], ["a.psd.txt"]),
        ("/docs", ["docs", "docs/a"], ["src/docs"]),
        ("./docs/", ["docs/a"], ["src/docs/a"]),
        ("node_modules", ["node_modules/a", "x/node_modules/b/c"], ["my_node_modules"]),
        ("# comment", [], ["# comment"]),
        ("/", [], ["a"]),
    ],
)
def test_slugignore(pattern: str, out: list[str], kept: list[str]) -> None:
    ignored = parse.ignored(f"\n{pattern}\n")
    assert [path for path in out + kept if ignored(path)] == out
