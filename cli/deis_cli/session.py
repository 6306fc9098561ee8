"""The profile: one JSON file that is the whole session (cli.md 2)."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from deis_cli.brand import Brand
from deis_cli.errors import NOT_LOGGED_IN, CliError

DEFAULT_LIMIT = 100
_KEYS = ("username", "ssl_verify", "controller", "token", "response_limit")


@dataclass(frozen=True, slots=True)
class Session:
    """Who is logged in where."""

    username: str
    controller: str
    token: str
    ssl_verify: bool = True
    response_limit: int = 0
    others: dict[str, object] = field(default_factory=dict)
    """Keys of the file that we do not know; kept when it is written again."""

    @property
    def limit(self) -> int:
        """Rows that a list asks for."""
        return self.response_limit if self.response_limit > 0 else DEFAULT_LIMIT

    @property
    def host(self) -> str:
        """Host name of the controller, without its port."""
        return urlsplit(self.controller).hostname or ""


def profile_path(chosen: str, environ: Mapping[str, str], brand: Brand) -> Path:
    """Where the profile lies: `-c`, then the variable, then `client`; a path or a name."""
    value = chosen or environ.get(brand.profile_variable, "") or "client"
    home = Path(environ.get("HOME") or Path.home())
    if value.endswith(".json"):
        return home / value[2:] if value.startswith("~/") else Path(value)
    return home / brand.folder / f"{value}.json"


def load(path: Path) -> Session:
    """Read a profile. Raises CliError when it is missing or not one."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError as fault:
        raise CliError(
            f"Client configuration file not found at {path}. Use `deis login` or `deis register`.",
            NOT_LOGGED_IN,
        ) from fault
    except (OSError, UnicodeDecodeError) as fault:
        raise CliError(f"Cannot read the profile {path}: {fault}") from fault
    try:
        values = json.loads(text)
    except ValueError as fault:
        raise CliError(f"The profile {path} is damaged: {fault}") from fault
    if not isinstance(values, dict) or not values.get("controller"):
        raise CliError(f"The profile {path} is damaged: it names no controller")
    limit = values.get("response_limit")
    return Session(
        username=str(values.get("username", "")),
        controller=str(values["controller"]),
        token=str(values.get("token", "")),
        ssl_verify=values.get("ssl_verify", True) is not False,
        response_limit=limit if isinstance(limit, int) else 0,
        others={key: value for key, value in values.items() if key not in _KEYS},
    )


def save(path: Path, session: Session) -> None:
    """Write a profile with mode 0600, its folder with 0700. Raises CliError when that fails."""
    values = {
        "username": session.username,
        "ssl_verify": session.ssl_verify,
        "controller": session.controller,
        "token": session.token,
        "response_limit": session.response_limit,
    }
    text = json.dumps(values | session.others, separators=(",", ":"))
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh.unlink(missing_ok=True)
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        fresh.replace(path)
    except OSError as fault:
        raise CliError(f"Cannot write the profile {path}: {fault}") from fault


def remove(path: Path) -> None:
    """Log out; an absent profile is no error."""
    path.unlink(missing_ok=True)


def normal_url(text: str) -> str:
    """A controller's URL as it is kept: with a scheme, without a slash at the end."""
    url = text.strip().rstrip("/")
    return url if "://" in url else f"http://{url}"
