"""Automations end to end, on the platform's own NATS with its generated users."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import nats
import nats.errors
import pytest

from deis_bus import codec, subjects
from deis_bus.events import Event
from deis_bus.events.apps import AppCreated, AppDestroyed
from deis_bus.events.releases import ReleaseCreated
from deis_bus.jetstream import JetStreamBus, connect
from deis_bus.streams import EVENTS
from deis_platform.embedded.errors import ServerFailed
from deis_services.platform_cli import bus_users
from deis_services.platform_cli.reach import operator_bus, reach
from integration.bus_rig import wipe
from integration.platform_cli_rig import bus_as, controller, typed
from integration.platform_up import platform_up
from integration.servers import RunningNats, nats_server, until
from tests.behaviour.bus import envelope

pytestmark = [pytest.mark.server, pytest.mark.timeout(120)]
BARE = {"DEIS_SERVICES": "manager"}
SUBSCRIBER = Path(__file__).resolve().parent.parent / "docs" / "examples" / "subscriber.py"


async def tell(bus: JetStreamBus, app: str, appuuid: str, event: Event) -> None:
    """An event of the controller."""
    given = envelope(event.TYPE, subject=app, appuuid=appuuid)
    await bus.publish(subjects.event(app, event.TYPE), given, codec.encode(event))


def release(version: int) -> ReleaseCreated:
    """A release; what else it tells does not matter here."""
    return ReleaseCreated(version=version, summary=f"ada deployed {version}")


async def subscriber(values: dict[str, str], count: int) -> list[str]:
    """The documented program until it has heard of so many releases."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(SUBSCRIBER), "--once", str(count)),
        env=os.environ | values,
        stdout=asyncio.subprocess.PIPE,
    )
    raw, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0
    return raw.decode().splitlines()


async def lets_in(values: dict[str, str]) -> bool:
    """Whether the server takes this user."""
    return await bus_users.lets_in(values["NATS_URL"], values["NATS_USER"], values["NATS_PASSWORD"])


async def test_live_replayed_rewound_and_removed(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with (
        platform_up(data, environ=BARE) as platform,
        controller(platform, {}) as bus,
    ):
        await tell(bus, "blog", "u1", release(1))
        added = await typed(data, "automation", "add", "herald", "-o", "json")
        assert added.code == 0, added.text
        values: dict[str, str] = json.loads(added.text)
        assert set(values) == {
            *("NATS_URL", "NATS_USER", "NATS_PASSWORD", "NATS_INBOX", "NATS_DURABLE"),
        }
        live = asyncio.create_task(subscriber(values, 2))
        await tell(bus, "blog", "u1", release(2))
        await tell(bus, "shop", "u2", release(3))
        assert await live == ["release of blog: ada deployed 2", "release of shop: ada deployed 3"]
        rewound = await typed(data, "automation", "rewind", "herald", "--since", "beginning")
        assert rewound.code == 0, rewound.text
        assert (await subscriber(values, 3))[0] == "release of blog: ada deployed 1"
        await may_do_nothing_else(values, bus)
        again = await typed(data, "automation", "add", "herald")
        assert (again.code, again.text) == (
            1,
            "deis-platform: there is an automation herald already\n",
        )
        shown = await typed(data, "automation", "list")
        assert shown.text == "NAME    APP          STATE\nherald  (every app)  active\n"
        assert values["NATS_PASSWORD"] not in platform.log()
        assert (await typed(data, "automation", "remove", "herald")).code == 0
        await until(lambda: _not(lets_in(values)), "the user is gone")
        assert await _durables(platform) == []
    async with platform_up(data, environ=BARE) as platform:
        assert not await lets_in(values | {"NATS_URL": str(platform.ready["nats"])})


async def may_do_nothing_else(values: dict[str, str], bus: JetStreamBus) -> None:
    """Publish, read by another consumer, hear what is not its own."""
    before = await bus.stream_bounds("EVENTS")
    client = await nats.connect(
        values["NATS_URL"],
        user=values["NATS_USER"],
        password=values["NATS_PASSWORD"],
        inbox_prefix=values["NATS_INBOX"].encode(),
        error_cb=_silent,
    )
    try:
        for subject in (
            "deis.event.blog.app.created",
            "deis.rpc.controller.apps.find",
            "$JS.API.STREAM.INFO.EVENTS",
            "$JS.API.CONSUMER.DELETE.EVENTS.logger",
            "$JS.API.CONSUMER.MSG.NEXT.EVENTS.logger",
        ):
            with pytest.raises(nats.errors.TimeoutError):
                await client.request(subject, b"{}", timeout=0.2)
        heard: list[Any] = []

        async def hear(message: Any) -> None:
            heard.append(message)

        await client.subscribe("deis.>", cb=hear)
        await tell(bus, "blog", "u1", release(9))
        await client.flush()
        assert heard == []
    finally:
        await client.close()
    assert await bus.stream_bounds("EVENTS") == (before[0], before[1] + 1)


async def test_it_survives_a_restart_and_ends_with_its_application(tmp_path: Path) -> None:
    data = tmp_path / "data"
    apps = {"blog": "new-blog"}
    async with platform_up(data, environ=BARE) as platform, controller(platform, apps) as bus:
        await tell(bus, "blog", "old-blog", release(1))
        await tell(bus, "blog", "new-blog", AppCreated(owner="ada"))
        await tell(bus, "blog", "new-blog", release(2))
        unknown = await typed(data, "automation", "add", "bot", "--app", "shop")
        assert (unknown.code, unknown.text) == (
            1,
            "deis-platform: there is no application shop\n",
        )
        words = ("automation", "add", "bot", "--app", "blog", "--since", "beginning", "-o", "json")
        added = await typed(data, *words)
        assert added.code == 0, added.text
        values: dict[str, str] = json.loads(added.text)
    async with platform_up(data, environ=BARE) as platform, controller(platform, apps) as bus:
        values["NATS_URL"] = str(platform.ready["nats"])
        assert await subscriber(values, 1) == ["release of blog: ada deployed 2"]
        del apps["blog"]
        await tell(bus, "blog", "new-blog", AppDestroyed(owner="ada"))
        await until(lambda: _not(lets_in(values)), "the user is gone")
        shown = await typed(data, "automation", "list")
        assert shown.text == "There are no automations.\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("add", "Bad"), "a name is 1 to 40 of a-z, 0-9 and -"),
        (("rewind", "nobody", "--since", "now"), "there is no automation nobody"),
        (("remove", "nobody"), "there is no automation nobody"),
    ],
)
async def test_wrong_words_change_nothing(
    tmp_path: Path, words: tuple[str, ...], says: str
) -> None:
    data = tmp_path / "data"
    async with platform_up(data, environ=BARE) as platform, controller(platform, {}):
        answer = await typed(data, "automation", *words)
        assert answer.code == 1
        assert says in answer.text
        assert not (data / "secrets" / "automations.json").exists()


async def test_a_platform_that_is_down_is_named(tmp_path: Path) -> None:
    (tmp_path / "data" / "secrets").mkdir(parents=True)
    answer = await typed(tmp_path / "data", "automation", "list")
    assert answer.code == 1
    assert answer.text.startswith(f"deis-platform: no platform runs on {tmp_path / 'data'}")


async def test_an_outside_server_is_told_what_to_grant(tmp_path: Path, nats: RunningNats) -> None:
    data = tmp_path / "data"
    environ = {"DEIS_NATS_URL": nats.url}
    nowhere = await typed(data, "automation", "add", "bot", environ=environ)
    assert (nowhere.code, nowhere.text) == (
        1,
        f"deis-platform: {data} is no platform's data folder: name one with --data\n",
    )
    (data / "secrets").mkdir(parents=True)
    async with connect(nats.url, "controller") as bus:
        await wipe(bus, nats)
        await bus.ensure((EVENTS,), ())
        added = await typed(data, "automation", "add", "bot", environ=environ)
        assert added.code == 0, added.text
        assert "may publish to   $JS.API.CONSUMER.MSG.NEXT.EVENTS.automation-bot" in added.text
        assert f"NATS_URL={nats.url}\n" in added.text
        assert await bus.durables("EVENTS") == ["automation-bot"]
        assert (await typed(data, "automation", "remove", "bot", environ=environ)).code == 0
        assert await bus.durables("EVENTS") == []


async def _durables(platform: Any) -> list[str]:
    async with bus_as(platform, "platform") as operator:
        return await operator.durables("EVENTS")


async def _not(answer: Any) -> bool:
    return not await answer


async def _silent(fault: Exception) -> None:
    """Errors of these clients are what the tests want."""


async def test_a_command_waits_for_a_server_that_starts(tmp_path: Path) -> None:
    async with nats_server(tmp_path) as nats, connect(nats.url, "controller") as bus:
        await until(bus.ready, "the server")
        await bus.ensure((EVENTS,), ())
    found = reach(str(tmp_path / "data"), {"DEIS_NATS_URL": nats.url})

    async def command() -> tuple[int, int]:
        async with operator_bus(found) as bus:
            return await bus.stream_bounds(EVENTS.name)

    typed_first = asyncio.create_task(command())
    await asyncio.sleep(0)
    async with nats_server(tmp_path) as again:
        assert again.url == nats.url
        assert await typed_first
    with pytest.raises(ServerFailed, match="NATS does not answer"):
        await command()
