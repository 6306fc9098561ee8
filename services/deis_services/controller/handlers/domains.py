"""Host names of applications (api.md 13)."""

from deis_bus.contracts.http import ApiAnswer
from deis_bus.events.apps import DomainAdded, DomainRemoved
from deis_platform.database import Transaction
from deis_services.controller import presenters
from deis_services.controller.deps import Deps
from deis_services.controller.model import App
from deis_services.controller.pages import page_of, paged
from deis_services.controller.problem import missing
from deis_services.controller.request import Handler, Request, answer
from deis_services.controller.rules.domains import (
    TAKEN,
    domain_of,
    is_reserved,
    spellings,
    to_ascii,
)
from deis_services.controller.rules.fields import Invalid

DOMAINS = "SELECT d.*, u.username AS owner FROM domains d JOIN users u ON u.id = d.owner_id"


async def claim(tx: Transaction, deps: Deps, app: App, owner_id: int, domain: str) -> bool:
    """Give a host to an application; False when another row stands for the same host."""
    names = spellings(domain, deps.settings.platform.domain)
    # Two spellings of one host are two keys, so uniqueness alone does not keep them apart.
    await tx.execute("LOCK TABLE domains IN SHARE ROW EXCLUSIVE MODE")
    made = await tx.fetchval(
        """INSERT INTO domains (app, owner_id, domain) SELECT $1::uuid, $2, $3
           WHERE NOT EXISTS (SELECT FROM domains WHERE domain = ANY($4::text[]))
             AND NOT EXISTS (SELECT FROM apps WHERE id = ANY($4::text[]) AND uuid <> $1::uuid)
           RETURNING id""",
        app.uuid,
        owner_id,
        domain,
        list(names),
    )
    return made is not None


async def list_domains(request: Request) -> ApiAnswer:
    """In byte order."""
    page, app = page_of(request.call), request.app
    count = await request.tx.fetchval("SELECT count(*) FROM domains WHERE app = $1::uuid", app.uuid)
    rows = await request.tx.fetch(
        f"{DOMAINS} WHERE d.app = $1::uuid ORDER BY d.domain LIMIT $2 OFFSET $3",
        app.uuid,
        page.limit,
        page.offset,
    )
    return paged(request.call, page, count, [presenters.domain(row, app.id) for row in rows])


async def add_domain(request: Request) -> ApiAnswer:
    """A host no application has, and that is not the platform's own."""
    app, domain = request.app, domain_of(request.body)
    if is_reserved(domain, request.deps.settings.platform.domain):
        raise Invalid({"domain": [TAKEN]})
    if not await claim(request.tx, request.deps, app, request.user.id, domain):
        raise Invalid({"domain": [TAKEN]})
    await request.announce(DomainAdded(domain=domain), app)
    request.changed(app, f"domain {domain} added")
    row = await request.tx.fetchrow(f"{DOMAINS} WHERE d.domain = $1", domain)
    return answer(201, presenters.domain(row, app.id))


async def remove_domain(request: Request) -> ApiAnswer:
    """Given in Unicode or in ASCII."""
    app = request.app
    try:
        domain = to_ascii(request.call.path["domain"])
    except ValueError:
        raise missing("Domain") from None
    gone = await request.tx.fetchval(
        "DELETE FROM domains WHERE app = $1::uuid AND domain = $2 RETURNING id", app.uuid, domain
    )
    if gone is None:
        raise missing("Domain")
    await request.announce(DomainRemoved(domain=domain), app)
    request.changed(app, f"domain {domain} removed")
    return answer(204)


HANDLERS = {
    "domains.list": Handler(list_domains),
    "domains.add": Handler(add_domain),
    "domains.remove": Handler(remove_domain),
}
