"""With whom an application is shared (api.md 19)."""

from deis_bus.contracts.http import ApiAnswer
from deis_bus.events.apps import ShareGranted, ShareRevoked
from deis_services.controller import accounts
from deis_services.controller.problem import forbidden
from deis_services.controller.request import Handler, Request, answer
from deis_services.controller.rules.accounts import username_of


async def list_perms(request: Request) -> ApiAnswer:
    """The collaborators; the owner is not among them."""
    rows = await request.tx.fetch(
        """SELECT u.username FROM shares s JOIN users u ON u.id = s.user_id
           WHERE s.app = $1::uuid ORDER BY s.created, u.id""",
        request.app.uuid,
    )
    return answer(200, {"users": [row["username"] for row in rows]})


async def add_perm(request: Request) -> ApiAnswer:
    """Share with a user; one that has it keeps it."""
    app = request.app
    user = await accounts.user_named(request.tx, username_of(request.body))
    made = await request.tx.fetchval(
        """INSERT INTO shares (app, user_id) VALUES ($1::uuid, $2)
           ON CONFLICT DO NOTHING RETURNING user_id""",
        app.uuid,
        user.id,
    )
    if made is not None:
        await request.announce(ShareGranted(username=user.username), app)
        request.changed(app, f"User {user.username} was granted access to {app.id}")
    return answer(201)


async def remove_perm(request: Request) -> ApiAnswer:
    """No longer shared; refused for somebody it was not shared with."""
    app = request.app
    user = await accounts.user_named(request.tx, request.call.path["username"])
    gone = await request.tx.fetchval(
        "DELETE FROM shares WHERE app = $1::uuid AND user_id = $2 RETURNING user_id",
        app.uuid,
        user.id,
    )
    if gone is None:
        raise forbidden()
    await request.announce(ShareRevoked(username=user.username), app)
    request.changed(app, f"User {user.username} was revoked access to {app.id}")
    return answer(204)


HANDLERS = {
    "perms.list": Handler(list_perms),
    "perms.add": Handler(add_perm),
    "perms.remove": Handler(remove_perm),
}
