"""Automations on the cluster: a user of NATS from one command, while NATS runs (docs/events.md)."""

import asyncio
import base64
import json
import os
import re
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from integration.kubernetes.platform import BUS_CA, CONTROLLER, ClusterPlatform
from integration.kubernetes.sample import destroyed, registered
from integration.kubernetes.victims import all_ready, kill
from integration.platform_up import SUBSCRIBER
from integration.servers import until

pytestmark = [pytest.mark.kubernetes, pytest.mark.server, pytest.mark.timeout(300)]

LOGIN = f"""import asyncio, sys
from deis_services.platform_cli.bus_users import lets_in
print(asyncio.run(lets_in(*sys.argv[1:], {BUS_CA!r})))
"""
LOCAL = re.compile(rb"Forwarding from 127\.0\.0\.1:(\d+) -> 4222")
Values = dict[str, str]


async def added(platform: ClusterPlatform, *words: str) -> Values:
    """What a new automation's program needs."""
    values: Values = json.loads(await platform.admin("automation", "add", *words, "-o", "json"))
    return values


async def listed(platform: ClusterPlatform) -> set[str]:
    """Names of those there are."""
    text = await platform.admin("automation", "list", "-o", "json")
    return {one["name"] for one in json.loads(text)}


def lets_in(platform: ClusterPlatform, values: Values) -> bool:
    """Whether NATS takes this user."""
    words = (values["NATS_URL"], values["NATS_USER"], values["NATS_PASSWORD"])
    command = ("exec", CONTROLLER, "--", "python3", "-c", LOGIN, *words)
    return platform.node.kube("--namespace", "deis", *command).strip() == "True"


@asynccontextmanager
async def forwarded(platform: ClusterPlatform, folder: Path) -> AsyncIterator[Values]:
    """A way to NATS from outside of the cluster: what differs of what a program needs."""
    secret = platform.installation.get("secret", "deis-nats-tls")
    (folder / "nats-ca.crt").write_bytes(base64.b64decode(secret["data"]["ca.crt"]))
    process = await asyncio.create_subprocess_exec(
        *platform.kubectl("port-forward", "service/deis-nats", ":4222"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(30):
            found = LOCAL.match(await process.stdout.readline())
        assert found
        yield {
            "NATS_URL": f"tls://localhost:{int(found[1])}",
            "SSL_CERT_FILE": str(folder / "nats-ca.crt"),
        }
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def heard(values: Values) -> list[str]:
    """What docs/examples/subscriber.py prints until it has heard of one release."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(SUBSCRIBER), "--once", "1"),
        env=os.environ | values,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        raw, _ = await asyncio.wait_for(process.communicate(), 60)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0
    return raw.decode().splitlines()


async def test_it_outlives_upgrade_and_nats_and_ends_with_its_application(
    platform: ClusterPlatform, tmp_path: Path
) -> None:
    app, name = f"told-{secrets.token_hex(3)}", f"bot-{secrets.token_hex(3)}"
    ada = await registered(platform, tmp_path / "home", f"ada-{app}")
    await ada.types("deis", "create", app, "--no-remote")
    try:
        values = await added(platform, name, "--app", app, "--since", "beginning")
        assert values["NATS_URL"] == "tls://deis-nats.deis.svc:4222"
        with pytest.raises(RuntimeError, match=f"there is an automation {name} already"):
            await added(platform, name)
        pods = platform.installation.pods().keys()
        platform.installation.apply()
        assert platform.installation.pods().keys() == pods
        assert lets_in(platform, values)
        await kill(platform, "deis-nats")
        await all_ready(platform)
        await until(lambda: lets_in(platform, values), "NATS knows the user again")
        async with forwarded(platform, tmp_path) as outside:
            assert await heard(values | outside) == [
                f"release of {app}: ada-{app} created initial release"
            ]
    finally:
        await destroyed(ada, app)

    async def ended() -> bool:
        return name not in await listed(platform)

    await until(ended, "it ends with its application", 90)
    await until(lambda: not lets_in(platform, values), "its user is gone", 90)


async def test_two_are_made_and_removed_at_once(platform: ClusterPlatform) -> None:
    names = [f"twin-{secrets.token_hex(3)}" for _ in range(2)]
    made = await asyncio.gather(*(added(platform, name) for name in names))
    assert set(names) <= await listed(platform)
    assert [lets_in(platform, values) for values in made] == [True, True]
    await asyncio.gather(*(platform.admin("automation", "remove", name) for name in names))
    assert (await listed(platform)).isdisjoint(names)
    assert [lets_in(platform, values) for values in made] == [False, False]
