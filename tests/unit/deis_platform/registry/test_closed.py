"""Where images do not make us connect to, and the certificates that we trust."""

import asyncio
import datetime
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.abc import ResolveResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from deis_bus.errors import Transient
from deis_platform.groups import RegistrySettings
from deis_platform.registry import Registry, open_registry
from deis_platform.registry.transport import Limits
from deis_platform.settings import Address, SettingsError, address, load
from tests.behaviour.registry import image, refusal
from tests.unit.deis_platform.registry.fake import FakeRegistry, answer, fake_registry

QUICK = Limits(pause=0.001)
CLOSED = "it is at an address that is closed to images"
MADE = image((8080,))


class Listener:
    """Counts connections and says nothing."""

    def __init__(self) -> None:
        self.port = 0
        self.met = 0

    async def meet(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Count one."""
        self.met += 1
        writer.close()


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    """On loopback, both kinds of it."""
    found = Listener()
    server = await asyncio.start_server(found.meet, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    async with server:
        yield found


@pytest.fixture
async def fake() -> AsyncIterator[FakeRegistry]:
    """It holds `MADE` as blog:v1."""
    async with fake_registry() as fake:
        await fake.push(MADE, "blog", "v1")
        yield fake


@asynccontextmanager
async def asking(*where: str, **more: str) -> AsyncIterator[Registry]:
    """A client that may speak to these by HTTP."""
    settings = RegistrySettings(insecure=tuple(map(address, where)), **more)
    async with open_registry(settings, QUICK) as registry:
        yield registry


@pytest.fixture
def resolves(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets every name lead to these addresses, or fail with a number of getaddrinfo."""

    def tell(*found: str, fault: int = 0) -> None:
        async def resolve(
            self: Any, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            if fault:
                raise socket.gaierror(fault, "said the test")
            return [
                ResolveResult(
                    hostname=host,
                    host=one,
                    port=port,
                    family=socket.AF_INET6 if ":" in one else socket.AF_INET,
                    proto=0,
                    flags=socket.AI_NUMERICHOST,
                )
                for one in found
            ]

        monkeypatch.setattr(aiohttp.ThreadedResolver, "resolve", resolve)

    return tell


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "[::ffff:7f00:1]",
        "0.0.0.0",  # noqa: S104 - nothing listens there
    ],
)
async def test_this_machine_is_closed(listener: Listener, host: str) -> None:
    async with asking() as registry:
        refused = await refusal(registry, f"{host}:{listener.port}/blog:v1")
    assert refused.detail == f"The registry {host}:{listener.port} cannot be used: {CLOSED}"
    assert refused.kind == "unreachable"
    assert listener.met == 0


@pytest.mark.parametrize("found", [["127.0.0.1"], ["127.0.0.1", "127.0.0.2"], ["::1", "127.0.0.1"]])
async def test_a_name_that_leads_here_is_closed(
    listener: Listener, resolves: Callable[..., None], found: list[str]
) -> None:
    resolves(*found)
    async with asking() as registry:
        refused = await refusal(registry, f"registry.example.com:{listener.port}/blog")
    assert CLOSED in refused.detail
    assert listener.met == 0


async def test_a_listed_host_is_open_and_its_other_ports_are_not(
    fake: FakeRegistry, listener: Listener
) -> None:
    async with asking(fake.where) as registry:
        assert (await registry.inspect(f"{fake.where}/blog:v1", {})).ports == (8080,)
        assert CLOSED in (await refusal(registry, f"127.0.0.1:{listener.port}/blog")).detail
    assert listener.met == 0


async def test_a_listed_name_may_lead_here(fake: FakeRegistry) -> None:
    port = address(fake.where).port
    async with asking(f"LocalHost:{port}") as registry:
        assert (await registry.inspect(f"localhost:{port}/blog:v1", {})).ports == (8080,)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
async def test_a_redirect_to_this_machine_is_not_followed(
    fake: FakeRegistry, listener: Listener, scheme: str, host: str
) -> None:
    fake.will(answer(307, Location=f"{scheme}://{host}:{listener.port}/"), of="/blobs/")
    async with asking(fake.where) as registry:
        refused = await refusal(registry, f"{fake.where}/blog:v1")
    assert CLOSED in refused.detail
    assert listener.met == 0


async def test_a_token_service_on_this_machine_is_not_asked(
    fake: FakeRegistry, listener: Listener
) -> None:
    fake.auth, fake.token_url = "bearer", f"http://127.0.0.1:{listener.port}/token"
    async with asking(fake.where) as registry:
        login = {"username": "ada", "password": "hunter2"}
        assert CLOSED in (await refusal(registry, f"{fake.where}/blog:v1", login)).detail
    assert listener.met == 0


async def test_a_redirect_to_a_number_that_hides_an_address(fake: FakeRegistry) -> None:
    fake.will(answer(307, Location="http://2130706433/"))
    async with asking(fake.where) as registry:
        assert (await refusal(registry, f"{fake.where}/blog:v1")).kind == "nonsense"


async def test_no_such_host(resolves: Callable[..., None]) -> None:
    resolves(fault=socket.EAI_NONAME)
    async with asking() as registry:
        refused = await refusal(registry, "registry.example.com/blog")
    assert refused.detail == "The registry registry.example.com cannot be used: no such host"


async def test_names_that_cannot_be_looked_up_now(resolves: Callable[..., None]) -> None:
    resolves(fault=socket.EAI_AGAIN)
    async with asking() as registry:
        with pytest.raises(Transient, match=r"^the registry registry\.example\.com is away$"):
            await registry.inspect("registry.example.com/blog", {})


async def test_a_registry_that_is_not_listed_is_asked_by_https(fake: FakeRegistry) -> None:
    """Of a listed one, what is redirected to HTTPS stays HTTPS."""
    fake.will(answer(307, Location=f"https://{fake.where}/"))
    async with asking(fake.where) as registry:
        refused = await refusal(registry, f"{fake.where}/blog:v1")
    assert refused.detail == f"The registry {fake.where} cannot be used: it does not speak HTTPS"
    assert len(fake.asked) == 1


async def test_a_certificate_is_checked_with_our_authorities(
    fake: FakeRegistry, tmp_path: Path
) -> None:
    certificate = tmp_path / "registry.pem"
    async with fake_registry(self_signed(certificate)) as secure:
        await secure.push(MADE, "blog", "v1")
        moved = [answer(307, Location=f"https://{secure.where}/v2/blog/manifests/v1")] * 2
        fake.will(*moved)
        async with asking(fake.where, secure.where) as registry:
            refused = await refusal(registry, f"{fake.where}/blog:v1")
        assert refused.detail == (
            f"The registry {secure.where} cannot be used: its certificate is not trusted"
        )
        assert secure.asked == []
        async with asking(fake.where, secure.where, ca_file=str(certificate)) as registry:
            assert (await registry.inspect(f"{fake.where}/blog:v1", {})).ports == (8080,)
        assert len(secure.asked) == 1


@pytest.mark.parametrize(("content", "why"), [(None, "No such file"), (b"nonsense", "no PEM")])
async def test_a_file_of_authorities_that_holds_none(
    tmp_path: Path, content: bytes | None, why: str
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError, match=f"DEIS_REGISTRY_CA_FILE: {file} cannot be.*{why}"):
        async with asking(ca_file=str(file)):
            pass


def test_settings() -> None:
    assert load(RegistrySettings, {}) == RegistrySettings(insecure=(), ca_file="")
    found = load(RegistrySettings, {"DEIS_INSECURE_REGISTRIES": "node:5000, [::1]:80,"})
    assert found.insecure == (Address("node", 5000), Address("::1", 80))
    with pytest.raises(SettingsError, match="DEIS_INSECURE_REGISTRIES: expected HOST:PORT"):
        load(RegistrySettings, {"DEIS_INSECURE_REGISTRIES": "node"})


def self_signed(file: Path) -> ssl.SSLContext:
    """A server's context for 127.0.0.1, its certificate and key in `file`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "registry")])
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    encoded = certificate.public_bytes(serialization.Encoding.PEM)
    file.write_bytes(
        encoded
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context
