"""Every endpoint of the API (api.md 4), declared once.

The gateway routes by `method` and `path`, and sends an ApiCall to `deis.rpc.controller.<name>`;
the controller validates, authorizes by `access` and answers. `{name}` in a path is a parameter
whose alphabet `PARAMETERS` gives (api.md 1.2); one trailing slash is optional everywhere.
"""

from enum import StrEnum

import msgspec


class Kind(StrEnum):
    """What an endpoint does to the state."""

    READ = "read"
    WRITE = "write"
    """One short transaction."""
    OPERATION = "operation"
    """A row in `operations`: waits its turn, answered when it ended or with 202."""
    STREAM = "stream"
    """Answers with a stream that the gateway serves."""


class Access(StrEnum):
    """Who may (api.md 3.5); the one authorization function reads this."""

    ANYONE = "anyone"
    """No credentials needed; a bad token is still a 401."""
    REGISTER = "register"
    """Registration: the mode decides, a bad token means anonymous (api.md 3.2)."""
    USER = "user"
    """Anybody with a valid token."""
    ADMIN = "admin"
    APP_USE = "app-use"
    """Owner, collaborator or admin."""
    APP_OWN = "app-own"
    """Owner or admin: every DELETE under an app, sharing, transfer."""
    APP_UNSHARE = "app-unshare"
    """Owner or admin; a collaborator only for themself."""
    BUILDER = "builder"
    """The builder's shared key."""


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One method on one path."""

    name: str
    method: str
    path: str
    kind: Kind
    access: Access
    status: int = 200
    summary: str = ""
    paged: bool = False
    ours: bool = False
    """Beside the original API (DESIGN 5), not part of v2.3."""


PARAMETERS = {
    "app": r"[a-z0-9-]+",
    "version": r"v[0-9]+",
    "build": r"[-_\w]+",
    "type": r"[-_\w.]+",
    "typed": r"[-_\w]+",
    "pod": r"[-_\w]+",
    "domain": r"\**\.?[-._\w]+",
    "username": r"[\w.@+-]+",
    "key": r".+",
    "fingerprint": r".+",
    "operation": r"[0-9a-f-]{36}",
}
"""The alphabet of each path parameter, by its name."""


def _e(
    name: str, method: str, path: str, kind: Kind, access: Access, status: int = 200, **more: object
) -> Endpoint:
    return msgspec.convert(
        {
            "name": name,
            "method": method,
            "path": path,
            "kind": kind,
            "access": access,
            "status": status,
        }
        | more,
        Endpoint,
    )


R, W, OP, S = Kind.READ, Kind.WRITE, Kind.OPERATION, Kind.STREAM
_APP = "/v2/apps/{app}"

ENDPOINTS: tuple[Endpoint, ...] = (
    _e("root.read", "GET", "/v2/", R, Access.USER),
    _e("auth.register", "POST", "/v2/auth/register", W, Access.REGISTER, 201),
    _e("auth.login", "POST", "/v2/auth/login/", W, Access.ANYONE),
    _e("auth.whoami", "GET", "/v2/auth/whoami", R, Access.USER),
    _e("auth.cancel", "DELETE", "/v2/auth/cancel", W, Access.USER, 204),
    _e("auth.passwd", "POST", "/v2/auth/passwd", W, Access.USER),
    _e("auth.tokens", "POST", "/v2/auth/tokens/", W, Access.USER),
    _e("users.list", "GET", "/v2/users", R, Access.ADMIN, paged=True),
    _e("admins.list", "GET", "/v2/admin/perms", R, Access.ADMIN, paged=True),
    _e("admins.add", "POST", "/v2/admin/perms", W, Access.ADMIN, 201),
    _e("admins.remove", "DELETE", "/v2/admin/perms/{username}", W, Access.ADMIN, 204),
    _e("keys.list", "GET", "/v2/keys", R, Access.USER, paged=True),
    _e("keys.add", "POST", "/v2/keys", W, Access.USER, 201),
    _e("keys.read", "GET", "/v2/keys/{key}", R, Access.USER),
    _e("keys.remove", "DELETE", "/v2/keys/{key}", W, Access.USER, 204),
    _e("apps.list", "GET", "/v2/apps", R, Access.USER, paged=True),
    _e("apps.create", "POST", "/v2/apps", W, Access.USER, 201),
    _e("apps.read", "GET", _APP, R, Access.APP_USE),
    _e("apps.update", "POST", _APP, W, Access.APP_OWN),
    _e("apps.destroy", "DELETE", _APP, OP, Access.APP_OWN, 204),
    _e("builds.list", "GET", _APP + "/builds", R, Access.APP_USE, paged=True),
    _e("builds.create", "POST", _APP + "/builds", OP, Access.APP_USE, 201),
    _e("builds.read", "GET", _APP + "/builds/{build}", R, Access.APP_USE),
    _e("builds.output", "GET", _APP + "/builds/{build}/output", S, Access.APP_USE, ours=True),
    _e("config.read", "GET", _APP + "/config", R, Access.APP_USE),
    _e("config.set", "POST", _APP + "/config", OP, Access.APP_USE, 201),
    _e("releases.list", "GET", _APP + "/releases", R, Access.APP_USE, paged=True),
    _e("releases.read", "GET", _APP + "/releases/{version}", R, Access.APP_USE),
    _e("releases.stages", "GET", _APP + "/releases/{version}/stages", R, Access.APP_USE, ours=True),
    _e("releases.rollback", "POST", _APP + "/releases/rollback", OP, Access.APP_USE, 201),
    _e("apps.scale", "POST", _APP + "/scale", OP, Access.APP_USE, 204),
    _e("pods.list", "GET", _APP + "/pods", R, Access.APP_USE),
    _e("pods.restart", "POST", _APP + "/pods/restart", OP, Access.APP_USE),
    _e("pods.list.type", "GET", _APP + "/pods/{type}", R, Access.APP_USE),
    _e("pods.restart.type", "POST", _APP + "/pods/{type}/restart", OP, Access.APP_USE),
    _e("pods.list.pod", "GET", _APP + "/pods/{typed}/{pod}", R, Access.APP_USE),
    _e("pods.restart.pod", "POST", _APP + "/pods/{typed}/{pod}/restart", OP, Access.APP_USE),
    _e("apps.run", "POST", _APP + "/run", S, Access.APP_USE),
    _e("apps.logs", "GET", _APP + "/logs", S, Access.APP_USE),
    _e("domains.list", "GET", _APP + "/domains", R, Access.APP_USE, paged=True),
    _e("domains.add", "POST", _APP + "/domains", W, Access.APP_USE, 201),
    _e("domains.remove", "DELETE", _APP + "/domains/{domain}", W, Access.APP_OWN, 204),
    _e("perms.list", "GET", _APP + "/perms", R, Access.APP_USE),
    _e("perms.add", "POST", _APP + "/perms", W, Access.APP_OWN, 201),
    _e("perms.remove", "DELETE", _APP + "/perms/{username}", W, Access.APP_UNSHARE, 204),
    _e("hooks.key", "GET", "/v2/hooks/key/{fingerprint}", R, Access.BUILDER),
    _e("hooks.keys", "GET", "/v2/hooks/keys/{app}", R, Access.BUILDER),
    _e("hooks.keys.user", "GET", "/v2/hooks/keys/{app}/{username}", R, Access.BUILDER),
    _e("hooks.config", "POST", "/v2/hooks/config", R, Access.BUILDER),
    _e("hooks.build", "POST", "/v2/hooks/build", OP, Access.BUILDER),
    _e("operations.read", "GET", "/v2/operations/{operation}", R, Access.USER, ours=True),
    _e("events.list", "GET", "/v2/events", S, Access.USER, ours=True),
    _e("components.list", "GET", "/v2/components", R, Access.ADMIN, ours=True),
    _e("platform.info", "GET", "/v2/platform", R, Access.USER, ours=True),
)

BY_NAME = {endpoint.name: endpoint for endpoint in ENDPOINTS}
"""The table by endpoint name."""
