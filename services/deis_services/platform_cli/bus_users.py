"""Users of our own NATS: who they are, their passwords, and the block of the configuration."""

import json
from pathlib import Path

from deis_platform.embedded.secret_files import read_secret, secret_file
from deis_services.platform_cli.services import SERVICES

OPERATOR = "platform"
"""Who `deis-platform` itself is on the bus."""


def password_files(secrets: Path) -> dict[str, Path]:
    """The file of each user's password, made at the first use."""
    return {name: secret_file(secrets, f"nats-{name}") for name in (*SERVICES, OPERATOR)}


def block(data: Path, secrets: Path) -> str:
    """The `authorization` block with every user."""
    users = [
        {"user": name, "password": read_secret(path)}
        for name, path in password_files(secrets).items()
    ]
    return "authorization: " + json.dumps({"users": users})
