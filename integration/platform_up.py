"""`deis-platform up` as a context: started on free ports, ready, and gone at the end."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from integration.person import Person

SUBSCRIBER = Path(__file__).resolve().parent.parent / "docs" / "examples" / "subscriber.py"
START_SECONDS = 120.0
STOP_SECONDS = 90.0
"""More than the graces of services, router and servers together."""


class Platform(msgspec.Struct, frozen=True, kw_only=True):
    """A running platform: what `ready.json` in its data folder says."""

    data: Path
    process: Any
    ready: dict[str, Any]

    @property
    def api(self) -> str:
        """Base URL of the API."""
        return str(self.ready["api"])

    @property
    def port(self) -> int:
        """Port of the router."""
        return int(self.ready["http_port"])

    def host(self, app: str) -> str:
        """The name of an application's page."""
        return f"{app}.localhost"

    def person(self, home: Path) -> Person:
        """Somebody at this machine."""
        return Person(home)

    async def admin(self, *argv: str) -> str:
        """What `deis-platform` prints, typed by the operator. Raises RuntimeError."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "deis_services.main",
            *argv,
            "--data",
            str(self.data),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=os.environ | {"PYTHONSAFEPATH": "1"},
        )
        raw, _ = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"deis-platform {' '.join(argv)}:\n{raw.decode(errors='replace')}")
        return raw.decode()

    async def subscriber(
        self, environ: dict[str, str], *options: str
    ) -> asyncio.subprocess.Process:
        """docs/examples/subscriber.py, running."""
        return await asyncio.create_subprocess_exec(
            sys.executable,
            str(SUBSCRIBER),
            *options,
            env=environ,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            stdin=asyncio.subprocess.DEVNULL,
        )

    def log(self) -> str:
        """The platform's own log, for a test that failed."""
        path = self.data / "logs" / "platform.log"
        return path.read_text(errors="replace")[-20_000:] if path.exists() else ""


@asynccontextmanager
async def platform_up(
    data: Path, *options: str, environ: dict[str, str] | None = None
) -> AsyncIterator[Platform]:
    """Start `deis-platform up` on free ports with this data folder; stop it at the end."""
    process = await start(data, *options, environ=environ)
    try:
        ready = await wait_ready(process, data)
        yield Platform(data=data, process=process, ready=ready)
    finally:
        await stop(process)


async def start(
    data: Path, *options: str, environ: dict[str, str] | None = None
) -> asyncio.subprocess.Process:
    """The process, not yet ready. Its output goes to `<data>.out`."""
    (data / "ready.json").unlink(missing_ok=True)
    with data.with_suffix(".out").open("ab") as out:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "deis_services.main",
            "up",
            "--data",
            str(data),
            *("--port", "0", "--https-port", "0", "--ssh-port", "0"),
            *options,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env=os.environ | {"PYTHONSAFEPATH": "1"} | (environ or {}),
        )


async def wait_ready(process: asyncio.subprocess.Process, data: Path) -> dict[str, Any]:
    """What `ready.json` says once the platform has written it; the output if it ended before.

    One that does not get ready is stopped.
    """
    try:
        return await _ready(process, data)
    except BaseException:
        await stop(process)
        raise


async def _ready(process: asyncio.subprocess.Process, data: Path) -> dict[str, Any]:
    ended = asyncio.create_task(process.wait())
    try:
        async with asyncio.timeout(START_SECONDS):
            while not (data / "ready.json").exists():
                done, _ = await asyncio.wait({ended}, timeout=0.02)
                if done:
                    said = _said(data)
                    raise RuntimeError(f"the platform ended with {process.returncode}:\n{said}")
    except TimeoutError:
        said = _said(data)
        raise TimeoutError(f"not ready within {START_SECONDS:.0f} s:\n{said}") from None
    finally:
        ended.cancel()
    ready: dict[str, Any] = json.loads((data / "ready.json").read_text())
    return ready


def _said(data: Path) -> str:
    """What it printed and logged, for a test that failed."""
    files = [data.with_suffix(".out"), *sorted((data / "logs").glob("*.log"))]
    texts = ((file.name, file.read_text(errors="replace")[-5000:]) for file in files)
    return "\n".join(f"--- {name}\n{text}" for name, text in texts)


async def stop(process: asyncio.subprocess.Process) -> None:
    """Ctrl-C, and insist when it does not help."""
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGINT)
    try:
        await asyncio.wait_for(process.wait(), STOP_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
