"""`helm test`: is the platform up, as one of its pods sees it? One line for each thing looked at.

Exit code 1 where something is not as it should be. Tried again for a minute: pods may just start.
"""

import asyncio
import os
import sys
import time
import urllib.error
import urllib.request

from deis_platform.buses import open_bus
from deis_platform.groups import BusSettings
from deis_platform.settings import load

PATIENCE_SECONDS = 60.0
API, ROUTER, DOMAIN = os.environ["API"], os.environ["ROUTER"], os.environ["DEIS_DOMAIN"]


def api_asks_who_we_are() -> str:
    """401 for a stranger: the gateway answers."""
    return expect(401, ask(API + "/v2/"))


def database_is_asked() -> str:
    """401 for an unknown token: the gateway asked the controller, and that its database."""
    return expect(401, ask(API + "/v2/apps/", Authorization="token 0000"))


def router_leads_to_the_api() -> str:
    """The same answer from outside, under the platform's name."""
    return expect(401, ask(ROUTER + "/v2/", Host=f"deis.{DOMAIN or 'example.com'}"))


def bus_lets_us_in() -> str:
    """NATS takes the operator's password, over TLS where it should."""

    async def ready() -> bool:
        async with open_bus(load(BusSettings, os.environ), "platform") as bus:
            for _ in range(50):
                if await bus.ready():
                    return True
                await asyncio.sleep(0.1)
        return False

    if not asyncio.run(ready()):
        raise RuntimeError(f"no answer from {os.environ['DEIS_NATS_URL']}")
    return os.environ["DEIS_NATS_URL"]


def ask(url: str, **headers: str) -> int:
    """The status of an answer."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as fault:
        return fault.code


def expect(wanted: int, got: int) -> str:
    """A word for the line, where the status is the wanted one."""
    if got != wanted:
        raise RuntimeError(f"status {got}, not {wanted}")
    return f"status {got}"


def main() -> int:
    """Look at everything; gives the exit code."""
    checks = (bus_lets_us_in, api_asks_who_we_are, database_is_asked, router_leads_to_the_api)
    until = time.monotonic() + PATIENCE_SECONDS
    code = 0
    for check in checks:
        name = check.__name__.replace("_", " ")
        while True:
            try:
                print(f"ok      {name}: {check()}", flush=True)
                break
            except Exception as fault:
                if time.monotonic() > until:
                    print(f"FAILED  {name}: {fault}", flush=True)
                    code = 1
                    break
                time.sleep(1)
    return code


if __name__ == "__main__":
    sys.exit(main())
