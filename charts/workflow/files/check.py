"""`helm test`: is the platform up, as one of its pods sees it? One line for each thing looked at.

Exit code 1 where something is not as it should be. Tried again for a minute: pods may just start.
"""

import asyncio
import http.client
import os
import sys
import time
from collections.abc import Callable

from deis_platform.buses import open_bus
from deis_platform.groups import BusSettings
from deis_platform.settings import load

PATIENCE_SECONDS = 60.0
BUS_SECONDS = 5.0
API, ROUTER, DOMAIN = os.environ["API"], os.environ["ROUTER"], os.environ["DEIS_DOMAIN"]


class NotSo(Exception):
    """It is not as it should be; the text says how it is."""


def bus_lets_us_in() -> str:
    """NATS takes the operator's password, over TLS where it should."""
    if not asyncio.run(bus_ready()):
        raise NotSo(f"no answer from {os.environ['DEIS_NATS_URL']}")
    return os.environ["DEIS_NATS_URL"]


def api_asks_who_we_are() -> str:
    """401 for a stranger: the gateway answers."""
    return unauthorized(API, "/v2/")


def database_is_asked() -> str:
    """401 for an unknown token: the gateway asked the controller, and that its database."""
    return unauthorized(API, "/v2/apps/", Authorization="token 0000")


def router_leads_to_the_api() -> str:
    """The same answer from outside, under the platform's name."""
    return unauthorized(ROUTER, "/v2/", Host=f"deis.{DOMAIN or 'example.com'}")


async def bus_ready() -> bool:
    """Whether the bus answers within some seconds."""
    clock = asyncio.get_running_loop()
    until = clock.time() + BUS_SECONDS
    async with open_bus(load(BusSettings, os.environ), "platform") as bus:
        while not await bus.ready():
            if clock.time() > until:
                return False
            await asyncio.sleep(0.1)
    return True


def unauthorized(host: str, path: str, **headers: str) -> str:
    """A word for the line. Raises NotSo for another status, OSError for no answer."""
    link = http.client.HTTPConnection(host, timeout=10)
    try:
        link.request("GET", path, headers=headers)
        status = link.getresponse().status
    finally:
        link.close()
    if status != 401:
        raise NotSo(f"status {status}, not 401")
    return f"status {status}"


def seen(check: Callable[[], str], until: float) -> bool:
    """Look until it is so or time is up, and tell."""
    name = check.__name__.replace("_", " ")
    while True:
        try:
            line = f"ok      {name}: {check()}"
        except (NotSo, OSError, http.client.HTTPException) as fault:
            line = f"FAILED  {name}: {fault}"
        if line.startswith("ok") or time.monotonic() > until:
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
            return line.startswith("ok")
        time.sleep(1)


def main() -> int:
    """Look at everything; gives the exit code."""
    checks = (bus_lets_us_in, api_asks_who_we_are, database_is_asked, router_leads_to_the_api)
    until = time.monotonic() + PATIENCE_SECONDS
    found = [seen(check, until) for check in checks]
    return int(not all(found))


if __name__ == "__main__":
    sys.exit(main())
