"""Where the client takes a login to, and where it follows a redirect to."""

import json

import pytest
from aiohttp import web

from deis_platform.registry import Registry
from tests.behaviour.registry import refusal
from tests.unit.deis_platform.registry.conftest import MADE, asking, blog, gone, refused
from tests.unit.deis_platform.registry.fake import LOGIN, TOKEN, FakeRegistry, Step, answer


class TestLogins:
    """The password goes to the one that the registry names, and nowhere else."""

    async def test_a_token_is_asked_for_once(self, fake: FakeRegistry, registry: Registry) -> None:
        fake.auth = "bearer"
        assert (await registry.inspect(blog(fake), LOGIN)).ports == (8080,)
        tokens = [one for one in fake.asked if one.path == "/token"]
        assert [one.query for one in tokens] == [{"service": "fake", "scope": "repository:x:pull"}]
        assert {one.authorization for one in fake.asked if one.path != "/token"} == {
            "",
            f"Bearer {TOKEN}",
        }

    async def test_a_scope_of_our_own(self, fake: FakeRegistry, registry: Registry) -> None:
        fake.auth = "bearer"
        fake.will(answer(401, WWW_Authenticate=f'Bearer realm="http://{fake.where}/token?a=b"'))
        await registry.inspect(blog(fake), LOGIN)
        query = next(one.query for one in fake.asked if one.path == "/token")
        assert query == {"a": "b", "scope": "repository:example/blog:pull"}

    async def test_an_anonymous_token(self, fake: FakeRegistry, registry: Registry) -> None:
        fake.auth = "bearer"
        fake.will(answer(body=json.dumps({"access_token": TOKEN}).encode()), of="/token")
        assert (await registry.inspect(blog(fake), {})).ports == (8080,)
        assert next(one for one in fake.asked if one.path == "/token").authorization == ""

    async def test_the_token_service_may_be_another_host(
        self, fake: FakeRegistry, other: FakeRegistry
    ) -> None:
        fake.auth, fake.token_url = "bearer", f"http://eve:x@{other.where}/token#x"
        async with asking(fake, other) as registry:
            assert (await registry.inspect(blog(fake), LOGIN)).ports == (8080,)
        assert [one.path for one in other.asked] == ["/token"]
        assert not [one for one in fake.asked if one.authorization.startswith("Basic")]

    async def test_a_good_login_without_the_right(
        self, fake: FakeRegistry, registry: Registry
    ) -> None:
        fake.auth = "bearer"
        fake.will(answer(body=b'{"token":"good-for-nothing"}'), of="/token")
        assert (await refused(registry, blog(fake))).detail == (
            f"Permission Denied attempting to pull image {blog(fake)}: denied: requested access"
            " to the resource is denied"
        )

    @pytest.mark.parametrize(
        ("status", "words"), [(400, "incorrect"), (401, "incorrect"), (403, "access")]
    )
    async def test_a_token_service_that_refuses(
        self, fake: FakeRegistry, registry: Registry, status: int, words: str
    ) -> None:
        fake.auth = "bearer"
        fake.will(answer(status, body=b"hunter2"), of="/token")
        fault = await refused(registry, blog(fake))
        assert fault.kind == "denied"
        assert words in fault.detail

    @pytest.mark.parametrize(("status", "kind"), [(404, "nonsense"), (429, "limited")])
    async def test_a_token_service_that_gives_no_token(
        self, fake: FakeRegistry, registry: Registry, status: int, kind: str
    ) -> None:
        fake.auth = "bearer"
        fake.will(*[answer(status, body=b"hunter2")] * 3, of="/token")
        assert (await refused(registry, blog(fake))).kind == kind

    async def test_a_token_service_that_is_away(
        self, fake: FakeRegistry, registry: Registry
    ) -> None:
        fake.auth = "bearer"
        fake.will(*[answer(503)] * 3, of="/token")
        assert "is away" in await gone(registry, blog(fake))

    async def test_a_token_service_does_not_pass_the_password_on(
        self, fake: FakeRegistry, other: FakeRegistry
    ) -> None:
        fake.auth = "bearer"
        fake.will(answer(307, Location=f"https://{other.where}/token"), of="/token")
        async with asking(fake, other) as registry:
            fault = await refused(registry, blog(fake))
        assert fault.kind == "nonsense"
        assert "redirects too often" in fault.detail
        assert other.asked == []

    @pytest.mark.parametrize(
        "realm",
        ["ftp://example.com/", "token", "http://", "https://", "mailto:ada", "http://[::1/", "//x"],
    )
    async def test_a_realm_that_is_no_place(
        self, fake: FakeRegistry, registry: Registry, realm: str
    ) -> None:
        fake.auth, fake.token_url = "bearer", realm
        fault = await refused(registry, blog(fake))
        assert fault.kind == "nonsense"
        assert "names a token service" in fault.detail

    @pytest.mark.parametrize(
        "body",
        [b"", b"{}", b"[]", b'{"token":""}', b'{"token":"a b"}', b'{"token":"a\\r\\nX: y"}',
         b'{"token":"\\u00e4"}', b'{"token":1}', b'{"token":"' + b"x" * 20_000 + b'"}'],
    )  # fmt: skip
    async def test_what_is_no_token(
        self, fake: FakeRegistry, registry: Registry, body: bytes
    ) -> None:
        fake.auth = "bearer"
        fake.will(answer(body=body), of="/token")
        fault = await refused(registry, blog(fake))
        assert fault.kind == "nonsense"
        assert "no token" in fault.detail

    async def test_an_unknown_way_to_log_in(self, fake: FakeRegistry, registry: Registry) -> None:
        for header in ("Negotiate", "Digest realm=x"):
            fake.will(answer(401, WWW_Authenticate=header))
            assert (await refused(registry, blog(fake))).kind == "denied"
        fake.will(answer(401))
        assert (await refused(registry, blog(fake))).kind == "denied"
        assert {one.authorization for one in fake.asked} == {""}

    async def test_half_a_login_asks_nobody(self, fake: FakeRegistry, registry: Registry) -> None:
        fault = await refusal(registry, blog(fake), {"username": "ada"})
        assert fault.detail == "Registry auth requires a username and a password"
        assert fake.asked == []


class TestRedirects:
    """Followed at most three times, without the login."""

    async def test_the_login_stays(self, fake: FakeRegistry, other: FakeRegistry) -> None:
        fake.auth = "bearer"
        await other.push(MADE, "example/blog", "v1")
        moved = moved_to(f"http://eve:x@{other.where}")
        fake.will(moved, of="/blobs/")
        async with asking(fake, other) as registry:
            assert (await registry.inspect(blog(fake), LOGIN)).ports == (8080,)
        assert [(one.method, one.authorization) for one in other.asked] == [("GET", "")]

    async def test_manifests_move_too(self, fake: FakeRegistry, other: FakeRegistry) -> None:
        await other.push(MADE, "example/blog", "v1")
        fake.will(*[moved_to(f"http://{other.where}")] * 3)
        async with asking(fake, other) as registry:
            assert (await registry.inspect(blog(fake), {})).ports == (8080,)
        assert [one.method for one in other.asked] == ["HEAD", "GET", "GET"]

    async def test_another_host_does_not_ask_for_the_login(
        self, fake: FakeRegistry, other: FakeRegistry
    ) -> None:
        other.auth = "basic"
        fake.will(moved_to(f"http://{other.where}"))
        async with asking(fake, other) as registry:
            assert (await refused(registry, blog(fake))).kind == "denied"
        assert [one.authorization for one in other.asked] == [""]

    @pytest.mark.parametrize(("hops", "follows"), [(3, True), (4, False)])
    async def test_three_times(
        self, fake: FakeRegistry, registry: Registry, hops: int, *, follows: bool
    ) -> None:
        fake.will(*[moved_to("")] * hops, of="/blobs/")
        if follows:
            assert (await registry.inspect(blog(fake), {})).ports == (8080,)
        else:
            assert "redirects too often" in (await refused(registry, blog(fake))).detail
        assert fake.count(of="/blobs/") == 4

    @pytest.mark.parametrize(
        "location",
        ["ftp://x/", "file:///etc/passwd", "mailto:ada", "http://[::1", "data:,x"],
    )
    async def test_a_redirect_to_no_place(
        self, fake: FakeRegistry, registry: Registry, location: str
    ) -> None:
        fake.will(answer(302, Location=location))
        fault = await refused(registry, blog(fake))
        assert fault.kind == "nonsense"
        assert "it redirects to" in fault.detail


def moved_to(base: str) -> Step:
    """A redirect to the same path there."""

    async def step(request: web.Request) -> web.StreamResponse:
        return web.Response(status=307, headers={"Location": base + request.path})

    return step
