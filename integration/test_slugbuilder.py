"""Builds for real: source in over HTTP, slugbuilder as its own process, slug and result out."""

import base64
import http.client
import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deis_platform.embedded.ports import free_port
from deis_services.slugbuilder.unpack import unpack
from integration.builder_objects import Objects, archive, objects

APPS = Path(__file__).parent / "apps"
SOURCE, SLUG, CACHE = "sources/a/p.tar.gz", "slugs/a/p-1.tgz", "cache/a/cache.tgz"
PASSED = ("PATH", "LANG", "SSL_CERT_FILE", "PIP_CERT", "PIP_INDEX_URL", "UV_DEFAULT_INDEX")

pytestmark = [pytest.mark.server, pytest.mark.timeout(180)]


@pytest.fixture
def store() -> Iterator[Objects]:
    with objects() as held:
        held.tokens |= {"t-source": SOURCE, "t-slug": SLUG, "t-cache": CACHE}
        yield held


class Built:
    """A finished build: exit code, output, what is in the slug."""

    def __init__(self, code: int, output: str, store: Objects, folder: Path) -> None:
        self.code = code
        self.output = output
        raw = store.held.get(SLUG + ".json")
        self.result: dict[str, Any] = json.loads(raw) if raw else {}
        self.slug = folder / "slug"
        if SLUG in store.held:
            self.slug.mkdir()
            archive = folder / "slug.tgz"
            archive.write_bytes(store.held[SLUG])
            unpack(archive, self.slug)


def sample(name: str) -> dict[str, str | bytes]:
    folder = APPS / name
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def build(
    store: Objects,
    folder: Path,
    files: dict[str, str | bytes],
    config: dict[str, str] | None = None,
    **environ: str,
) -> Built:
    store.held[SOURCE] = archive(files)
    for key in (SLUG, SLUG + ".json"):
        store.held.pop(key, None)
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "env").mkdir(parents=True)
    (folder / "work").mkdir()
    for name, value in (config or {}).items():
        (folder / "env" / name).write_text(value)
    told = {name: os.environ[name] for name in PASSED if name in os.environ}
    told |= {
        "SOURCE_URL": store.url(SOURCE),
        "SOURCE_TOKEN": "t-source",
        "SOURCE_VERSION": "c0ffee",
    }
    told |= {"SLUG_URL": store.url(SLUG), "SLUG_TOKEN": "t-slug", "ENV_DIR": str(folder / "env")}
    told |= {"CACHE_URL": store.url(CACHE), "CACHE_TOKEN": "t-cache"} | environ
    done = subprocess.run(
        [sys.executable, "-I", "-m", "deis_services.slugbuilder"],
        cwd=folder / "work",
        env=told,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=120,
    )
    return Built(done.returncode, done.stdout, store, folder)


def test_a_python_application(store: Objects, tmp_path: Path) -> None:
    first = build(store, tmp_path / "one", sample("python"))
    assert first.code == 0, first.output
    assert "-----> Restoring cache...\n       Nothing to restore yet\n" in first.output
    assert "-----> Python app detected" in first.output
    assert "       Procfile declares types -> web" in first.output
    assert "-----> Compiled slug size is " in first.output
    assert first.result["procfile"] == {"web": "python app"}
    assert runs(first.slug, "python -c 'import humanize; print(humanize.ordinal(3))'") == "3rd"
    where = runs(first.slug, "python -c 'import sys; print(sys.executable, sys.prefix)'")
    assert where == f"{first.slug}/.deis/python/bin/python {first.slug}/.deis/python"

    changed = sample("python") | {"extra": "one more line\n"}
    second = build(store, tmp_path / "two", changed)
    assert "Using the installed packages of the last build" in second.output, second.output
    assert "Unchanged" in second.output
    assert store.puts.count(CACHE) == 1
    assert runs(second.slug, "python -c 'import humanize; print(humanize.ordinal(3))'") == "3rd"


def test_an_application_that_lists_itself_for_editing(store: Objects, tmp_path: Path) -> None:
    project = """
        [project]
        name = "own"
        version = "1"
        [build-system]
        requires = []
        build-backend = "backend"
        backend-path = ["."]
        """
    # Builds wheels with one module; for editing, with the path of its source.
    backend = """
        import os, zipfile
        def build_wheel(folder, settings=None, metadata=None, editable=False):
            with zipfile.ZipFile(os.path.join(folder, "own-1-py3-none-any.whl"), "w") as wheel:
                if editable:
                    wheel.writestr("own.pth", os.path.abspath("src"))
                else:
                    wheel.write("src/own.py", "own.py")
                head = "Metadata-Version: 2.1\\nName: own\\nVersion: 1\\n"
                wheel.writestr("own-1.dist-info/METADATA", head)
                tag = "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
                wheel.writestr("own-1.dist-info/WHEEL", tag)
                wheel.writestr("own-1.dist-info/RECORD", "")
            return "own-1-py3-none-any.whl"
        def build_editable(folder, settings=None, metadata=None):
            return build_wheel(folder, editable=True)
        """
    files: dict[str, str | bytes] = {
        "Procfile": "web: python -m own\n",
        "requirements.txt": "-e .\n",
        "pyproject.toml": textwrap.dedent(project),
        "backend.py": textwrap.dedent(backend),
        "src/own.py": "word = 'found'\n",
    }
    built = build(store, tmp_path / "one", files)
    assert built.code == 0, built.output
    shutil.rmtree(tmp_path / "one" / "work")
    assert runs(built.slug, "python -c 'import own; print(own.word)'") == "found"


def runs(slug: Path, command: str) -> str:
    """What a command prints as slugrunner would start it; the slug is read-only."""
    profile = 'for f in .profile.d/*; do . "$f"; done; '
    done = subprocess.run(
        ["bash", "-c", profile + command],
        cwd=slug,
        env={"HOME": str(slug), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_same_tree_gives_the_same_slug(store: Objects, tmp_path: Path) -> None:
    build(store, tmp_path / "one", sample("worker"))
    slug = store.held[SLUG]
    build(store, tmp_path / "two", sample("worker"))
    assert store.held[SLUG] == slug


def test_an_application_without_language(store: Objects, tmp_path: Path) -> None:
    built = build(store, tmp_path / "b", sample("worker"))
    assert built.code == 0
    assert built.result["procfile"] == {"web": "python3 server", "worker": "sh worker.sh"}
    assert "-----> Procfile app detected" in built.output
    assert "Procfile declares types -> web, worker" in built.output
    assert set(built.result["stages"]) >= {"fetch", "compile", "pack", "upload"}


def test_a_static_site(store: Objects, tmp_path: Path) -> None:
    built = build(store, tmp_path / "b", sample("static"))
    assert built.code == 0, built.output
    assert built.result["procfile"] == {"web": ".deis/static/serve"}
    assert "Default process types for Static -> web" in built.output
    with subprocess.Popen(
        ["bash", "-c", f"exec {built.result['procfile']['web']}"],
        cwd=built.slug,
        env={"PORT": "0", "HOST": "127.0.0.1", "PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        try:
            port = int(server.stdout.readline().split()[-1])
            assert get(port, "/") == (200, (APPS / "static" / "index.html").read_text())
            assert get(port, "/about")[1] == (APPS / "static" / "about.html").read_text()
            secret = ("/static.json", "/.deis/static/server.py", "/../x", "/%2e%2e/x")
            for path in (*secret, "/no", "/" + "long" * 100, "/" + "deep/" * 2000):
                assert get(port, path)[0] == 404, path
        finally:
            server.terminate()
        assert server.wait() == 0


def get(port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    try:
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_nothing_that_it_could_build(store: Objects, tmp_path: Path) -> None:
    built = build(store, tmp_path / "b", {"README": "nothing\n"})
    assert built.code == 1
    assert built.output.endswith("-----> Unable to select a buildpack\n")
    assert not built.result
    assert SLUG not in store.held


def test_hooks_env_dir_and_nothing_of_ours_in_the_environment(
    store: Objects, tmp_path: Path
) -> None:
    files: dict[str, str | bytes] = {
        "Procfile": "web: true\n",
        "bin/pre-compile": "#!/bin/sh\necho before; env; cat /proc/$PPID/environ || true\n",
        "bin/post-compile": "#!/bin/sh\necho after > made\n",
    }
    built = build(store, tmp_path / "b", files, {"SECRET": "s3cret", "PATH": "/nowhere"})
    assert built.code == 0, built.output
    assert "       before\n" in built.output
    assert (built.slug / "made").read_text() == "after\n"
    assert "s3cret" not in built.output, "configuration reaches a build as env-dir only"
    if os.geteuid() != 0:
        assert "t-slug" not in built.output
    assert "SLUG_TOKEN=" not in built.output.split("PATH=")[0]
    assert built.result["procfile"] == {"web": "true"}


def test_a_failing_step_fails_the_build(store: Objects, tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "Procfile": "web: true\n",
        "bin/post-compile": "#!/bin/sh\nexit 9\n",
    }
    built = build(store, tmp_path / "b", files)
    assert (built.code, SLUG in store.held) == (9, False)
    assert built.output.endswith("-----> bin/post-compile exited with code 9\n")


def test_an_unknown_package_fails_the_build(store: Objects, tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "requirements.txt": "./not-there-at-all\n",
        "Procfile": "web: true\n",
    }
    built = build(store, tmp_path / "b", files)
    assert built.code == 1
    assert "bin/compile exited with code 1" in built.output


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "a/../../outside"])
def test_a_source_with_a_link_leading_out(store: Objects, tmp_path: Path, target: str) -> None:
    built = build(store, tmp_path / "b", {"Procfile": "web: true\n", "link": f"->{target}"})
    assert built.code == 1
    assert "link leading out" in built.output


def test_a_link_that_the_build_makes(store: Objects, tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "Procfile": "web: true\n",
        "bin/post-compile": "#!/bin/sh\nln -s /etc/passwd leak\n",
    }
    built = build(store, tmp_path / "b", files)
    assert built.code == 1
    assert "The slug holds a link leading out: leak -> /etc/passwd" in built.output


def test_pipes_and_sockets_are_no_part_of_a_slug(store: Objects, tmp_path: Path) -> None:
    listen = "import socket; socket.socket(socket.AF_UNIX).bind('talk')"
    files: dict[str, str | bytes] = {
        "Procfile": "web: true\n",
        "bin/post-compile": f'#!/bin/sh\nmkfifo pipe && python3 -c "{listen}" && ls\n',
    }
    built = build(store, tmp_path / "b", files)
    assert built.code == 0, built.output
    assert "       talk\n" in built.output
    assert {path.name for path in built.slug.iterdir()} == {"Procfile", "bin", ".release"}


def test_a_slug_over_the_limit(store: Objects, tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"Procfile": "web: true\n", "big": os.urandom(100_000)}
    built = build(store, tmp_path / "b", files, SLUG_LIMIT_BYTES="50000")
    assert built.code == 1
    assert "The slug is larger than 50000 bytes" in built.output
    assert SLUG not in store.held


def test_slugignore_and_git_stay_out(store: Objects, tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "Procfile": "web: true\n",
        ".slugignore": "*.psd\n/docs\n",
        "art/a.psd": "x",
        "docs/index": "x",
        "src/docs/kept": "x",
        ".git/config": "x",
    }
    built = build(store, tmp_path / "b", files)
    held = {path.relative_to(built.slug).as_posix() for path in built.slug.rglob("*")}
    assert "src/docs/kept" in held
    assert not held & {"art/a.psd", "docs", "docs/index", ".git", ".git/config"}


def test_a_buildpack_from_git_with_a_ref(store: Objects, tmp_path: Path) -> None:
    repository = tmp_path / "pack"
    (repository / "bin").mkdir(parents=True)
    programs = {
        "detect": "exit 1",
        "compile": 'cp "$3/GREETING" "$1/made"; echo kept > "$2/kept"; echo "-----> Making"',
        "release": 'printf "default_process_types:\\n  web: cat made\\n"',
    }
    for name, text in programs.items():
        (repository / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (repository / "bin" / name).chmod(0o755)
    git = ["git", "-C", str(repository), "-c", "user.name=a", "-c", "user.email=a@example.com"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"], ["tag", "v1"]):
        subprocess.run([*git, *words], check=True)
    (repository / "bin" / "compile").write_text("#!/bin/sh\nexit 1\n")
    subprocess.run([*git, "commit", "-qam", "broken"], check=True)
    with daemon(tmp_path) as address:
        config = {"BUILDPACK_URL": f"{address}/pack#v1", "GREETING": "hello"}
        built = build(store, tmp_path / "b", {"README": "x"}, config)
        assert built.code == 0, built.output
        assert "-----> Fetching custom buildpack" in built.output
        assert "\n-----> Making\n" in built.output
        assert built.result["procfile"] == {"web": "cat made"}
        assert (built.slug / "made").read_text() == "hello"
        assert CACHE in store.held
        config["BUILDPACK_URL"] = f"{address}/pack#--upload-pack=touch"
        refused = build(store, tmp_path / "c", {"README": "x"}, config)
        assert "cannot be fetched" in refused.output


def daemon(folder: Path) -> Any:
    """`git daemon` over a folder, its address while the block lasts."""
    import contextlib

    @contextlib.contextmanager
    def served() -> Iterator[str]:
        port = free_port()
        command = ["git", "daemon", "--verbose", "--export-all", f"--base-path={folder}"]
        command += ["--reuseaddr", "--listen=127.0.0.1", f"--port={port}", str(folder)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True) as process:
            assert process.stderr is not None
            assert b"Ready to rumble" in process.stderr.readline()
            try:
                yield f"git://127.0.0.1:{port}"
            finally:
                os.killpg(process.pid, 15)

    return served()


@pytest.mark.parametrize(
    "url", ["file:///etc", "/etc", "ext::sh -c id", "--upload-pack=id", "http://example.com/a"]
)
def test_a_buildpack_from_elsewhere(store: Objects, tmp_path: Path, url: str) -> None:
    built = build(store, tmp_path / "b", {"Procfile": "web: true\n"}, {"BUILDPACK_URL": url})
    assert built.code == 1
    assert "BUILDPACK_URL" in built.output


def test_an_ssh_key_reaches_git_only(store: Objects, tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "Procfile": "web: true\n",
        "bin/pre-compile": '#!/bin/sh\necho "$GIT_SSH_COMMAND"; ls -l "$HOME/.ssh"\n',
    }
    key = base64.b64encode(b"-----BEGIN KEY-----\nabc\n").decode()
    built = build(store, tmp_path / "b", files, {"SSH_KEY": key})
    assert "-r-------- " in built.output
    assert "/home/.ssh/id_rsa" in built.output
    bad = build(store, tmp_path / "c", files, {"SSH_KEY": "not base64!"})
    assert "SSH_KEY is not base64 text" in bad.output


def test_the_object_store_is_away_for_a_moment(store: Objects, tmp_path: Path) -> None:
    store.away = 2
    built = build(store, tmp_path / "b", sample("worker"))
    assert built.code == 0, built.output


def test_the_object_store_dies_in_the_middle_of_an_answer(store: Objects, tmp_path: Path) -> None:
    store.cut = 2
    built = build(store, tmp_path / "b", sample("worker"))
    assert built.code == 0, built.output
    assert store.cut == 0


def test_a_fault_of_the_machine_is_a_sentence(store: Objects, tmp_path: Path) -> None:
    built = build(store, tmp_path / "b", sample("worker"), ENV_DIR=str(tmp_path / "lost"))
    assert built.code == 1
    assert "-----> The build cannot go on: No such file or directory\n" in built.output
    assert "Traceback" not in built.output


def test_a_broken_cache_is_no_fault(store: Objects, tmp_path: Path) -> None:
    store.held[CACHE] = b"no archive"
    built = build(store, tmp_path / "b", sample("worker"))
    assert built.code == 0, built.output
    assert "Not restored: " in built.output
