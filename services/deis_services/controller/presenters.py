"""Rows as the original API shows them (api.md 5 to 20); every key and its order is a contract."""

import datetime
from collections.abc import Mapping
from typing import Any

from deis_bus.contracts.runtime import Instance
from deis_services.controller.model import App, Build, Config, Release, User


def when(moment: datetime.datetime | None) -> str | None:
    """A time to the second in UTC with `Z` (api.md 1.4); None stays None."""
    if moment is None:
        return None
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def user(value: User) -> dict[str, Any]:
    """An account, without its password (api.md 5)."""
    return {
        "email": value.email,
        "username": value.username,
        "first_name": value.first_name,
        "last_name": value.last_name,
        "is_superuser": value.is_superuser,
        "is_staff": value.is_staff,
        "groups": [],
        "user_permissions": [],
        "last_login": when(value.last_login),
        "date_joined": when(value.date_joined),
        "is_active": value.is_active,
    }


def app(value: App) -> dict[str, Any]:
    """An application (api.md 6)."""
    return {
        "uuid": value.uuid,
        "id": value.id,
        "owner": value.owner,
        "structure": value.structure,
        "procfile_structure": value.procfile_structure,
        "created": when(value.created),
        "updated": when(value.updated),
    }


def build(value: Build, app_id: str) -> dict[str, Any]:
    """A build (api.md 7)."""
    return {
        "owner": value.owner,
        "app": app_id,
        "image": value.image,
        "sha": value.sha,
        "procfile": value.procfile,
        "dockerfile": value.dockerfile,
        "created": when(value.created),
        "updated": when(value.updated),
        "uuid": value.uuid,
    }


def config(value: Config, app_id: str) -> dict[str, Any]:
    """A configuration (api.md 8)."""
    return {
        "uuid": value.uuid,
        "app": app_id,
        "owner": value.owner,
        "values": value.values,
        "memory": value.memory,
        "cpu": value.cpu,
        "tags": value.tags,
        "registry": value.registry,
        "healthcheck": value.healthcheck,
        "lifecycle_post_start": value.lifecycle_post_start,
        "lifecycle_pre_stop": value.lifecycle_pre_stop,
        "termination_grace_period": value.termination_grace_period,
        "created": when(value.created),
        "updated": when(value.updated),
    }


def release(value: Release, app_id: str) -> dict[str, Any]:
    """A release (api.md 9); our states beside the original's `failed`."""
    return {
        "uuid": value.uuid,
        "app": app_id,
        "owner": value.owner,
        "created": when(value.created),
        "updated": when(value.updated),
        "version": value.version,
        "summary": value.summary,
        "failed": value.state in ("failed", "superseded"),
        "exception": value.exception,
        "config": value.config,
        "build": value.build,
        "state": value.state,
    }


def pod(value: Instance) -> dict[str, Any]:
    """An instance (api.md 10.2)."""
    return {
        "name": value.name,
        "state": value.state,
        "release": f"v{value.release}",
        "type": value.type,
        "started": value.started,
    }


def domain(row: Mapping[str, Any], app_id: str) -> dict[str, Any]:
    """A host name (api.md 13)."""
    return {
        "owner": row["owner"],
        "created": when(row["created"]),
        "updated": when(row["updated"]),
        "app": app_id,
        "domain": row["domain"],
    }


def key(row: Mapping[str, Any]) -> dict[str, Any]:
    """An SSH key (api.md 20)."""
    return {
        "uuid": str(row["uuid"]),
        "owner": row["owner"],
        "created": when(row["created"]),
        "updated": when(row["updated"]),
        "id": row["id"],
        "public": row["public"],
        "fingerprint": row["fingerprint"],
    }
