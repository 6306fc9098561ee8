"""Users of our own NATS: who they are, their passwords and rights, as the server's configuration."""

import asyncio
import contextlib
import json
import os
import signal
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from deis_bus.users import OPERATOR, authorization
from deis_platform.embedded.nats import Nats
from deis_platform.embedded.secret_files import read_secret, secret_file
from deis_services.platform_cli.automations import Book
from deis_services.platform_cli.services import SERVICES

LOGIN_SECONDS = 2.0


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


async def lets_in(url: str, user: str, password: str, ca_file: str = "") -> bool:
    """Whether our own server takes this user now: a bare login, for an automation may do nothing
    that a client of ours does at its start. With `ca_file` over TLS. Raises OSError where there is
    no such file."""
    tls = ssl.create_default_context(cafile=ca_file) if ca_file else None
    place = urlsplit(url)
    login = {"user": user, "pass": password, "verbose": False}
    try:
        async with asyncio.timeout(LOGIN_SECONDS):
            reader, writer = await asyncio.open_connection(place.hostname, place.port)
            try:
                await reader.readline()  # INFO
                if tls:
                    await writer.start_tls(tls, server_hostname=place.hostname)
                writer.write(f"CONNECT {json.dumps(login)}\r\nPING\r\n".encode())
                return (await reader.readline()).startswith(b"PONG")
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except (OSError, TimeoutError):
        return False


def _rewrite(server: Nats) -> None:
    server.adopt()
    server.write()
    for pid in server.running():
        try:
            os.kill(pid, signal.SIGHUP)
        except ProcessLookupError:
            continue  # it reads the new file when it is started again
