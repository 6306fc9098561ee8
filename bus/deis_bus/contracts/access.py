"""What the gateway asks the controller before and while a stream is open."""

import msgspec

from deis_bus.rpc import Method


class AccessCheck(msgspec.Struct, frozen=True, kw_only=True):
    """May the owner of this token (keyed hash) do this now? Asked again while a stream is open."""

    token: str
    action: str
    """Name of an endpoint of the table."""
    app: str = ""


class AccessAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Yes. Refused 401, 403 or 404 otherwise."""

    username: str
    admin: bool = False
    appuuid: str = ""


class Visible(msgspec.Struct, frozen=True):
    """Which applications may the owner of this token see now?"""

    token: str


class VisibleApp(msgspec.Struct, frozen=True):
    """An application by name and identity."""

    app: str
    appuuid: str


class VisibleAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """These; an admin sees everything, the platform's own events too."""

    username: str
    admin: bool
    apps: tuple[VisibleApp, ...]


ACCESS_CHECK = Method("controller", "access.check", AccessCheck, AccessAnswer)
VISIBLE = Method("controller", "access.visible", Visible, VisibleAnswer)
