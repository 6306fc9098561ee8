"""The page of a first deploy, asked of a router."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from deis_bus.routes import AppRoute
from deis_services.controller.first_page import IN_A_ROW, FirstPage
from deis_services.controller.model import App
from tests.unit.deis_services.controller.rules.samples import THEN

SHORT_SECONDS = 0.3


@dataclass
class Router:
    """Answers with these statuses, one after the other; the last one stays."""

    statuses: list[int]
    url: str = ""
    hosts: list[str] = field(default_factory=list)

    async def answer(self, request: web.BaseRequest) -> web.Response:
        self.hosts.append(request.host)
        return web.Response(status=self.statuses.pop(0) if self.statuses[1:] else self.statuses[0])


@pytest.fixture
async def router() -> AsyncIterator[Router]:
    made = Router([200])
    runner = web.ServerRunner(web.Server(made.answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = site.name
    yield made
    await runner.cleanup()


def app(**counts: int) -> App:
    """An application of these process types."""
    return App(
        uuid="u",
        id="blog",
        owner_id=1,
        owner="ada",
        structure=counts,
        created=THEN,
        updated=THEN,
    )


def route(*hosts: str, routable: bool = True) -> AppRoute:
    """How it is reached."""
    return AppRoute(app="blog", appuuid="u", hosts=hosts, routable=routable)


async def test_it_is_asked_until_every_router_knows_the_application(router: Router) -> None:
    router.statuses = [404, 200, 503, 200]
    assert await FirstPage(router.url, "example.com").seen(app(web=1), route("blog"))
    assert router.hosts == ["blog.example.com"] * (3 + IN_A_ROW)


@pytest.mark.parametrize("status", [200, 301, 403, 500])
async def test_any_answer_of_the_application_will_do(router: Router, status: int) -> None:
    router.statuses = [status]
    assert await FirstPage(router.url, "example.com").seen(app(cmd=1), route("blog"))
    assert len(router.hosts) == IN_A_ROW


@pytest.mark.parametrize(
    ("hosts", "domain", "asked"),
    [
        (("blog",), "", "blog.deis.invalid"),
        (("www.blog.org", "blog"), "example.com", "www.blog.org"),
        (("*.blog.org",), "example.com", "any.blog.org"),
    ],
)
async def test_the_name_that_is_asked_for(
    router: Router, hosts: tuple[str, ...], domain: str, asked: str
) -> None:
    assert await FirstPage(router.url, domain).seen(app(web=1), route(*hosts))
    assert set(router.hosts) == {asked}


@pytest.mark.parametrize("status", [404, 503])
async def test_what_is_not_seen_is_given_up(router: Router, status: int) -> None:
    router.statuses = [status]
    page = FirstPage(router.url, "example.com", SHORT_SECONDS)
    assert not await page.seen(app(web=1), route("blog"))
    assert router.hosts


async def test_a_router_that_is_away_is_given_up(unused_tcp_port: int) -> None:
    page = FirstPage(f"http://127.0.0.1:{unused_tcp_port}", "example.com", SHORT_SECONDS)
    assert not await page.seen(app(web=1), route("blog"))


@pytest.mark.parametrize(
    ("structure", "told"),
    [
        ({}, route("blog")),
        ({"web": 0}, route("blog")),
        ({"worker": 1}, route("blog", routable=False)),
        ({"web": 1}, route()),
    ],
)
async def test_what_has_no_page_is_not_asked_for(
    router: Router, structure: dict[str, int], told: AppRoute
) -> None:
    assert await FirstPage(router.url, "example.com").seen(app(**structure), told)
    assert router.hosts == []
