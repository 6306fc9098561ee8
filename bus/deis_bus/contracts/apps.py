"""What the operator's tools ask the controller about applications."""

import msgspec

from deis_bus.rpc import Method


class AppFind(msgspec.Struct, frozen=True):
    """Whose is this name now? Refused 404 when no application has it."""

    app: str


class AppFound(msgspec.Struct, frozen=True):
    """The application's identity."""

    appuuid: str


APP_FIND = Method("controller", "apps.find", AppFind, AppFound)
