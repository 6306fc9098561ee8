"""A small file system that fills under a running platform: applications serve on, what cannot be
kept is refused, nothing acknowledged is lost, and room brings everything back (DESIGN 9)."""

import asyncio
import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.person import Person
from integration.platform_up import platform_up
from integration.sample_app import NAME, commit, edition, registered, repository
from integration.servers import until
from integration.traffic import traffic
from integration.truth import holds

pytestmark = [pytest.mark.server, pytest.mark.root, pytest.mark.timeout(300)]

SIZE = "1700m"
PATIENCE_SECONDS = 15.0


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, in memory."""
    place = tmp_path / "small"
    place.mkdir()
    options = ("-t", "tmpfs", "-o", f"size={SIZE},mode=0711", "tmpfs")
    subprocess.run(["mount", *options, str(place)], check=True)
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place: Path, leave: int) -> Path:
    """Take all room but so many bytes; others write meanwhile, so look again until it is so."""
    ballast = place / "ballast"
    with ballast.open("wb") as file:
        while (room := shutil.disk_usage(place).free - leave) > 0:
            try:
                os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), room)
            except OSError as fault:
                if fault.errno != errno.ENOSPC:
                    raise
    return ballast


async def test_a_disk_that_fills_and_has_room_again(tmp_path: Path, small: Path) -> None:
    async with platform_up(small / "data") as platform:
        person = await registered(platform, tmp_path / "home")
        await repository(person, edition(0))
        await person.types("git", "push", "deis", "main", says=f"{NAME}:v2 deployed")
        async with traffic(platform.port, f"{NAME}.localhost", 1) as seen:
            ballast = fill(small, 500_000_000)
            await commit(person, edition(1))
            refused = await person.types("git", "push", "deis", "main", code=None)
            assert refused.code != 0
            assert "disk" in refused.output
            ballast.unlink()
            ballast = fill(small, 0)
            kept = await while_full(person)
            await seen.some_more(200)
            ballast.unlink()
            await until(lambda: _goes(person), "a push goes again", 120)
            assert not seen.failures, seen.failures[:5]
        assert await person.sees(f"{NAME}.localhost", platform.port) == (200, "edition 1")
        shown = await config(person)
        assert all(name in shown for name in kept), (kept, shown)
        await holds(platform, person, NAME)


async def while_full(person: Person) -> list[str]:
    """Write what there is no room for, as patiently as the client is; gives what was acknowledged."""

    async def written(name: str) -> bool:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return (await person.types("deis", "config:set", f"{name}=1", code=None)).code == 0
        except TimeoutError:
            return False

    names = [f"FULL{number}" for number in range(3)]
    kept = await asyncio.gather(*map(written, names))
    return [name for name, done in zip(names, kept, strict=True) if done]


async def config(person: Person) -> str:
    """What `config:list` prints; with room again the bus is started anew, which is a 503 or two."""
    shown: list[str] = []

    async def answers() -> bool:
        printed = await person.types("deis", "config:list", code=None)
        shown.append(printed.output)
        return printed.code == 0

    await until(answers, "the configuration is told again")
    return shown[-1]


async def _goes(person: Person) -> bool:
    pushed = await person.types("git", "push", "deis", "main", code=None)
    return pushed.code == 0
