"""Which processes count as left behind."""

import asyncio
import sys
from pathlib import Path

from deis_platform.embedded import orphans


async def test_who_only_reads_the_configuration_is_no_server(tmp_path: Path) -> None:
    path = str(tmp_path / "nats.conf")
    sleep = "import time; print(flush=True); time.sleep(1000)"
    words = (("--config", path), (path,), ("--config", "x", path), ("--config", path + "x"))
    started = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", sleep, *some, stdout=asyncio.subprocess.PIPE
        )
        for some in words
    ]
    try:
        for process in started:
            assert process.stdout is not None
            await process.stdout.readline()
        assert orphans.started_with("--config", path) == [started[0].pid]
    finally:
        for process in started:
            process.kill()
            await process.communicate()
