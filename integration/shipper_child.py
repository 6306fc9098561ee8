"""The shipper as a process that a test may kill; its pods come from the command line.

python -P shipper_child.py NATS_URL PODS FOLDER POD_AS_JSON
"""

import asyncio
import sys
from pathlib import Path

import msgspec

from deis_bus.jetstream import connect
from deis_platform.runner import new_loop
from deis_services.shipper.files import LogFolder
from deis_services.shipper.folders import Folders
from deis_services.shipper.model import Pod
from deis_services.shipper.positions import Positions
from deis_services.shipper.ship import Shipper


async def ship(url: str, pods: Path, folder: Path, pod: Pod) -> None:
    """Until somebody ends it."""
    positions = Positions(folder)
    async with connect(url, "shipper") as bus:
        shipper = Shipper(bus, Folders(LogFolder(pods), positions.load()), positions, 512)
        shipper.known(pod)
        await shipper.run(asyncio.Event())


if __name__ == "__main__":
    url, pods, folder, pod = sys.argv[1:]
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(ship(url, Path(pods), Path(folder), msgspec.json.decode(pod, type=Pod)))
