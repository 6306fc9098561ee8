"""The one place that decides who may do what, from an endpoint's `access` (api.md 3.2, 3.5)."""

from collections.abc import Mapping

from deis_bus.api.table import Access, Endpoint
from deis_services.controller.callers import Caller
from deis_services.controller.problem import (
    FORBIDDEN,
    INACTIVE,
    INVALID_TOKEN,
    NOT_PROVIDED,
    detail,
    forbidden,
    missing,
    unauthorized,
)

_APP = (Access.APP_USE, Access.APP_OWN, Access.APP_UNSHARE)


def authorize(endpoint: Endpoint, caller: Caller, path: Mapping[str, str]) -> None:
    """Return when the caller may use the endpoint; raises Problem 401, 403 or 404 otherwise.

    Registration is open here; `may_register` decides it, because that depends on its mode.
    """
    if endpoint.access == Access.REGISTER or (endpoint.access == Access.BUILDER and caller.builder):
        return
    if not caller.known:
        raise unauthorized(INVALID_TOKEN)
    if caller.user is not None and not caller.user.is_active:
        raise unauthorized(INACTIVE)
    if endpoint.access == Access.ANYONE:
        return
    if caller.user is None:
        raise unauthorized()
    if endpoint.access == Access.BUILDER:
        raise forbidden()
    if endpoint.access == Access.ADMIN and not caller.user.is_superuser:
        raise forbidden()
    if endpoint.access in _APP:
        _app(endpoint.access, caller, path)


def may_use(caller: Caller) -> None:
    """The caller may use the application, as a collaborator at least; raises Problem."""
    if caller.user is None or not caller.user.is_active:
        raise forbidden()
    _app(Access.APP_USE, caller, {})


def may_name(caller: Caller, username: str) -> None:
    """The caller may act on that account: their own, or any for an admin; raises Problem 403."""
    user = caller.user
    if user is None or not (user.is_superuser or user.username == username):
        raise forbidden()


def may_administer(caller: Caller) -> None:
    """The caller is an admin; raises Problem 403."""
    if caller.user is None or not caller.user.is_superuser:
        raise forbidden()


def may_register(mode: str, caller: Caller, *, admin_exists: bool) -> None:
    """Registration by its mode (api.md 3.2); raises Problem 403, never 401.

    Raises ValueError for a mode that does not exist.
    """
    if mode == "disabled":
        raise detail(403, "Registration is disabled")
    if mode == "enabled":
        return
    if mode != "admin_only":
        raise ValueError(f"DEIS_REGISTRATION_MODE cannot be {mode!r}")
    user = caller.user if caller.user and caller.user.is_active else None
    if admin_exists and not (user and user.is_superuser):
        raise detail(403, FORBIDDEN if user else NOT_PROVIDED)


def _app(access: Access, caller: Caller, path: Mapping[str, str]) -> None:
    if caller.app is None:
        raise missing("App")
    if caller.owns or (access == Access.APP_USE and caller.shared):
        return
    own = caller.user is not None and path.get("username") == caller.user.username
    if not (access == Access.APP_UNSHARE and caller.shared and own):
        raise forbidden()
