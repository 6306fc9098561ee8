"""What somebody means ill does, at a whole platform: refused, bounded, and nobody else notices."""

import asyncio
from pathlib import Path

import pytest

from integration.person import Person
from integration.platform_up import Platform
from integration.sample_app import edition, registered, repository
from integration.servers import until
from integration.test_wrong_pushes import executable, fresh

pytestmark = [pytest.mark.server, pytest.mark.timeout(180)]

MB = 1024 * 1024
FORGER = """#!/bin/bash
cd ..
mkfifo result.json && ln result.json waits
echo '{"procfile": {"../x y": "sleep 1", "web": "a\\u0000"}}' > forged
(while [ ! -s slug.tgz ]; do sleep 0.05; done; sleep 1; mv forged result.json; cat waits) \\
  > /dev/null 2>&1 &
"""
"""A build step that stays behind and writes the result in the slugbuilder's place."""

WAITS = """
import os, pathlib, sys, time
gate = pathlib.Path(sys.argv[1])
if not (gate / "port").exists():
    (gate / "draft").write_text(os.environ["PORT"])
    (gate / "draft").rename(gate / "port")
    while not (gate / "go").exists():
        time.sleep(0.05)
"""
"""Tells the first port that an instance is given, and lets somebody else take it."""


@pytest.fixture
async def mallory(platform: Platform, tmp_path: Path) -> Person:
    return await registered(platform, tmp_path / "mallory", fresh("mallory"))


async def test_a_body_without_end_does_not_fill_the_disk(platform: Platform) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", platform.port)
    head = (
        "POST /v2/auth/login HTTP/1.1\r\nHost: deis.localhost\r\n"
        f"Content-Type: application/json\r\nContent-Length: {900 * MB}\r\n\r\n"
    )
    writer.write(head.encode())
    answer = asyncio.create_task(reader.readline())
    sent = 0
    while not answer.done() and sent < 100 * MB:
        try:
            writer.write(b" " * MB)
            sent += MB
            await writer.drain()
        except ConnectionError:
            break
    status = await asyncio.wait_for(answer, 30)
    writer.close()
    assert b" 413 " in status
    assert sent < 100 * MB


async def test_a_forged_result_of_a_build_makes_no_release(mallory: Person) -> None:
    await repository(mallory, edition(0) | {"bin/pre-compile": FORGER}, fresh("app"))
    await executable(mallory, "bin/pre-compile")
    pushed = await mallory.types("git", "push", "deis", "main", code=1)
    assert "left no slug" in pushed.output
    assert "v2" not in (await mallory.types("deis", "releases:list")).output


async def test_a_tree_is_no_commit(mallory: Person) -> None:
    await repository(mallory, edition(0), fresh("app"))
    tree = (await mallory.types("git", "rev-parse", "HEAD^{tree}")).output.strip()
    pushed = await mallory.types("git", "push", "deis", f"{tree}:refs/heads/main", code=1)
    assert "cannot be read" in pushed.output
    assert "v2" not in (await mallory.types("deis", "releases:list")).output


@pytest.mark.root
async def test_nobody_gets_requests_by_sitting_on_the_port_of_another(
    platform: Platform, mallory: Person, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    gate.mkdir()
    gate.chmod(0o777)
    app = fresh("victim")
    procfile = f"web: python3 waits.py {gate} && exec python3 server.py\n"
    await repository(mallory, edition(0) | {"Procfile": procfile, "waits.py": WAITS}, app)
    push = asyncio.create_task(mallory.types("git", "push", "deis", "main", code=None))
    await until((gate / "port").exists, "the application waits on its port")
    heard: list[bytes] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(100))
        writer.close()

    port = int((gate / "port").read_text())
    async with await asyncio.start_server(take, "127.0.0.1", port):
        (gate / "go").touch()
        assert ":v2 deployed" in (await push).output
        assert await mallory.sees(f"{app}.localhost", platform.port) == (200, "edition 0")
    assert set(heard) <= {b""}


async def test_folders_too_deep_to_walk_are_gone_after_the_build(
    platform: Platform, mallory: Person
) -> None:
    digs = "import os\nfor _ in range(3000): os.mkdir('d'); os.chdir('d')\n"
    step = "#!/bin/bash\ncd $TMPDIR && python3 $OLDPWD/digs.py && exit 3\n"
    await repository(mallory, edition(0) | {"digs.py": digs, "bin/pre-compile": step}, fresh("app"))
    await executable(mallory, "bin/pre-compile")
    pushed = await mallory.types("git", "push", "deis", "main", code=1)
    assert "exited with code 3" in pushed.output
    assert list((platform.data / "runtime" / "builds").iterdir()) == []
