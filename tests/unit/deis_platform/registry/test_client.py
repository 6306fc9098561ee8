"""The client on a registry that does what real ones do seldom: attempts, limits, content."""

import asyncio
import gzip
import hashlib
import json

import pytest
from aiohttp import web

from deis_platform.registry import Registry, client
from deis_platform.registry.manifests import MANIFEST_TYPES, digest_of
from deis_platform.registry.transport import MAX_BODY, Limits
from tests.behaviour.registry import Made, image, index, refusal
from tests.unit.deis_platform.registry.conftest import MADE, asking, blog, gone, refused
from tests.unit.deis_platform.registry.fake import LOGIN, FakeRegistry, Step, answer, fake_registry

SHORT = Limits(pause=0.001, request=0.3)


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


def _drop(request: web.Request) -> None:
    transport = request.transport
    assert transport is not None
    transport.close()
