"""Who may register with which name (api.md 5)."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from deis_services.controller.rules.fields import Form

BAD_USERNAME = (
    "Enter a valid username. This value may contain only letters, numbers and @/./+/-/_ characters."
)
TAKEN = "A user with that username already exists."
BAD_EMAIL = "Enter a valid email address."
WRONG_LOGIN = "Unable to log in with provided credentials."

_USERNAME = re.compile(r"[\w.@+-]+")
_EMAIL = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@(([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z0-9-]{2,63}|localhost)"
)


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """A checked request to register."""

    username: str
    password: str
    email: str
    first_name: str
    last_name: str


def registration(body: Mapping[str, Any]) -> Registration:
    """The account asked for; raises Invalid. A password is never trimmed (api.md 32, A4)."""
    form = Form(body)
    username = form.text("username", required=True, limit=150)
    if username and not _USERNAME.fullmatch(username):
        form.wrong("username", BAD_USERNAME)
    password = form.text("password", required=True, strip=False, limit=128)
    email = form.text("email", blank=True, limit=254)
    if email and not _EMAIL.fullmatch(email):
        form.wrong("email", BAD_EMAIL)
    asked = Registration(
        username=username,
        password=password,
        email=email,
        first_name=form.text("first_name", blank=True, limit=30),
        last_name=form.text("last_name", blank=True, limit=150),
    )
    form.done()
    return asked


def credentials(body: Mapping[str, Any]) -> tuple[str, str]:
    """Name and password of a login; raises Invalid."""
    form = Form(body)
    username = form.text("username", required=True)
    password = form.text("password", required=True, strip=False)
    form.done()
    return username, password


def username_of(body: Mapping[str, Any], field: str = "username") -> str:
    """The user a request names; raises Invalid when it names none."""
    form = Form(body)
    username = form.text(field, required=True)
    form.done()
    return username


def optional_username(body: Mapping[str, Any], field: str = "username") -> str | None:
    """The user a request names, None where it says nothing or nobody; raises Invalid."""
    return username_of(body, field) if body.get(field) not in (None, "") else None
