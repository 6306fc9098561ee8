"""Applications: create, list, show, remove, hand over (cli.md 6.1)."""

import ipaddress
from urllib.parse import urlsplit

import msgspec

from deis_cli.core import models
from deis_cli.core.client import Api, part
from deis_cli.core.follow import Note, deploy
from deis_cli.errors import ApiError


class AppInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Everything `apps:info` shows."""

    app: models.App
    url: str
    pods: list[models.Pod]
    domains: list[str]
    labels: dict[str, str] | None
    """None where the platform has no application settings."""


class _Settings(msgspec.Struct, frozen=True):
    label: dict[str, object] | None = None


def path(app: str, *parts: str) -> str:
    """`/v2/apps/<app>/…`."""
    return "/".join(["/v2/apps", part(app), *parts])


async def create(api: Api, name: str | None) -> models.App:
    """Make an application; without a name the platform finds one."""
    body = {"id": name} if name is not None else None
    return (await api.send("POST", "/v2/apps/", body)).decode(models.App)


async def listed(api: Api, limit: int) -> models.Page[models.App]:
    """Applications one may use."""
    return await api.get("/v2/apps/", models.Page[models.App], limit=limit)


async def pods(api: Api, app: str, limit: int = 1000) -> list[models.Pod]:
    """Running instances."""
    found = await api.get(path(app, "pods/"), models.Page[models.Pod], limit=limit)
    return found.results


async def domains(api: Api, app: str, limit: int) -> models.Page[models.Domain]:
    """Host names."""
    return await api.get(path(app, "domains/"), models.Page[models.Domain], limit=limit)


async def address(api: Api, app: str) -> str:
    """Host (and port) under which an application answers; empty when it has no domain."""
    found = (await domains(api, app, 1)).results
    if not found:
        return ""
    name = found[0].domain
    if "." in name:
        return name
    target = urlsplit(api.controller)
    host = target.hostname or ""
    port = f":{target.port}" if target.port else ""
    if _bare(host):
        return f"{name}.{(await api.platform()).domain or host}{port}"
    return f"{name}.{host.partition('.')[2]}{port}"


def _bare(host: str) -> bool:
    """Whether there is no first label that an application's name could replace."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return "." not in host
    return True


async def info(api: Api, app: str, limit: int) -> AppInfo:
    """The application with its processes, domains and labels."""
    return AppInfo(
        app=await api.get(path(app, ""), models.App),
        url=await address(api, app),
        pods=await pods(api, app, limit),
        domains=[found.domain for found in (await domains(api, app, limit)).results],
        labels=await _labels(api, app),
    )


async def _labels(api: Api, app: str) -> dict[str, str] | None:
    try:
        found = await api.get(path(app, "settings/"), _Settings)
    except ApiError as fault:
        if fault.status == 404:
            return None
        raise
    return {key: str(value) for key, value in (found.label or {}).items()}


async def destroy(api: Api, app: str, note: Note) -> None:
    """Remove an application."""
    await deploy(api, "DELETE", path(app, ""), app=app, note=note)


async def transfer(api: Api, app: str, username: str) -> None:
    """Give an application to another user."""
    await api.send("POST", path(app, ""), {"owner": username})
