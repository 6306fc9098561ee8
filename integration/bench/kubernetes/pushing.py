"""A push of one line to the first page of the new release, less the buildpack's own time."""

import asyncio
import json
import statistics
import time
from pathlib import Path

import aiohttp

from integration.bench.figures import line
from integration.bench.kubernetes.pages import says
from integration.kubernetes.platform import ClusterPlatform
from integration.person import Person
from integration.sample_app import commit, edition

REACH_SECONDS = 6.0
BUILDPACK = "build compile"


async def measure(platform: ClusterPlatform, person: Person, app: str, rounds: int) -> None:
    """Print the figure; the baseline is `git push` of the same commit to a local folder."""
    ours, whole, local = [], [], []
    stages: dict[str, list[float]] = {}
    bare = Path(person.home) / "bare.git"
    await person.types("git", "init", "-q", "--bare", str(bare))
    await person.types("git", "remote", "add", "bare", str(bare))
    async with aiohttp.ClientSession() as session:
        for number in range(1, rounds + 1):
            await commit(person, edition(number))
            local.append((await person.types("git", "push", "bare", "main")).seconds)
            text, host = f"edition {number}", platform.host(app)
            began = time.monotonic()
            seen = asyncio.create_task(says(session, platform.address, host, text))
            await person.types("git", "push", "deis", "main")
            whole.append(await seen - began)
            told = await _newest_stages(person)
            ours.append(whole[-1] - told[BUILDPACK])
            for name, seconds in told.items():
                stages.setdefault(name, []).append(seconds)
    parts = ", ".join(f"{name} {statistics.median(found):.2g}" for name, found in stages.items())
    line("push of one line to its first page, less the buildpack", "s", ours, base=local,
         reach=f"< {REACH_SECONDS:g} s", met=statistics.median(ours) < REACH_SECONDS,
         note=f"whole push {statistics.median(whole):.2f} s ({parts});"
              " baseline: git push to a local folder")  # fmt: skip


async def _newest_stages(person: Person) -> dict[str, float]:
    """Seconds of each stage of the newest release."""
    listed = json.loads((await person.types("deis", "releases:list", "-o", "json")).output)
    newest = max(row["version"] for row in listed)
    told = await person.types("deis", "releases:info", f"v{newest}", "-o", "json")
    found: dict[str, float] = json.loads(told.output)["stages"]
    return found
