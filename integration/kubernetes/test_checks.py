"""Acceptance checks of components.md, Appendix B: 1 (buildpack), 2 to 5, 7, 14 and 15."""

import asyncio
import os
import re
import secrets
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from deis_platform.embedded.ports import free_port
from integration.kubernetes.platform import CONTROLLER, ClusterPlatform
from integration.kubernetes.sample import destroyed, registered
from integration.person import Person
from integration.rest import Rest
from integration.sample_app import edition, repository
from integration.servers import until

pytestmark = [pytest.mark.kubernetes, pytest.mark.server, pytest.mark.timeout(300)]


@pytest.fixture
async def ada(platform: ClusterPlatform, tmp_path: Path) -> Person:
    """Somebody with an account of her own for each test."""
    return await registered(platform, tmp_path / "home", f"ada-{secrets.token_hex(3)}")


@pytest.fixture
async def app(ada: Person) -> AsyncIterator[str]:
    """A name for an application, which is gone afterwards."""
    name = f"check-{secrets.token_hex(3)}"
    yield name
    await destroyed(ada, name)


async def hooked(person: Person, app: str, script: str) -> None:
    """A repository whose build runs this first."""
    await repository(person, edition(0), app)
    await waiting(person, 0, script)


async def waiting(person: Person, number: int, script: str) -> None:
    """One more commit: an edition whose build runs this first."""
    person.writes(edition(number) | {"bin/pre-compile": f"#!/bin/bash\n{script}\n"})
    (person.folder / "bin" / "pre-compile").chmod(0o755)
    await person.types("git", "add", ".")
    await person.types("git", "commit", "-q", "-m", "a build that does more")


async def test_1_a_pushed_app_answers(platform: ClusterPlatform, ada: Person, app: str) -> None:
    await repository(ada, edition(0), app)
    await ada.types("git", "push", "deis", "main", says=f"{app}:v2 deployed")
    assert await ada.sees(platform.host(app), 80) == (200, "edition 0")


async def test_2_and_3_a_second_push_and_an_interrupted_one(
    platform: ClusterPlatform, ada: Person, app: str
) -> None:
    gate = platform.gate(app)
    await hooked(ada, app, gate.script)
    first = asyncio.create_task(ada.types("git", "push", "deis", "main"))
    await until(gate.reached, "the build begins", 60)
    await refused(ada)
    gate.open()
    assert f"{app}:v2 deployed" in (await first).output
    again = await ada.types("git", "push", "deis", "main")
    assert "Everything up-to-date" in again.output

    gate = platform.gate(f"{app}-too")
    await waiting(ada, 1, gate.script)
    process = await begun(ada, b"Starting build... but first, coffee!")
    os.killpg(process.pid, signal.SIGINT)
    await process.communicate()
    assert process.returncode != 0
    await refused(ada)
    await until(gate.reached, "its build goes on", 60)
    gate.open()
    await until(lambda: serves(platform, ada, app, 1), "the interrupted push is deployed", 90)
    recovered = await ada.types("git", "push", "deis", "main")
    assert re.search(rf"Everything up-to-date|{app}:v3 deployed", recovered.output)


async def refused(person: Person) -> None:
    """A push is, while another one goes on; its answer is git's, not a program's that failed."""
    second = await person.types("git", "push", "deis", "main", code=128)
    assert "fatal: remote error: Another git push is ongoing" in second.output
    assert "exec" not in second.output


async def begun(person: Person, says: bytes) -> asyncio.subprocess.Process:
    """A push that has said this."""
    process = await asyncio.create_subprocess_exec(
        *(*person.prefix, "git", "push", "deis", "main"),
        cwd=person.folder,
        env=person.environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        await process.stdout.readuntil(says)
    return process


async def test_4_two_apps_build_at_once(
    platform: ClusterPlatform, ada: Person, app: str, tmp_path: Path
) -> None:
    bob, other = await registered(platform, tmp_path / "bob", f"bob-{app}"), f"{app}-too"
    gates = [platform.gate(name) for name in (app, other)]
    await hooked(ada, app, gates[0].script)
    await hooked(bob, other, gates[1].script)
    pushes = [
        asyncio.create_task(person.types("git", "push", "deis", "main")) for person in (ada, bob)
    ]
    try:
        await until(lambda: all(gate.reached() for gate in gates), "both builds run", 90)
        for gate in gates:
            gate.open()
        outputs = [(await push).output for push in pushes]
    finally:
        await destroyed(bob, other)
    for name, text in zip((app, other), outputs, strict=True):
        assert f"{name}:v2 deployed" in text


async def test_5_a_failing_build(platform: ClusterPlatform, ada: Person, app: str) -> None:
    """By a buildpack of somebody's."""
    pack = ada.home / "packs" / "failing"
    await buildpack(pack, "echo '-----> it fails'; exit 1")
    await repository(ada, edition(0), app)
    with git_daemon(pack.parent, platform.node.host_address) as address:
        await ada.types("deis", "config:set", f"BUILDPACK_URL={address}/{pack.name}")
        failed = await ada.types("git", "push", "deis", "main", code=1)
    assert "-----> Fetching custom buildpack" in failed.output
    assert "-----> it fails" in failed.output
    assert "exited with code 1, stopping build" in failed.output
    shown = await ada.types("deis", "releases:list")
    assert "v3" not in shown.output, "a failed build has made a release"


async def buildpack(folder: Path, compiles: str) -> None:
    """A git repository of one with this program."""
    author = Person(folder)
    author.writes({"bin/compile": f"#!/bin/sh\n{compiles}\n"})
    (folder / "bin" / "compile").chmod(0o755)
    for words in (("init", "-q"), ("add", "bin"), ("commit", "-q", "-m", "one")):
        await author.types("git", *words)


@contextmanager
def git_daemon(folder: Path, address: str) -> Iterator[str]:
    """The repositories in that folder, for builds on the node; gives their URL."""
    port = free_port(address)
    words = ("--verbose", "--export-all", "--reuseaddr", f"--base-path={folder}")
    command = ["git", "daemon", *words, f"--listen={address}", f"--port={port}", str(folder)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True) as process:
        try:
            assert process.stderr is not None
            assert b"Ready to rumble" in process.stderr.readline()
            yield f"git://{address}:{port}"
        finally:
            os.killpg(process.pid, signal.SIGTERM)


async def test_7_configuration_from_before_the_push(
    platform: ClusterPlatform, ada: Person, app: str
) -> None:
    """The page is served where PORT says, and says what else was set."""
    files = edition(0)
    says = "text = f\"{os.environ['WORD']} {self.server.server_port}\""
    server = files["server.py"].replace("text = EDITION", says)
    await repository(ada, files | {"server.py": server}, app)
    await ada.types("deis", "config:set", "WORD=said before", "PORT=7777")
    await ada.types("git", "push", "deis", "main", says=f"{app}:v3 deployed")
    assert await ada.sees(platform.host(app), 80) == (200, "said before 7777")
    (port,) = platform.node.get("--namespace", app, "service", app)["spec"]["ports"]
    assert (port["port"], port["targetPort"]) == (80, 7777)
    shown = await ada.types("deis", "run", "echo port $PORT")
    assert "port 7777" in shown.output


async def test_14_ssh_without_git(platform: ClusterPlatform, ada: Person, app: str) -> None:
    await repository(ada, edition(0), app)
    ssh = [
        *("ssh", "-F", "none", "-i", str(ada.home / ".ssh" / "id_ed25519")),
        *("-o", "StrictHostKeyChecking=accept-new", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR"),
        *("-o", f"UserKnownHostsFile={ada.home / '.ssh' / 'known_hosts'}"),
        *("-p", "2222", f"git@deis-builder.{platform.host('x').partition('.')[2]}"),
    ]
    assert (await ada.types(*ssh, "ping")).output == "pong\n"
    for command, says in NOT_SERVED.items():
        answer = await ada.types(*ssh, command, code=None)
        assert answer.code not in (0, NO_CONNECTION), answer.output
        assert says in answer.output


ONLY = "Only git push, git fetch and ping are served here."
NOT_SERVED = {
    "uname -a": ONLY,
    "sh -c ping": ONLY,
    "git-upload-pack": ONLY,
    "git-upload-pack ''": "is not the name of a repository",
    "git-upload-pack ../etc": "is not the name of a repository",
    "git-upload-pack never-made.git": "No App matches the given query.",
}
"""Commands over SSH, and what is said to them."""
NO_CONNECTION = 255
"""How ssh ends by itself; any other code is the server's."""
TALKS = 'for number in range(150):\n    print(f"line {number}", flush=True)\n'


async def test_15_logs_of_an_app(platform: ClusterPlatform, ada: Person, app: str) -> None:
    files = edition(0)
    await repository(ada, files | {"server.py": TALKS + files["server.py"]}, app)
    await ada.types("git", "push", "deis", "main", says=f"{app}:v2 deployed")
    uuid = platform.node.get("namespace", app)["metadata"]["annotations"]["deis.io/app-uuid"]
    path = f"/apps/{app}/logs"
    async with Rest(platform, ada) as api:

        async def newest() -> bool:
            """Without a number: the last hundred of all there are."""
            status, text = await api.raw(path)
            _, everything = await api.raw(f"{path}?log_lines=1000")
            last = text.splitlines()
            return "line 149\n" in everything and (status, len(last), last) == (
                *(200, 100),
                everything.splitlines()[-100:],
            )

        await until(newest, "the newest hundred of its lines", 60)
        _, everything = await api.raw(f"{path}?log_lines=1000")
        found = re.findall(rf"^\S+ {app}\[web\.v2\.\w+\]: line (\d+)$", everything, re.MULTILINE)
        assert [int(number) for number in found] == list(range(150))
        assert re.search(r"^\S+ deis\[controller\]: INFO ", everything, re.MULTILINE)
        assert everything == tail(platform, app, uuid, 1000)
        assert await api.raw(f"{path}?process_type=worker") == (204, "")
        assert tail(platform, app, str(uuid4())) == "", "lines of an application nobody knows"
        assert (await api.raw(f"/apps/{app}-never/logs"))[0] == 404
        await ada.types("deis", "destroy", f"--confirm={app}")
        await until(lambda: tail(platform, app, uuid) == "", "the logger has dropped its lines", 30)
        assert (await api.raw(path))[0] == 404
        await ada.types("deis", "create", app, "--no-remote")
        status, text = await api.raw(f"{path}?process_type=web")
        assert (status, text) == (204, ""), "the next owner of the name is shown the old lines"


TAIL = """import asyncio, sys
from deis_bus.contracts.logs import TAIL, Tail
from deis_bus.rpc import call
from deis_services.platform_cli.reach import operator_bus, reach

async def main():
    wanted = Tail(app=sys.argv[1], appuuid=sys.argv[2], lines=int(sys.argv[3]))
    async with operator_bus(reach(None)) as bus:
        print((await call(bus, TAIL, wanted)).text, end="")

asyncio.run(main())
"""


def tail(platform: ClusterPlatform, app: str, uuid: str, lines: int = 100) -> str:
    """What the logger itself says, asked on the bus; nothing is the original's 204."""
    command = ("exec", CONTROLLER, "--", "python3", "-c", TAIL, app, uuid, str(lines))
    return platform.node.kube("--namespace", "deis", *command)


async def serves(platform: ClusterPlatform, person: Person, app: str, number: int) -> bool:
    """Whether that edition is there."""
    return await person.sees(platform.host(app), 80) == (200, f"edition {number}")
