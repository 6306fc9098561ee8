"""Which application is meant, and the git remotes (cli.md 4)."""

import pytest

from deis_cli.core.git import Remote, app_of, builder_of, ours
from tests.unit.deis_cli.scripted import Person

PODS = {"results": [], "count": 0}


def test_builder() -> None:
    advertised = builder_of("ssh://git@localhost:2222", "http://deis.localhost:8080")
    assert advertised.url("blog") == "ssh://git@localhost:2222/blog.git"
    derived = builder_of("", "https://deis.example.net:8443")
    assert derived.url("blog") == "ssh://git@deis-builder.example.net:2222/blog.git"


@pytest.mark.parametrize(
    ("url", "mine"),
    [
        ("ssh://git@localhost:2222/blog.git", True),
        ("ssh://git@localhost:22223/blog.git", False),
        ("ssh://git@notlocalhost:2222/blog.git", False),
        ("https://localhost:2222/blog.git", True),
        ("git@example.com:blog.git", False),
    ],
)
def test_remotes_are_recognised_by_what_is_advertised(url: str, mine: bool) -> None:
    builder = builder_of("ssh://git@localhost:2222", "")
    assert bool(ours([Remote("deis", url)], builder)) is mine


def test_app_of_a_url() -> None:
    assert app_of("ssh://git@localhost:2222/blog.git") == "blog"
    assert app_of("ssh://git@localhost:2222/blog") == "blog"


async def asked_app(ada: Person, *words: str) -> str:
    """Whose processes a command asks for."""
    await ada.types("ps", *words)
    return ada.server.paths()[-1]


async def test_order(ada: Person) -> None:
    assert "apps/work/" in await asked_app(ada)
    await ada.git("init", "-q")
    assert "apps/work/" in await asked_app(ada)
    await ada.git("remote", "add", "origin", "ssh://git@example.com/other.git")
    await ada.git("remote", "add", "prod", "ssh://git@localhost:2222/blog.git")
    await ada.git("remote", "add", "stage", "ssh://git@localhost:2222/blog-stage.git")
    ada.server.says("GET /v2/platform", 200, {"git": "ssh://git@localhost:2222"})
    assert "apps/blog/" in await asked_app(ada)
    ada.environ["DEIS_APP"] = "variable"
    assert "apps/variable/" in await asked_app(ada)
    assert "apps/given/" in await asked_app(ada, "-a", "given")


async def test_a_404_says_how_the_name_was_found(ada: Person) -> None:
    ada.server.says("GET /v2/apps/work/pods/", 404, "No App matches the given query.")
    shown = await ada.types("ps")
    assert shown.code == 1
    assert shown.err == (
        "Error: No App matches the given query.\n"
        "The application's name comes from the folder's name; `-a <app>` names another.\n"
    )
    ada.server.says("GET /v2/apps/x/pods/", 404, "No App matches the given query.")
    assert (await ada.types("ps", "-a", "x")).err == "Error: No App matches the given query.\n"
    ada.server.says("GET /v2/apps/work/releases/v9/", 404, "No Release matches the given query.")
    shown = await ada.types("releases:info", "v9")
    assert shown.err == "Error: No Release matches the given query.\n"


async def test_git_remote(ada: Person) -> None:
    await ada.git("init", "-q")
    ada.server.says("GET /v2/platform", 200, {"git": "ssh://git@localhost:2222"})
    shown = await ada.types("git:remote", "-a", "blog")
    assert shown.out == "Git remote deis successfully created for app blog.\n"
    shown = await ada.types("git:remote", "-a", "blog")
    assert (shown.code, "already exists and is correctly" in shown.out) == (0, True)
    shown = await ada.types("git:remote", "-a", "shop")
    assert shown.code == 1
    for part in ("/blog.git", "/shop.git", "git:remote -f"):
        assert part in shown.err
    shown = await ada.types("git:remote", "-a", "shop", "-f")
    assert shown.out.splitlines() == [
        "Deleting git remote deis.",
        "Git remote deis successfully created for app shop.",
    ]
    assert (
        await ada.types("git:remove", "-a", "shop")
    ).out == "Git remotes for app shop removed.\n"
    shown = await ada.types("git:remove", "-a", "shop")
    assert "could not find remote matching app" in shown.err


async def test_git_remote_outside_git(ada: Person) -> None:
    shown = await ada.types("git:remote", "-a", "blog")
    assert shown.code == 1
    assert "Error when running 'git remote add" in shown.err
