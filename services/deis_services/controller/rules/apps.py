"""What an application may be called (api.md 6)."""

import re
from collections.abc import Mapping
from typing import Any

from deis_services.controller.rules.fields import Form

MAX_LENGTH = 63
RESERVED = frozenset({"deis", "deis-builder", "workflow-manager"})
"""Host names of the platform itself: an application there would stand in front of it."""
BAD_NAME = (
    "App name must start with an alphabetic character, cannot end with a hyphen "
    "and can only contain a-z (lowercase), 0-9 and hyphens."
)
CLIENT_BAD_NAME = "App name can only contain a-z (lowercase), 0-9 and hyphens"
"""The original client's text: it tests for this one."""
TAKEN = "Application with this id already exists."

_NAME = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")


def app_name(body: Mapping[str, Any]) -> str | None:
    """The name asked for, None where one should be made up; raises Invalid."""
    if body.get("id") is None:
        return None
    form = Form(body)
    name = form.text("id", limit=MAX_LENGTH)
    if name and not _NAME.fullmatch(name):
        form.wrong("id", BAD_NAME, CLIENT_BAD_NAME)
    elif name in RESERVED:
        form.wrong("id", f"{name} is a reserved name.")
    form.done()
    return name
