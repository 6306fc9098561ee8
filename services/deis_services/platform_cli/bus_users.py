"""Users of our own NATS: who they are, their passwords and rights, as the server's configuration."""

import asyncio
import json
import os
import signal
import socket
import ssl
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from deis_bus.users import OPERATOR, authorization
from deis_platform.embedded.nats import Nats
from deis_platform.embedded.secret_files import read_secret, secret_file
from deis_services.platform_cli.automations import Book
from deis_services.platform_cli.services import SERVICES

LOGIN_SECONDS = 2.0
CHUNK_BYTES = 16 * 1024


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
    login = {"user": user, "pass": password, "verbose": False}
    said = f"CONNECT {json.dumps(login)}\r\nPING\r\n".encode()
    return await asyncio.to_thread(_answers_pong, urlsplit(url), said, tls)


def _answers_pong(place: SplitResult, said: bytes, tls: ssl.SSLContext | None) -> bool:
    """A thread's: streams of asyncio complain of an end that comes after `start_tls`."""
    try:
        with socket.create_connection((place.hostname, place.port), LOGIN_SECONDS) as plain:
            _line(plain)  # INFO
            if tls is None:
                plain.sendall(said)
                return _line(plain).startswith(b"PONG")
            with tls.wrap_socket(plain, server_hostname=place.hostname) as safe:
                safe.sendall(said)
                return _line(safe).startswith(b"PONG")
    except OSError:
        return False


def _line(link: socket.socket) -> bytes:
    """Its first line, or what came of it."""
    heard = b""
    while not heard.endswith(b"\n") and (more := link.recv(CHUNK_BYTES)):
        heard += more
    return heard


def _rewrite(server: Nats) -> None:
    server.adopt()
    server.write()
    for pid in server.running():
        try:
            os.kill(pid, signal.SIGHUP)
        except ProcessLookupError:
            continue  # it reads the new file when it is started again
