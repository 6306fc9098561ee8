"""/runner/init for real: a slug over HTTP, unpacked, its process started (components.md 3.5)."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deis_platform import slugs
from deis_platform.embedded.ports import free_port
from deis_services.slugrunner import fetch, init
from integration.builder_objects import Objects, archive, objects

SLUG, TOKEN = "slugs/a/p-1.tgz", "t-slug"
PATHS = [
    str(Path(str(module.__file__)).parents[levels]) for module, levels in ((slugs, 1), (init, 2))
]
PROGRAM = (
    "import sys; sys.path += sys.argv[1:3]\n"
    "from deis_services.slugrunner.init import main\n"
    "main(sys.argv[4:], sys.argv[3])"
)

pytestmark = pytest.mark.server


@pytest.fixture
def store() -> Iterator[Objects]:
    with objects() as held:
        held.tokens |= {TOKEN: SLUG}
        yield held


@pytest.fixture
def app(tmp_path: Path) -> Path:
    folder = tmp_path / "app"
    folder.mkdir()
    return folder


def started(
    app: Path, words: str, environ: dict[str, str], data: bytes | None = None
) -> subprocess.CompletedProcess[bytes]:
    """/runner/init as the image starts it, but for the folder."""
    return subprocess.run(
        [sys.executable, "-ISE", "-c", PROGRAM, *PATHS, str(app), *words.split(" ")],
        env={"PATH": os.defpath} | environ,
        input=data,
        stdin=None if data is not None else subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=30,
    )


def fetched(
    app: Path, store: Objects, words: str, **environ: str
) -> subprocess.CompletedProcess[bytes]:
    return started(app, words, {"SLUG_URL": store.url(SLUG), "SLUG_TOKEN": TOKEN} | environ)


def test_a_slug_becomes_its_process(store: Objects, app: Path) -> None:
    files: dict[str, str | bytes] = {
        "Procfile": "web: bin/hello $PORT\n",
        "bin/hello": '#!/bin/sh\necho "hello $1 $COLOUR"; env; touch new\n',
        ".profile.d/colour.sh": "export COLOUR=red\n",
    }
    store.held[SLUG] = archive(files)
    done = fetched(app, store, "start web", PORT="5000", SLUG_LIMIT_BYTES="1000000")
    lines = done.stdout.decode().splitlines()
    assert lines[0] == "hello 5000 red", done.stderr
    assert not [line for line in lines if "SLUG" in line or TOKEN in line]
    assert sorted(path.name for path in app.iterdir()) == [".profile.d", "Procfile", "bin", "new"]


def test_a_store_that_is_away_and_one_that_breaks_off_are_asked_again(
    store: Objects, app: Path
) -> None:
    store.held[SLUG] = archive({f"file{number}": os.urandom(20_000) for number in range(20)})
    store.away, store.cut = 2, 1
    done = fetched(app, store, "ls | wc -l")
    assert done.stdout.strip() == b"20", done.stderr
    assert (store.away, store.cut) == (0, 0)
    assert b"waiting for the slug: artifacts answered 503\n" in done.stderr
    assert b"waiting for the slug: the answer was cut off\n" in done.stderr


def test_a_slug_that_is_there_is_not_fetched_again(store: Objects, app: Path) -> None:
    (app / "Procfile").write_text("web: echo from here\n")
    done = fetched(app, store, "start web")
    assert done.stdout == b"from here\n", done.stderr


def test_half_a_slug_of_a_container_that_was_killed_is_thrown_away(
    store: Objects, app: Path
) -> None:
    (app / init.UNPACKING).touch()
    (app / "old" / "deep").mkdir(parents=True)
    (app / "link").symlink_to("/etc")
    store.held[SLUG] = archive({"new": "x"})
    done = fetched(app, store, "ls -A")
    assert done.stdout == b"new\n", done.stderr
    assert Path("/etc/passwd").exists()


def test_another_server_that_it_is_sent_to_is_not_shown_the_token(
    store: Objects, app: Path
) -> None:
    with objects() as other:
        other.tokens, other.held[SLUG] = {TOKEN: SLUG}, archive({"word": "there"})
        store.moved[SLUG] = other.url(SLUG)
        done = fetched(app, store, "cat word")
        assert done.stderr.decode() == f"slugrunner: {fetch.FORBIDDEN}\n"
    store.tokens |= {TOKEN: "slugs/"}
    store.held["slugs/a/moved"] = archive({"word": "here"})
    store.moved[SLUG] = store.url("slugs/a/moved")
    assert fetched(app, store, "cat word").stdout == b"here"


@pytest.mark.parametrize(
    ("token", "words"),
    [(TOKEN, fetch.GONE), ("of another", fetch.FORBIDDEN)],
)
def test_a_slug_that_is_not_for_us_ends_it_at_once(
    store: Objects, app: Path, token: str, words: str
) -> None:
    done = fetched(app, store, "true", SLUG_TOKEN=token)
    assert (done.returncode, done.stderr.decode()) == (init.REFUSED, f"slugrunner: {words}\n")


def test_a_slug_past_the_limit_is_refused(store: Objects, app: Path) -> None:
    store.held[SLUG] = archive({"large": os.urandom(200_000)})
    done = fetched(app, store, "true", SLUG_LIMIT_BYTES="100000")
    assert done.returncode == init.REFUSED
    assert done.stderr == b"slugrunner: The slug is larger than 100000 bytes\n"


def test_a_link_leading_out_is_refused(store: Objects, app: Path) -> None:
    store.held[SLUG] = archive({"leak": "->/etc/passwd"})
    done = fetched(app, store, "cat leak")
    assert (done.returncode, done.stdout) == (init.REFUSED, b"")
    assert b"The slug holds a link leading out: leak" in done.stderr
    again = fetched(app, store, "cat leak")  # nor when the container is started again
    assert (again.returncode, again.stdout) == (init.REFUSED, b"")


def test_what_is_no_slug_is_refused(store: Objects, app: Path) -> None:
    store.held[SLUG] = b"<html>a page of a proxy</html>"
    done = fetched(app, store, "true")
    assert done.returncode == init.REFUSED
    assert done.stderr.startswith(b"slugrunner: The slug is not a gzip tar archive")


def test_a_slug_on_standard_input(app: Path) -> None:
    done = started(app, "cat word", {}, archive({"word": "piped"}))
    assert done.stdout == b"piped", done.stderr


def test_a_store_that_stays_away_ends_the_wait() -> None:
    with pytest.raises(fetch.Away, match="artifacts is away"):
        fetch.fetch(f"http://127.0.0.1:{free_port()}/x", "", 10, lambda _: None, patience=0.3)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "http://", "http://host:port/", "nonsense"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(slugs.BadSlug, match="no address"):
        fetch.fetch(url, "", 10, lambda _: None)
