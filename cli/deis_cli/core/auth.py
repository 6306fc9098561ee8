"""Accounts and sessions (cli.md 6.2)."""

import contextlib

from deis_cli.core import models
from deis_cli.core.client import Api
from deis_cli.errors import CliError


async def check(api: Api) -> None:
    """Is this a controller? `GET /v2/` without a token must answer 401 (cli.md 3.4)."""
    reply = await api.ask("GET", "/v2/")
    if reply.status != 401:
        raise CliError(
            f"{api.controller} does not look like a Deis controller. "
            "Check the URL, and the versions of server and client."
        )


async def register(api: Api, username: str, password: str, email: str) -> None:
    """Make an account."""
    body = {"username": username, "password": password, "email": email}
    await api.send("POST", "/v2/auth/register/", body)


async def login(api: Api, username: str, password: str) -> str:
    """The token of an account."""
    body = {"username": username, "password": password}
    token = (await api.send("POST", "/v2/auth/login/", body)).decode(models.Token).token
    if not token:
        raise CliError("The controller gave no token")
    return token


async def whoami(api: Api) -> models.User:
    """The account behind the token."""
    return await api.get("/v2/auth/whoami/", models.User)


async def set_password(api: Api, new: str, current: str | None, username: str | None) -> None:
    """Another password, one's own or (administrators) another user's."""
    given = {"username": username, "password": current, "new_password": new}
    body = {key: value for key, value in given.items() if value}
    await api.send("POST", "/v2/auth/passwd/", body)


async def cancel(api: Api, username: str | None) -> None:
    """Remove an account."""
    await api.send("DELETE", "/v2/auth/cancel/", {"username": username} if username else None)


async def regenerate(api: Api, username: str | None, *, everybody: bool) -> str:
    """A new token: one's own, a user's, or everybody's; empty where none is told."""
    body = {"all": True} if everybody else {"username": username} if username else None
    reply = await api.send("POST", "/v2/auth/tokens/", body)
    with contextlib.suppress(CliError):
        return reply.decode(models.Token).token
    return ""
