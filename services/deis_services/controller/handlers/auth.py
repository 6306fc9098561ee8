"""Accounts: register, log in, passwords, tokens (api.md 5)."""

from typing import Any

import msgspec

from deis_bus.contracts.http import ApiAnswer, ApiCall
from deis_bus.events.apps import PasswordChanged, TokenRegenerated, UserCancelled, UserRegistered
from deis_platform.crypto import hash_password, verify_password
from deis_services.controller import accounts, presenters
from deis_services.controller.authorize import may_administer, may_name, may_register
from deis_services.controller.callers import Caller
from deis_services.controller.deps import Deps
from deis_services.controller.model import User
from deis_services.controller.problem import Problem, detail, unauthorized
from deis_services.controller.request import Handler, Request, answer, body_of
from deis_services.controller.rules.accounts import (
    TAKEN,
    WRONG_LOGIN,
    Registration,
    credentials,
    optional_username,
    registration,
    username_of,
)
from deis_services.controller.rules.fields import Form, Invalid

_NOBODY = "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHRzb21lc2FsdA$" + "A" * 43
"""Verified where there is no such user, so that both answers take as long."""


class _Hashed(msgspec.Struct, frozen=True):
    asked: Registration
    password: str


async def root(request: Request) -> ApiAnswer:
    """`GET /v2/` says only that the token is good."""
    return answer(200, {})


async def before_register(deps: Deps, call: ApiCall, caller: Caller) -> _Hashed:
    """Refuse early, then check the fields and hash the password."""
    async with deps.db.transaction() as tx:
        exists = await accounts.admin_exists(tx)
    may_register(deps.settings.registration_mode, caller, admin_exists=exists)
    asked = registration(body_of(call))
    return _Hashed(asked, await hash_password(asked.password))


async def register(request: Request) -> ApiAnswer:
    """A new account; the first one is an admin (api.md 3.3)."""
    given: _Hashed = request.prepared
    # Two first registrations at once would both find no admin.
    await request.tx.execute("LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE")
    exists = await accounts.admin_exists(request.tx)
    may_register(request.deps.settings.registration_mode, request.caller, admin_exists=exists)
    if await accounts.username_taken(request.tx, given.asked.username):
        raise Invalid({"username": [TAKEN]})
    user = await accounts.insert_user(
        request.tx, request.deps.keyring, given.asked, given.password, admin=not exists
    )
    await request.announce(UserRegistered(username=user.username, admin=user.is_superuser))
    return answer(201, presenters.user(user))


async def before_login(deps: Deps, call: ApiCall, caller: Caller) -> User:
    """Count the attempt, then check the password."""
    username, password = credentials(body_of(call))
    shown = username[:150]
    async with deps.db.transaction() as tx:
        await accounts.note_login(tx, shown, call.address)
    async with deps.db.transaction() as tx:
        await accounts.check_logins(tx, shown, call.address, deps.settings.logins_per_minute)
        found = await accounts.password_of(tx, username)
    good = await verify_password(found[1] if found else _NOBODY, password)
    if not good or found is None:
        raise Problem(400, {"non_field_errors": [WRONG_LOGIN]})
    return found[0]


async def login(request: Request) -> ApiAnswer:
    """The user's one token."""
    user: User = request.prepared
    generation = await request.tx.fetchval(
        "UPDATE users SET last_login = now() WHERE id = $1 AND is_active RETURNING token_generation",
        user.id,
    )
    if generation is None:
        raise Problem(400, {"non_field_errors": [WRONG_LOGIN]})
    token = accounts.token_of(request.deps.keyring, user.id, int(generation))
    return answer(200, {"token": token})


async def whoami(request: Request) -> ApiAnswer:
    """The caller's account."""
    return answer(200, presenters.user(request.user))


async def cancel(request: Request) -> ApiAnswer:
    """Remove an account, one's own or, for an admin, any."""
    username = optional_username(request.body) or request.user.username
    may_name(request.caller, username)
    user = await accounts.user_named(request.tx, username)
    await accounts.delete_user(request.tx, user)
    await request.announce(UserCancelled(username=user.username))
    return answer(204)


class _NewPassword(msgspec.Struct, frozen=True):
    username: str
    current: str | None
    password: str


async def before_passwd(deps: Deps, call: ApiCall, caller: Caller) -> _NewPassword:
    """The checks in the order of api.md 5, then the hash of the new password."""
    body = body_of(call)
    if not body.get("new_password"):
        raise detail(400, "new_password is a required field")
    form = Form(body)
    new = form.text("new_password", strip=False, limit=128)
    form.done()
    caller_name = caller.user.username if caller.user else ""
    username = optional_username(body) or caller_name
    may_name(caller, username)
    async with deps.db.transaction() as tx:
        user = await accounts.user_named(tx, username)
        held = await accounts.password_of(tx, username)
    admin = caller.user is not None and caller.user.is_superuser
    if not admin:
        await _check_current(body, held)
    return _NewPassword(
        user.username, held[1] if held and not admin else None, await hash_password(new)
    )


async def _check_current(body: dict[str, Any], held: tuple[User, str] | None) -> None:
    if not body.get("password"):
        raise detail(400, "password is a required field")
    form = Form(body)
    current = form.text("password", strip=False)
    form.done()
    if held is None or not await verify_password(held[1], current):
        raise unauthorized("Current password does not match")


async def passwd(request: Request) -> ApiAnswer:
    """Set the password, unless the one that was checked has changed meanwhile."""
    given: _NewPassword = request.prepared
    changed = await request.tx.fetchval(
        """UPDATE users SET password = $2 WHERE username = $1 AND ($3::text IS NULL OR password = $3)
           RETURNING id""",
        given.username,
        given.password,
        given.current,
    )
    if changed is None:
        raise unauthorized("Current password does not match")
    await request.announce(PasswordChanged(username=given.username))
    return answer(200, {"status": "password set"})


async def tokens(request: Request) -> ApiAnswer:
    """Replace a token: one's own, for an admin anybody's or everybody's."""
    body, keyring = request.body, request.deps.keyring
    if "all" in body:
        may_administer(request.caller)
        rows = await request.tx.fetch("SELECT id, username FROM users ORDER BY id FOR UPDATE")
        for row in rows:
            await accounts.new_token(request.tx, keyring, row["id"])
            await request.announce(TokenRegenerated(username=row["username"]))
        return answer(200, "")
    user = request.user
    if "username" in body:
        may_administer(request.caller)
        user = await accounts.user_named(request.tx, username_of(body))
    token = await accounts.new_token(request.tx, keyring, user.id)
    await request.announce(TokenRegenerated(username=user.username))
    return answer(200, {"token": token})


HANDLERS = {
    "root.read": Handler(root),
    "auth.register": Handler(register, before=before_register),
    "auth.login": Handler(login, before=before_login),
    "auth.whoami": Handler(whoami),
    "auth.cancel": Handler(cancel),
    "auth.passwd": Handler(passwd, before=before_passwd),
    "auth.tokens": Handler(tokens),
}
