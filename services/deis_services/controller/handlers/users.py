"""Users and who of them is an admin (api.md 5)."""

from deis_bus.contracts.http import ApiAnswer
from deis_bus.events.apps import AdminGranted, AdminRevoked
from deis_services.controller import accounts, presenters
from deis_services.controller.callers import user_of
from deis_services.controller.pages import page_of, paged
from deis_services.controller.request import Handler, Request, answer
from deis_services.controller.rules.accounts import username_of


async def list_users(request: Request) -> ApiAnswer:
    """Everybody, oldest first."""
    page = page_of(request.call)
    count = await request.tx.fetchval("SELECT count(*) FROM users")
    rows = await request.tx.fetch(
        f"{accounts.USERS} ORDER BY u.id LIMIT $1 OFFSET $2", page.limit, page.offset
    )
    return paged(request.call, page, count, [presenters.user(user_of(row)) for row in rows])


async def list_admins(request: Request) -> ApiAnswer:
    """Active admins."""
    page = page_of(request.call)
    count = await request.tx.fetchval("SELECT count(*) FROM users WHERE is_superuser AND is_active")
    rows = await request.tx.fetch(
        """SELECT username FROM users WHERE is_superuser AND is_active ORDER BY id
           LIMIT $1 OFFSET $2""",
        page.limit,
        page.offset,
    )
    shown = [{"username": row["username"], "is_superuser": True} for row in rows]
    return paged(request.call, page, count, shown)


async def add_admin(request: Request) -> ApiAnswer:
    """Make somebody an admin; one that is stays one."""
    user = await accounts.user_named(request.tx, username_of(request.body))
    await request.tx.execute(
        "UPDATE users SET is_superuser = true, is_staff = true WHERE id = $1", user.id
    )
    if not user.is_superuser:
        await request.announce(AdminGranted(username=user.username))
    return answer(201)


async def remove_admin(request: Request) -> ApiAnswer:
    """Take it away again, but never from the last one."""
    user = await accounts.user_named(request.tx, request.call.path["username"])
    await accounts.keep_an_admin(request.tx, user)
    await request.tx.execute(
        "UPDATE users SET is_superuser = false, is_staff = false WHERE id = $1", user.id
    )
    if user.is_superuser:
        await request.announce(AdminRevoked(username=user.username))
    return answer(204)


HANDLERS = {
    "users.list": Handler(list_users),
    "admins.list": Handler(list_admins),
    "admins.add": Handler(add_admin),
    "admins.remove": Handler(remove_admin),
}
