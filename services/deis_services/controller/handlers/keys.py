"""SSH keys of the caller (api.md 20)."""

from typing import Any

from deis_bus.contracts.http import ApiAnswer
from deis_bus.events.apps import KeyAdded, KeyRemoved
from deis_services.controller import presenters
from deis_services.controller.pages import page_of, paged
from deis_services.controller.problem import missing
from deis_services.controller.request import Handler, Request, answer
from deis_services.controller.rules.fields import Invalid
from deis_services.controller.rules.keys import ID_TAKEN, KEY_TAKEN, PublicKey, public_key

KEYS = "SELECT k.*, u.username AS owner FROM keys k JOIN users u ON u.id = k.user_id"


async def list_keys(request: Request) -> ApiAnswer:
    """By their text."""
    page = page_of(request.call)
    count = await request.tx.fetchval(
        "SELECT count(*) FROM keys WHERE user_id = $1", request.user.id
    )
    rows = await request.tx.fetch(
        f'{KEYS} WHERE k.user_id = $1 ORDER BY k.public COLLATE "C" LIMIT $2 OFFSET $3',
        request.user.id,
        page.limit,
        page.offset,
    )
    return paged(request.call, page, count, [presenters.key(row) for row in rows])


async def add_key(request: Request) -> ApiAnswer:
    """A key nobody has yet: name, text and fingerprint are unique over all users."""
    asked = public_key(request.body)
    made = await request.tx.fetchval(
        """INSERT INTO keys (user_id, id, public, fingerprint) VALUES ($1, $2, $3, $4)
           ON CONFLICT DO NOTHING RETURNING uuid""",
        request.user.id,
        asked.id,
        asked.public,
        asked.fingerprint,
    )
    if made is None:
        raise Invalid(await _taken(request, asked))
    username = request.user.username
    await request.announce(KeyAdded(username=username, fingerprint=asked.fingerprint))
    return answer(201, presenters.key(await _own(request, asked.id)))


async def _taken(request: Request, asked: PublicKey) -> dict[str, list[str]]:
    named = await request.tx.fetchval("SELECT EXISTS (SELECT FROM keys WHERE id = $1)", asked.id)
    used = await request.tx.fetchval(
        "SELECT EXISTS (SELECT FROM keys WHERE fingerprint = $1 OR public = $2)",
        asked.fingerprint,
        asked.public,
    )
    wrong = {"id": [ID_TAKEN]} if named else {}
    return wrong | ({"public": [KEY_TAKEN]} if used or not named else {})


async def read_key(request: Request) -> ApiAnswer:
    """One of the caller's keys by its name."""
    return answer(200, presenters.key(await _own(request, request.call.path["key"])))


async def remove_key(request: Request) -> ApiAnswer:
    """From now on it can no longer push."""
    row = await _own(request, request.call.path["key"])
    await request.tx.execute("DELETE FROM keys WHERE uuid = $1", row["uuid"])
    event = KeyRemoved(username=request.user.username, fingerprint=row["fingerprint"])
    await request.announce(event)
    return answer(204)


async def _own(request: Request, name: str) -> Any:
    row = await request.tx.fetchrow(
        f"{KEYS} WHERE k.user_id = $1 AND k.id = $2", request.user.id, name
    )
    if row is None:
        raise missing("Key")
    return row


HANDLERS = {
    "keys.list": Handler(list_keys),
    "keys.add": Handler(add_key),
    "keys.read": Handler(read_key),
    "keys.remove": Handler(remove_key),
}
