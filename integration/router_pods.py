"""Routes to instances at addresses of their own, as pods have them, and settings of the router."""

import itertools
from typing import Any

import msgspec

from deis_bus.routes import Upstreams
from deis_platform.embedded.ports import free_port
from deis_services.router.annotations import PREFIX, router_settings
from deis_services.router.model import TUNING_KEY, Route
from integration.router_rig import Instance, Rig, eventually

ADDRESSES = itertools.count(2)


def pod(name: str, handler: Any = None, *, host: str = "", port: int = 0) -> Instance:
    """An instance with an address of its own, as pods have."""
    number = next(ADDRESSES)
    host = host or f"127.{20 + number // 250}.0.{2 + number % 250}"
    return Instance(name, port or free_port(), handler, host)


def route(app: str, **said: Any) -> Route:
    """A route; the namespace is the application's own unless told otherwise."""
    return Route(**({"app": app, "appuuid": app.partition("/")[0], "hosts": (app,)} | said))


def up(app: str, *instances: Instance | str) -> Upstreams:
    """The instances of an application."""
    addresses = tuple(i if isinstance(i, str) else i.address for i in instances)
    owner = app.partition("/")[0]
    return Upstreams(app=app, appuuid=owner, generation=0, addresses=addresses)


async def tune(rig: Rig, *, alone: bool = True, **settings: str) -> None:
    """Annotate the router, and wait until that is in force."""
    tuning, problems = router_settings(
        {f"{PREFIX}nginx.{key.replace('_', '.')}": text for key, text in settings.items()}
    )
    assert problems == []
    await say(rig, TUNING_KEY, tuning, alone=alone)


async def say(rig: Rig, key: str, value: Any, *, alone: bool = True) -> None:
    """One entry; nginx' configuration follows where it has to. `alone` waits until the worker
    that had the last one is gone: it takes its last connections while the new one starts."""
    rig.tell(key, msgspec.json.encode(value))
    await rig.applied(rig.revision)
    live = rig.router.live
    nginx = rig.router.server.nginx
    await eventually(lambda: nginx.layout == live.layout(rig.base_layout))
    await rig.applied(rig.revision)
    if alone:
        await eventually(lambda: len(rig.workers()) == 1)
