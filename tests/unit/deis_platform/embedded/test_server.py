"""A supervised child that cannot be started for a while."""

import asyncio
import errno
import os
import signal
import sys
from pathlib import Path

import pytest

from deis_platform.embedded.errors import PortTaken
from deis_platform.embedded.keeper import Keeper
from deis_platform.embedded.owners import Owner
from deis_platform.embedded.server import Server


class Sleeper:
    """A program whose folder is full at its second and third start."""

    name = "sleeper"
    stop_signal = signal.SIGTERM

    def __init__(self) -> None:
        self.owner = Owner()
        self.prepared = 0
        self.again = asyncio.Event()

    async def prepare(self) -> None:
        self.prepared += 1
        if self.prepared in (2, 3):
            raise OSError(errno.ENOSPC, "no room")

    def command(self) -> list[str]:
        return [sys.executable, "-c", "import time; time.sleep(1000)"]

    def environment(self) -> dict[str, str]:
        return {}

    async def answers(self) -> bool:
        if self.prepared > 3:
            self.again.set()
        return True


async def test_a_disk_that_is_full_for_a_while_ends_no_supervision(tmp_path: Path) -> None:
    program, stop = Sleeper(), asyncio.Event()
    async with Keeper(tmp_path) as keeper:
        server = Server(program, keeper, tmp_path / "log")
        await server.start()
        running = asyncio.create_task(server.run(stop))
        try:
            os.kill(server.pid, signal.SIGKILL)
            await asyncio.wait_for(program.again.wait(), 60)
            assert not running.done()
        finally:
            stop.set()
            await running
    assert server.pid == 0


class Listener(Sleeper):
    """A program that finds its port taken at its first starts."""

    def __init__(self, taken: int) -> None:
        super().__init__()
        self._taken = taken

    async def prepare(self) -> None:
        self.prepared += 1

    def command(self) -> list[str]:
        if self.prepared <= self._taken:
            return [sys.executable, "-c", "raise SystemExit('bind: address already in use')"]
        return super().command()

    async def answers(self) -> bool:
        return self.prepared > self._taken


async def test_a_port_taken_between_choice_and_start_costs_another_try(tmp_path: Path) -> None:
    async with Keeper(tmp_path) as keeper:
        server = Server(Listener(2), keeper, tmp_path / "log")
        await server.start()
        assert server.pid
        await server.stop()


async def test_a_port_that_is_always_taken_is_told(tmp_path: Path) -> None:
    program = Listener(99)
    async with Keeper(tmp_path) as keeper:
        server = Server(program, keeper, tmp_path / "log")
        with pytest.raises(PortTaken, match="already in use"):
            await server.start()
    assert program.prepared == 3
    assert server.pid == 0
