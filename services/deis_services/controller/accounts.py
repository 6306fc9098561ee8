"""Rows of users, their tokens, keys and logins."""

import hashlib
import hmac
from typing import Any

from deis_platform.crypto import Keyring
from deis_platform.database import Transaction
from deis_services.controller.callers import user_of
from deis_services.controller.model import User
from deis_services.controller.problem import detail, missing
from deis_services.controller.rules.accounts import Registration

TOKEN_DIGITS = 40
USERS = "SELECT u.*, u.id AS u_id FROM users u"
LAST_ADMIN = "The last administrator cannot be removed"
HAS_APPS = "{} still has applications assigned. Delete or transfer ownership"
HAS_ROWS = (
    "{} still owns builds, configurations, releases or domains in applications of others. "
    "They go when those applications are deleted"
)
HAS_WORK = "{} still has operations or pushes that have not ended. Try again when they have"


def token_of(keyring: Keyring, user_id: int, generation: int) -> str:
    """A user's one legacy token: derived, so that each login gives the same (DESIGN 9)."""
    text = f"{user_id}:{generation}".encode()
    return hmac.new(keyring.derive("tokens"), text, hashlib.sha256).hexdigest()[:TOKEN_DIGITS]


async def user_named(tx: Transaction, username: str) -> User:
    """The user of that name; raises Problem 404."""
    row = await tx.fetchrow(f"{USERS} WHERE u.username = $1", username)
    if row is None:
        raise missing("User")
    return user_of(row)


async def admin_exists(tx: Transaction) -> bool:
    """Whether anybody is an admin."""
    return bool(await tx.fetchval("SELECT EXISTS (SELECT FROM users WHERE is_superuser)"))


async def username_taken(tx: Transaction, username: str) -> bool:
    """Whether a user of that name exists, whatever the case of its letters (api.md 32, A5)."""
    return bool(
        await tx.fetchval(
            "SELECT EXISTS (SELECT FROM users WHERE lower(username) = lower($1))", username
        )
    )


async def insert_user(
    tx: Transaction, keyring: Keyring, asked: Registration, password: str, *, admin: bool
) -> User:
    """A new user with its token; `password` is the hash."""
    user_id = await tx.fetchval(
        """INSERT INTO users (username, password, email, first_name, last_name, is_superuser,
                              is_staff, last_login)
           VALUES ($1, $2, $3, $4, $5, $6, $6, now()) RETURNING id""",
        asked.username,
        password,
        asked.email,
        asked.first_name,
        asked.last_name,
        admin,
    )
    await _put_token(tx, keyring, int(user_id), 1)
    return await user_named(tx, asked.username)


async def new_token(tx: Transaction, keyring: Keyring, user_id: int) -> str:
    """Raise the generation: the token of before stops working at once. Gives the new one."""
    generation = await tx.fetchval(
        """UPDATE users SET token_generation = token_generation + 1 WHERE id = $1
           RETURNING token_generation""",
        user_id,
    )
    return await _put_token(tx, keyring, user_id, int(generation))


async def _put_token(tx: Transaction, keyring: Keyring, user_id: int, generation: int) -> str:
    token = token_of(keyring, user_id, generation)
    await tx.execute(
        """INSERT INTO tokens (hash, user_id, generation) VALUES ($1, $2, $3)
           ON CONFLICT (user_id) DO UPDATE SET hash = $1, generation = $3, created = now()""",
        keyring.token_hash(token),
        user_id,
        generation,
    )
    return token


async def note_login(tx: Transaction, username: str, address: str) -> None:
    """Write an attempt down, in a transaction of its own; rows older than a minute go."""
    await tx.execute("DELETE FROM logins WHERE at < now() - interval '1 minute'")
    await tx.execute("INSERT INTO logins (username, address) VALUES ($1, $2)", username, address)


async def check_logins(tx: Transaction, username: str, address: str, per_minute: int) -> None:
    """Raises Problem 429 when there were too many attempts, this one among them."""
    count = await tx.fetchval(
        """SELECT count(*) FROM logins
           WHERE username = $1 AND address = $2 AND at >= now() - interval '1 minute'""",
        username,
        address,
    )
    if int(count) > per_minute:
        problem = detail(429, "Too many login attempts. Try again in a minute")
        problem.headers["Retry-After"] = "60"
        raise problem


async def password_of(tx: Transaction, username: str) -> tuple[User, str] | None:
    """An active user of that name with the hash of its password."""
    row = await tx.fetchrow(f"{USERS} WHERE u.username = $1 AND u.is_active", username)
    return (user_of(row), row["password"]) if row else None


async def keep_an_admin(tx: Transaction, leaving: User) -> None:
    """Hold the admins' rows; raises Problem 409 when `leaving` is the last one (api.md 32, A2)."""
    rows = await tx.fetch(
        "SELECT id FROM users WHERE is_superuser AND is_active ORDER BY id FOR UPDATE"
    )
    if [row["id"] for row in rows] == [leaving.id]:
        raise detail(409, LAST_ADMIN)


async def delete_user(tx: Transaction, user: User) -> None:
    """Remove a user with keys, token and shares; raises Problem 409 while rows depend on it."""
    await tx.fetchval("SELECT id FROM users WHERE id = $1 FOR UPDATE", user.id)
    await keep_an_admin(tx, user)
    row: Any = await tx.fetchrow(
        """SELECT EXISTS (SELECT FROM apps WHERE owner_id = $1) AS apps,
                  EXISTS (SELECT FROM releases WHERE owner_id = $1)
               OR EXISTS (SELECT FROM configs WHERE owner_id = $1)
               OR EXISTS (SELECT FROM builds WHERE owner_id = $1)
               OR EXISTS (SELECT FROM domains WHERE owner_id = $1) AS owned,
                  EXISTS (SELECT FROM operations WHERE caller_id = $1
                          AND state IN ('queued', 'running'))
               OR EXISTS (SELECT FROM pushes WHERE user_id = $1
                          AND state IN ('receiving', 'queued', 'building', 'releasing')) AS work""",
        user.id,
    )
    for column, text in (("apps", HAS_APPS), ("owned", HAS_ROWS), ("work", HAS_WORK)):
        if row[column]:
            raise detail(409, text.format(user.username))
    await tx.execute("DELETE FROM idempotency WHERE user_id = $1", user.id)
    await tx.execute("DELETE FROM users WHERE id = $1", user.id)
