"""The bus of a service, from its settings."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from deis_bus.jetstream import connect
from deis_bus.ports import Bus
from deis_platform.groups import BusSettings


@asynccontextmanager
async def open_bus(settings: BusSettings, name: str) -> AsyncIterator[Bus]:
    """The bus as service `name`. Does not wait for the server: calls raise Transient until it is
    there, subscriptions begin once it is."""
    password = _password(settings.password_file)
    tls = _tls(settings)
    async with connect(settings.url, name, user=settings.user, password=password, tls=tls) as bus:
        yield bus


def _tls(settings: BusSettings) -> ssl.SSLContext | None:
    """How the server is checked; None: no TLS, for loopback. Raises OSError for no such file."""
    if settings.ca_file:
        return ssl.create_default_context(cafile=settings.ca_file)
    return ssl.create_default_context() if settings.url.startswith("tls://") else None


def _password(path: str) -> str:
    return Path(path).read_text(encoding="utf-8").strip() if path else ""
