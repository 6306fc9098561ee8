"""Users of our own NATS: who they are, their passwords and rights, as the server's configuration."""

import asyncio
import os
import signal
from pathlib import Path

from deis_bus.users import OPERATOR, authorization
from deis_platform.embedded.nats import Nats
from deis_platform.embedded.secret_files import read_secret, secret_file
from deis_services.platform_cli.automations import Book
from deis_services.platform_cli.services import SERVICES


def password_files(secrets: Path) -> dict[str, Path]:
    """The file of each user's password, made at the first use."""
    return {name: secret_file(secrets, f"nats-{name}") for name in (*SERVICES, OPERATOR)}


def block(data: Path, secrets: Path) -> str:
    """The `authorization` block: every service and every automation with its rights."""
    words = {name: read_secret(path) for name, path in password_files(secrets).items()}
    return authorization(words, [kept.user() for kept in Book(data).read().values()])


async def reload(data: Path) -> None:
    """Have the running server of this folder take the users in as they are now."""
    server = Nats(data / "nats", Path(), lambda: block(data, data / "secrets"))
    await asyncio.to_thread(_rewrite, server)


def _rewrite(server: Nats) -> None:
    server.adopt()
    server.write()
    for pid in server.running():
        try:
            os.kill(pid, signal.SIGHUP)
        except ProcessLookupError:
            continue  # it reads the new file when it is started again
