"""What clients may ask for, and which ref becomes a build."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deis_platform.names import is_app_name
from deis_services.builder.parse import (
    GitCommand,
    NotServed,
    Ping,
    RefUpdate,
    chosen,
    command,
    repository,
    updates,
)

OLD, NEW, NOTHING = "a" * 40, "b" * 40, "0" * 40


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("git-receive-pack 'blog.git'", GitCommand("blog", True)),
        ("git-receive-pack '/blog.git'", GitCommand("blog", True)),
        ("git receive-pack '/blog'", GitCommand("blog", True)),
        ("git-upload-pack 'amber-otter.git'", GitCommand("amber-otter", False)),
        ("git-upload-pack blog.git", GitCommand("blog", False)),
        ("ping", Ping()),
    ],
)
def test_what_is_served(text: str, asked: GitCommand | Ping) -> None:
    assert command(text) == asked


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ls",
        "ping ping",
        "git-receive-pack",
        "git-receive-pack ''",
        "git-receive-pack '.git'",
        "git-receive-pack '../blog.git'",
        "git-receive-pack '//blog.git'",
        "git-receive-pack 'a/b.git'",
        "git-receive-pack 'Blog.git'",
        "git-receive-pack '-x.git'",
        "git-receive-pack 'blog.git' 'x.git'",
        "git-receive-pack 'blog.git'; id",
        "git-receive-pack 'blog.git' --help",
        "git-receive-pack --help 'blog.git'",
        "git-receive-pack '$(id).git'",
        "git-receive-pack '`id`.git'",
        "git-receive-pack 'blog.git",
        "git-receive-pack 'blog\n.git'",
        "git-receive-pack 'blog.git'\nid",
        "git-receive-pack  'blog.git'",
        "git-receive-pack 'bl\\'og.git'",
        "git-receive-pack 'blog\0.git'",
        "git-upload-archive 'blog.git'",
        "git-shell -c ls",
        "git-receive-pack '" + "a" * 600 + ".git'",
    ],
)
def test_what_is_not_served(text: str) -> None:
    with pytest.raises(NotServed):
        command(text)


@given(st.text(max_size=80))
def test_only_names_of_applications_come_through(text: str) -> None:
    try:
        asked = command(f"git-receive-pack '{text}'")
    except NotServed:
        return
    assert isinstance(asked, GitCommand)
    assert is_app_name(asked.app)


@given(st.text(max_size=80))
def test_a_repository_is_named_after_its_application(text: str) -> None:
    try:
        app = repository(text)
    except NotServed:
        return
    assert text in (app, f"/{app}", f"{app}.git", f"/{app}.git")


def test_updates_of_refs() -> None:
    lines = [f"{OLD} {NEW} refs/heads/main", f"{NOTHING} {NEW} refs/heads/a b"]
    assert updates(lines) == [
        RefUpdate(OLD, NEW, "refs/heads/main"),
        RefUpdate(NOTHING, NEW, "refs/heads/a b"),
    ]


@pytest.mark.parametrize("line", ["", "x", f"{OLD} {NEW}", f"{OLD} {NEW} ", f"-x {NEW} refs/x"])
def test_lines_that_git_does_not_write(line: str) -> None:
    with pytest.raises(NotServed):
        updates([line])


def test_one_branch_is_built() -> None:
    update = RefUpdate(OLD, NEW, "refs/heads/topic/x")
    assert chosen([update]) == update


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([RefUpdate(OLD, NOTHING, "refs/heads/main")], "cannot be deleted"),
        ([RefUpdate(OLD, NEW, "refs/heads/a"), RefUpdate(OLD, NEW, "refs/heads/b")], "one branch"),
        (
            [RefUpdate(OLD, NEW, "refs/heads/a"), RefUpdate(OLD, NOTHING, "refs/heads/b")],
            "cannot be deleted",
        ),
        ([RefUpdate(OLD, NEW, "refs/tags/v1")], "A tag cannot be deployed"),
        ([RefUpdate(OLD, NEW, "refs/notes/x")], "refs/notes/x"),
        ([RefUpdate(OLD, NEW, "refs/heads/" + "a/" * 1000 + "a")], "longer than"),
        ([], "one branch"),
    ],
)
def test_what_is_no_deployment(given: list[RefUpdate], words: str) -> None:
    with pytest.raises(NotServed, match=words):
        chosen(given)
