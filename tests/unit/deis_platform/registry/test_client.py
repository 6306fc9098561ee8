"""The client on a registry that does what real ones do seldom: its care for limits and secrets."""

import asyncio
import gzip
import hashlib
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from deis_bus.errors import Refused, Transient
from deis_platform.groups import RegistrySettings
from deis_platform.registry import Registry, client, open_registry
from deis_platform.registry.manifests import MANIFEST_TYPES, digest_of
from deis_platform.registry.transport import MAX_BODY, Limits
from deis_platform.settings import address
from tests.behaviour.registry import Made, image, index, refusal
from tests.unit.deis_platform.registry.fake import (
    LOGIN,
    SECRETS,
    TOKEN,
    FakeRegistry,
    Step,
    answer,
    fake_registry,
)

QUICK = Limits(pause=0.001)
SHORT = Limits(pause=0.001, request=0.3)
MADE = image((8080,), ["/bin/server"])


@asynccontextmanager
async def asking(*fakes: FakeRegistry, limits: Limits = QUICK) -> AsyncIterator[Registry]:
    """A client that may speak to these by HTTP."""
    listed = tuple(address(fake.where) for fake in fakes)
    async with open_registry(RegistrySettings(insecure=listed), limits) as registry:
        yield registry


@pytest.fixture
async def fake() -> AsyncIterator[FakeRegistry]:
    """It holds `MADE` as example/blog:v1."""
    async with fake_registry() as fake:
        await fake.push(MADE, "example/blog", "v1")
        yield fake


@pytest.fixture
async def other() -> AsyncIterator[FakeRegistry]:
    """Another host."""
    async with fake_registry() as fake:
        yield fake


@pytest.fixture
async def registry(fake: FakeRegistry) -> AsyncIterator[Registry]:
    async with asking(fake) as registry:
        yield registry


@pytest.fixture(autouse=True)
def _no_secret_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.DEBUG)
    yield
    assert not [secret for secret in SECRETS if secret in caplog.text]


def blog(fake: FakeRegistry) -> str:
    return f"{fake.where}/example/blog:v1"


async def refused(registry: Registry, name: str) -> Refused:
    """The refusal of an image asked for with a login, which is in no text of it."""
    fault = await refusal(registry, name, LOGIN)
    assert not [secret for secret in SECRETS if secret in f"{fault!r} {fault.detail}"]
    return fault


async def gone(registry: Registry, name: str) -> str:
    """The text when the registry is away."""
    with pytest.raises(Transient) as caught:
        await registry.inspect(name, LOGIN)
    assert not [secret for secret in SECRETS if secret in repr(caught.value)]
    return str(caught.value)


class TestWhatIsKnown:
    """The registry is asked for a digest once, and whether it is there each time."""

    async def test_a_known_digest_is_only_looked_up(
        self, fake: FakeRegistry, registry: Registry
    ) -> None:
        first = await registry.inspect(blog(fake), {})
        assert await registry.inspect(blog(fake), {}) == first
        assert [one.method for one in fake.asked] == ["HEAD", "GET", "GET", "HEAD"]

    async def test_what_is_known_is_not_given_to_who_may_not_have_it(
        self, fake: FakeRegistry, registry: Registry
    ) -> None:
        fake.auth = "basic"
        await registry.inspect(blog(fake), LOGIN)
        assert (await refusal(registry, blog(fake))).kind == "denied"

    async def test_only_so_many_are_known(
        self, fake: FakeRegistry, registry: Registry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(client, "KNOWN", 2)
        names = [f"{fake.where}/example/{name}:v1" for name in "abc"]
        for name in "abc":
            await fake.push(MADE, f"example/{name}", "v1")
        a, b, c = names
        for name, asked in [(a, 2), (b, 4), (a, 4), (c, 6), (a, 6), (b, 8)]:
            await registry.inspect(name, {})
            assert fake.count("GET") == asked

    async def test_what_is_large_is_not_kept(self, fake: FakeRegistry, registry: Registry) -> None:
        await fake.push(image(command=["x" * 5000]), "example/large", "v1")
        for _ in range(2):
            found = await registry.inspect(f"{fake.where}/example/large:v1", {})
            assert found.command == ("x" * 5000,)
        assert fake.count("GET") == 4

    async def test_only_so_many_at_once(self, fake: FakeRegistry, registry: Registry) -> None:
        go, asked = asyncio.Event(), asyncio.Semaphore(0)

        async def wait(_: web.Request) -> web.StreamResponse:
            asked.release()
            await go.wait()
            return web.Response(status=404)

        fake.will(*[wait] * 40)
        calls = [asyncio.create_task(refusal(registry, blog(fake))) for _ in range(40)]
        for _ in range(client.AT_ONCE):
            await asked.acquire()
        go.set()
        assert {fault.kind for fault in await asyncio.gather(*calls)} == {"absent"}
        assert fake.most_open == client.AT_ONCE
        assert len(fake.asked) == 40


class TestAttempts:
    """Tried three times, within time limits."""

    @pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
    async def test_the_third_attempt_counts(
        self, fake: FakeRegistry, registry: Registry, status: int
    ) -> None:
        fake.will(answer(status), answer(status), of="/manifests/v1")
        fake.will(answer(status), answer(status), of="/blobs/")
        assert (await registry.inspect(blog(fake), {})).digest == MADE.digest
        assert fake.count(of="/manifests/v1") == fake.count(of="/blobs/") == 3

    @pytest.mark.parametrize("status", [500, 503])
    async def test_a_registry_that_is_away(
        self, fake: FakeRegistry, registry: Registry, status: int
    ) -> None:
        fake.auth = "basic"
        fake.will(*[answer(status, body=b"ada:hunter2")] * 4)
        assert await gone(registry, blog(fake)) == f"the registry {fake.where} is away"
        assert len(fake.asked) == 3

    async def test_a_registry_that_counts_pulls(
        self, fake: FakeRegistry, registry: Registry
    ) -> None:
        fake.will(*[answer(429)] * 4)
        fault = await refused(registry, blog(fake))
        assert fault.kind == "limited"
        assert fault.detail.startswith(f"toomanyrequests: the registry {fake.where} ")
        assert len(fake.asked) == 3

    async def test_connections_that_break(self, fake: FakeRegistry, registry: Registry) -> None:
        fake.will(broken, broken)
        assert (await registry.inspect(blog(fake), {})).ports == (8080,)

    async def test_connections_that_break_each_time(
        self, fake: FakeRegistry, registry: Registry
    ) -> None:
        """aiohttp takes a new connection once by itself, in each of our attempts."""
        fake.will(*[broken] * 6)
        assert await gone(registry, blog(fake)) == f"the registry {fake.where} is away"
        assert len(fake.asked) == 6

    async def test_a_body_that_ends_early(self, fake: FakeRegistry, registry: Registry) -> None:
        fake.will(cut_short, cut_short, of="/blobs/")
        assert (await registry.inspect(blog(fake), {})).ports == (8080,)

    @pytest.mark.parametrize("of", ["/manifests/v1", "/blobs/"])
    async def test_a_registry_that_hangs(self, fake: FakeRegistry, of: str) -> None:
        fake.will(*[hang] * 3, of=of)
        async with asking(fake, limits=SHORT) as registry:
            assert await gone(registry, blog(fake)) == f"the registry {fake.where} is away"
        assert fake.count(of=of) == 3

    async def test_a_body_without_end(self, fake: FakeRegistry) -> None:
        fake.will(*[trickle] * 3, of="/blobs/")
        async with asking(fake, limits=SHORT) as registry:
            assert "is away" in await gone(registry, blog(fake))

    async def test_all_requests_together_have_a_limit(self, fake: FakeRegistry) -> None:
        fake.will(hang)
        async with asking(fake, limits=Limits(inspection=0.3)) as registry:
            assert "is away" in await gone(registry, blog(fake))
        assert len(fake.asked) == 1

    async def test_nobody_listens(self, fake: FakeRegistry, other: FakeRegistry) -> None:
        async with fake_registry() as ended:
            pass
        async with asking(ended) as registry:
            text = await gone(registry, blog(ended))
        assert text == f"the registry {ended.where} is away"


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


class TestContent:
    """Nothing is believed that its digest does not say."""

    @pytest.mark.parametrize("of", [f"/manifests/{MADE.digest}", "/blobs/"])
    async def test_something_else_than_the_digest_says(
        self, fake: FakeRegistry, registry: Registry, of: str
    ) -> None:
        fake.will(answer(body=b'{"config":{"ExposedPorts":{"1/tcp":{}}}}'), of=of)
        fault = await refused(registry, blog(fake))
        assert fault.kind == "unusable"
        assert fault.detail == (
            f"The image {blog(fake)} cannot be used: the registry gives something else than the"
            " digest says"
        )

    async def test_an_image_of_an_index_is_checked_too(
        self, fake: FakeRegistry, registry: Registry
    ) -> None:
        several = index({"amd64": MADE})
        await fake.push(several, "example/several", "v1")
        fake.will(answer(body=b"{}"), of=f"/manifests/{MADE.digest}")
        name = f"{fake.where}/example/several:v1"
        assert "something else than the digest" in (await refused(registry, name)).detail

    @pytest.mark.parametrize("step", [answer(405), answer(200), answer(Docker_Content_Digest="x")])
    async def test_a_registry_that_names_no_digest(
        self, fake: FakeRegistry, registry: Registry, step: Step
    ) -> None:
        fake.will(step)
        assert (await registry.inspect(blog(fake), {})).digest == MADE.digest

    async def test_a_longer_digest_is_kept(self, fake: FakeRegistry, registry: Registry) -> None:
        digest = f"sha512:{hashlib.sha512(MADE.manifests[MADE.digest][1]).hexdigest()}"
        await fake.push(MADE, "example/blog", digest)
        found = await registry.inspect(f"{fake.where}/example/blog@{digest}", {})
        assert (found.digest, found.ports) == (digest, (8080,))

    async def test_more_than_a_manifest_may_have(
        self, fake: FakeRegistry, registry: Registry
    ) -> None:
        fake.will(answer(body=b"x" * (MAX_BODY + 1)), of="/blobs/")
        fault = await refused(registry, blog(fake))
        assert fault.kind == "nonsense"
        assert f"more than {MAX_BODY} bytes" in fault.detail

    async def test_nothing_is_unpacked(self, fake: FakeRegistry, registry: Registry) -> None:
        body = MADE.manifests[MADE.digest][1]
        packed = gzip.compress(body)
        fake.will(answer(body=packed, Content_Encoding="gzip"), of=f"/manifests/{MADE.digest}")
        assert (await refused(registry, blog(fake))).kind == "unusable"

    async def test_an_old_manifest(self, fake: FakeRegistry, registry: Registry) -> None:
        fake.will(answer(), answer(body=b'{"schemaVersion":1,"fsLayers":[]}'))
        assert "schema 1" in (await refused(registry, blog(fake))).detail

    async def test_an_index_of_indices(self, fake: FakeRegistry, registry: Registry) -> None:
        await fake.push(index({"amd64": index({"amd64": MADE})}), "example/deep", "v1")
        fault = await refused(registry, f"{fake.where}/example/deep:v1")
        assert "leads to another index" in fault.detail

    async def test_an_artifact(self, fake: FakeRegistry, registry: Registry) -> None:
        told = {"mediaType": "application/vnd.cncf.helm.config.v1+json", "digest": MADE.digest}
        body = json.dumps({"schemaVersion": 2, "config": told}).encode()
        digest = digest_of(body)
        chart = Made(digest, {}, {digest: (MANIFEST_TYPES[0], body)})
        await fake.push(chart, "example/chart", "v1")
        fault = await refused(registry, f"{fake.where}/example/chart:v1")
        assert "not a container image" in fault.detail

    @pytest.mark.parametrize("status", [204, 302, 400, 410, 418])
    async def test_an_answer_that_means_nothing(
        self, fake: FakeRegistry, registry: Registry, status: int
    ) -> None:
        fake.will(answer(status, body=b"" if status == 204 else b"ada:hunter2"))
        assert (await refused(registry, blog(fake))).kind == "nonsense"

    async def test_a_header_without_end(self, fake: FakeRegistry, registry: Registry) -> None:
        fake.will(answer(X_Long="x" * 20_000))
        fault = await refused(registry, blog(fake))
        assert fault.kind == "nonsense"
        assert "does not speak HTTP" in fault.detail

    async def test_no_right_to_a_blob(self, fake: FakeRegistry, registry: Registry) -> None:
        fake.will(answer(403), of="/blobs/")
        assert (await refused(registry, blog(fake))).kind == "denied"


async def hang(_: web.Request) -> web.StreamResponse:
    """No answer; the server's end ends it."""
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


async def broken(request: web.Request) -> web.StreamResponse:
    """The connection ends in the place of an answer."""
    _drop(request)
    return web.Response()


async def cut_short(request: web.Request) -> web.StreamResponse:
    """Two bytes of a hundred."""
    response = web.StreamResponse(headers={"Content-Length": "100"})
    await response.prepare(request)
    await response.write(b"{}")
    _drop(request)
    return response


async def trickle(request: web.Request) -> web.StreamResponse:
    """A body that begins, and goes no further."""
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"{")
    return await hang(request)


def moved_to(base: str) -> Step:
    """A redirect to the same path there."""

    async def step(request: web.Request) -> web.StreamResponse:
        return web.Response(status=307, headers={"Location": base + request.path})

    return step


def _drop(request: web.Request) -> None:
    transport = request.transport
    assert transport is not None
    transport.close()
