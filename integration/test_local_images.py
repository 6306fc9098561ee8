"""Images by name on one machine: folders with a start command (DEIS_LOCAL_IMAGES, DESIGN 6)."""

import shutil
from pathlib import Path

import pytest

from integration.platform_up import platform_up
from integration.sample_app import registered
from integration.test_app_faults import APPS

pytestmark = [pytest.mark.server, pytest.mark.timeout(180)]

IMAGES = """\
images:
  example/worker:v1: {folder: worker, command: python3 server, port: 5000}
  example/stubborn: {folder: stubborn, command: python3 server}
refused:
  example/private: "denied: requested access to the resource is denied"
"""


async def test_images_are_deployed_configured_and_rolled_back(tmp_path: Path) -> None:
    images = tmp_path / "images.yaml"
    images.write_text(IMAGES)
    for name in ("worker", "stubborn"):
        shutil.copytree(APPS / name, tmp_path / name)
    told = {"DEIS_LOCAL_IMAGES": str(images)}
    async with platform_up(tmp_path / "data", environ=told) as platform:
        ada = await registered(platform, tmp_path / "home")
        await ada.types("deis", "create", "images", "--no-remote")
        await ada.types("deis", "pull", "example/worker:v1", "-a", "images")
        assert await ada.sees("images.localhost", platform.port) == (200, "ok\n")
        await ada.types("deis", "config:set", "COLOUR=red", "-a", "images")
        _, environment = await ada.sees("images.localhost", platform.port, "/env")
        assert '"COLOUR": "red"' in environment
        shown = await ada.types("deis", "ps:list", "-a", "images")
        assert "images-cmd-" in shown.output
        for name, words in {
            "example/private": "requested access to the resource is denied",
            "example/unknown:v9": "example/unknown:v9",
        }.items():
            refused = await ada.types("deis", "pull", name, "-a", "images", code=1)
            assert words in refused.output
        assert await ada.sees("images.localhost", platform.port) == (200, "ok\n")
        await ada.types("deis", "pull", "example/stubborn", "-a", "images")
        status, listing = await ada.sees("images.localhost", platform.port)
        assert (status, "server" in listing) == (200, True)
        await ada.types("deis", "rollback", "v2", "-a", "images")
        assert await ada.sees("images.localhost", platform.port) == (200, "ok\n")
