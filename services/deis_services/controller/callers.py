"""Who asks, for which application, with which right: one query per request."""

from typing import Any

import msgspec

from deis_platform.database import Transaction
from deis_services.controller import store
from deis_services.controller.model import App, User

_USER = """u.id AS u_id, u.username, u.email, u.first_name, u.last_name, u.is_superuser, u.is_staff,
           u.is_active, u.token_generation, u.last_login, u.date_joined"""


def _query(found: str) -> str:
    """Caller, application and share in one row; `found` gives `user_id` of whom `$1` names."""
    return f"""SELECT {_USER}, o.username AS owner, s.user_id IS NOT NULL AS shared, a.*
        FROM (SELECT 1) one
        LEFT JOIN ({found}) t ON true
        LEFT JOIN users u ON u.id = t.user_id
        LEFT JOIN apps a ON a.id = $2
        LEFT JOIN users o ON o.id = a.owner_id
        LEFT JOIN shares s ON s.app = a.uuid AND s.user_id = u.id"""  # noqa: S608 - our own texts


_BY_TOKEN = _query("SELECT user_id FROM tokens WHERE hash = $1")
_BY_NAME = _query("SELECT id AS user_id FROM users WHERE username = $1")
_BY_KEY = _query("SELECT user_id FROM keys WHERE fingerprint = $1")


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody (or nobody) and the application asked about (or none)."""

    user: User | None = None
    known: bool = True
    """False when a token was sent that nobody has."""
    builder: bool = False
    app: App | None = None
    shared: bool = False
    """The application is shared with them."""

    @property
    def owns(self) -> bool:
        """Owner of the application, or an admin."""
        user, app = self.user, self.app
        return bool(user and app and (user.is_superuser or app.owner_id == user.id))

    @property
    def uses(self) -> bool:
        """Owner, admin or collaborator."""
        return self.owns or self.shared


async def by_token(
    tx: Transaction, token: str, app_id: str = "", *, builder: bool = False
) -> Caller:
    """The owner of a token by its hash; without a token nobody, yet with the application."""
    row = await tx.fetchrow(_BY_TOKEN, token, app_id)
    caller = _caller(row)
    known = not token or caller.user is not None
    return msgspec.structs.replace(caller, known=known, builder=builder)


async def by_name(tx: Transaction, username: str, app_id: str = "") -> Caller:
    """A user by name: whom the builder acts for."""
    return _caller(await tx.fetchrow(_BY_NAME, username, app_id))


async def by_key(tx: Transaction, fingerprint: str, app_id: str = "") -> Caller:
    """A user by the fingerprint of an SSH key."""
    return _caller(await tx.fetchrow(_BY_KEY, fingerprint, app_id))


def user_of(row: Any) -> User:
    """A User of a row with the columns of `users`, the identity as `u_id`."""
    return User(
        id=row["u_id"],
        username=row["username"],
        email=row["email"],
        first_name=row["first_name"],
        last_name=row["last_name"],
        is_superuser=row["is_superuser"],
        is_staff=row["is_staff"],
        is_active=row["is_active"],
        token_generation=row["token_generation"],
        last_login=row["last_login"],
        date_joined=row["date_joined"],
    )


def _caller(row: Any) -> Caller:
    return Caller(
        user=user_of(row) if row["u_id"] is not None else None,
        app=store.app_of(row) if row["id"] is not None else None,
        shared=bool(row["shared"]),
    )
