"""Debian's docker-registry on a free port: for everybody, with passwords, or with tokens.

Its token service is ours, here in the test; the registry checks the tokens' signatures.
"""

import asyncio
import base64
import datetime
import ipaddress
import json
import secrets
import shutil
import signal
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psutil
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID

from deis_platform.embedded.keeper import Keeper
from deis_platform.embedded.owners import Owner
from deis_platform.embedded.ports import free_port
from integration.servers import serving
from tests.behaviour.registry import Made

LOOPBACK = "127.0.0.1"
USER = "ada"
SERVICE = "registry"
ISSUER = "tests"
PASSWORDS, TOKENS = "htpasswd", "token"
"""Ways to log in."""


def program(name: str, package: str) -> str:
    """Where it is; the test fails with the package's name when it is not."""
    found = shutil.which(name)
    assert found is not None, f"{name} not found: apt-get install {package}"
    return found


def own_address() -> str:
    """An IPv4 address of this machine that is not loopback."""
    names = [entry for entries in psutil.net_if_addrs().values() for entry in entries]
    for text in (entry.address for entry in names if entry.family.name == "AF_INET"):
        address = ipaddress.ip_address(text)
        if not address.is_loopback and not address.is_link_local:
            return text
    raise AssertionError("this machine has no address but loopback")


class Signer:
    """A key with its certificate, for tokens and for TLS."""

    def __init__(self, folder: Path, host: str = LOOPBACK) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "registry")])
        now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
        alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))])
        self._certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - day)
            .not_valid_after(now + day)
            .add_extension(alternative, critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.certificate_file = folder / "certificate.pem"
        self.key_file = folder / "key.pem"
        pem = serialization.Encoding.PEM
        self.certificate_file.write_bytes(self._certificate.public_bytes(pem))
        plain = serialization.NoEncryption()
        self.key_file.write_bytes(
            self._key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
        )

    def token(self, repository: str, actions: list[str]) -> str:
        """A JSON web token (ES256) as the registry wants it."""
        encoded = self._certificate.public_bytes(serialization.Encoding.DER)
        header = {"typ": "JWT", "alg": "ES256", "x5c": [base64.b64encode(encoded).decode()]}
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "sub": USER,
            "aud": SERVICE,
            "exp": now + 300,
            "nbf": now - 60,
            "iat": now,
            "jti": secrets.token_hex(8),
            "access": [{"type": "repository", "name": repository, "actions": actions}],
        }
        signed = f"{_part(header)}.{_part(claims)}"
        signature = self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256()))
        both = b"".join(number.to_bytes(32) for number in decode_dss_signature(signature))
        return f"{signed}.{_encoded(both)}"


class DockerRegistry:
    """The program with its data in `folder`."""

    name = "docker-registry"
    stop_signal = signal.SIGTERM

    def __init__(self, folder: Path, host: str, password: str, settings: dict[str, Any]) -> None:
        self.owner = Owner()
        self.port = free_port(host)
        self._program = program("docker-registry", "docker-registry")
        self._folder = folder
        self._host = host
        self._password = password
        self._settings = settings

    async def prepare(self) -> None:
        """Its file, and that of the passwords."""
        http = {"addr": f"{self._host}:{self.port}", "secret": secrets.token_hex(8)}
        told = self._settings | {
            "version": "0.1",
            "log": {"level": "warn"},
            "storage": {"filesystem": {"rootdirectory": str(self._folder / "data")}},
            "http": http | self._settings.get("http", {}),
        }
        if PASSWORDS in self._settings.get("auth", {}):
            await self._write_password()
        (self._folder / "registry.yml").write_text(json.dumps(told))

    async def _write_password(self) -> None:
        htpasswd = program("htpasswd", "apache2-utils")
        child = await asyncio.create_subprocess_exec(
            *(htpasswd, "-i", "-n", "-B", "-C", "4", USER),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        line, _ = await child.communicate(self._password.encode())
        assert child.returncode == 0
        (self._folder / PASSWORDS).write_bytes(line)

    def command(self) -> list[str]:
        """No secret stands in it."""
        return [self._program, "serve", str(self._folder / "registry.yml")]

    def environment(self) -> dict[str, str]:
        """Variables would change its settings."""
        return {"PATH": "/usr/bin:/bin"}

    async def answers(self) -> bool:
        """Whether it has its port."""
        try:
            async with asyncio.timeout(2):
                _, writer = await asyncio.open_connection(self._host, self.port)
        except (OSError, TimeoutError):
            return False
        writer.close()
        return True


class RunningRegistry:
    """A registry that tests fill."""

    def __init__(self, where: str, login: dict[str, str], signer: Signer, *, tokens: bool) -> None:
        self.where = where
        self._login = login
        self._signer = signer
        self._tokens = tokens
        self.ca_file = str(signer.certificate_file)
        self.scheme = "http"
        self.realm = ""
        """host:port of its token service"""
        self.tokens_asked: list[Mapping[str, str]] = []

    @property
    def login(self) -> dict[str, str]:
        """What it asks for."""
        return self._login

    async def push(self, made: Made, repository: str, tag: str) -> None:
        """By the API itself: blobs, then manifests."""
        tls = ssl.create_default_context(cafile=self.ca_file)
        headers = self._authorized(repository)
        base = f"{self.scheme}://{self.where}/v2/{repository}"
        connector = aiohttp.TCPConnector(ssl=tls)
        async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
            for digest, body in made.blobs.items():
                async with session.post(f"{base}/blobs/uploads/") as begun:
                    assert begun.status == 202, await begun.text()
                    place = begun.headers["Location"]
                async with session.put(place, params={"digest": digest}, data=body) as stored:
                    assert stored.status == 201, await stored.text()
            for digest, (media, body) in made.manifests.items():
                names = [digest, tag] if digest == made.digest else [digest]
                for name in names:
                    url, kind = f"{base}/manifests/{name}", {"Content-Type": media}
                    async with session.put(url, data=body, headers=kind) as stored:
                        assert stored.status == 201, await stored.text()

    async def give_token(self, request: web.Request) -> web.Response:
        """Who has the password may pull; a stranger gets a token that is good for nothing."""
        self.tokens_asked.append(dict(request.query))
        _, repository, actions = request.query["scope"].split(":")
        shown = request.headers.get("Authorization", "")
        if shown and shown != self._basic():
            return web.json_response({"errors": []}, status=401)
        allowed = actions.split(",") if shown else []
        return web.json_response({"token": self._signer.token(repository, allowed)})

    def _authorized(self, repository: str) -> dict[str, str]:
        if not self._login:
            return {}
        if not self._tokens:
            return {"Authorization": self._basic()}
        return {"Authorization": f"Bearer {self._signer.token(repository, ['pull', 'push'])}"}

    def _basic(self) -> str:
        both = f"{self._login['username']}:{self._login['password']}"
        return f"Basic {base64.b64encode(both.encode()).decode()}"


@asynccontextmanager
async def docker_registry(
    folder: Path, auth: str = "", host: str = LOOPBACK, *, tls: bool = False
) -> AsyncIterator[RunningRegistry]:
    """One that wants nothing, PASSWORDS or TOKENS; with a token service as long as it runs."""
    signer = Signer(folder, host)
    login = {"username": USER, "password": secrets.token_hex(8)} if auth else {}
    settings: dict[str, Any] = {}
    if tls:
        files = {"certificate": str(signer.certificate_file), "key": str(signer.key_file)}
        settings["http"] = {"tls": files}
    running = RunningRegistry("", login, signer, tokens=auth == TOKENS)
    async with _token_service(running) as realm:
        if auth == PASSWORDS:
            settings["auth"] = {PASSWORDS: {"realm": "tests", "path": str(folder / PASSWORDS)}}
        if auth == TOKENS:
            told = {"realm": realm, "service": SERVICE, "issuer": ISSUER}
            settings["auth"] = {TOKENS: told | {"rootcertbundle": str(signer.certificate_file)}}
        server = DockerRegistry(folder, host, login.get("password", ""), settings)
        async with (
            Keeper(folder, "registry-keeper") as keeper,
            serving(server, keeper, folder),
        ):
            running.where = f"{host}:{server.port}"
            running.scheme = "https" if tls else "http"
            yield running


@asynccontextmanager
async def _token_service(running: RunningRegistry) -> AsyncIterator[str]:
    """Its URL."""
    app = web.Application()
    app.router.add_get("/token", running.give_token)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, LOOPBACK, 0).start()
        running.realm = f"{LOOPBACK}:{runner.addresses[0][1]}"
        yield f"http://{running.realm}/token"
    finally:
        await runner.cleanup()


def _part(fields: Mapping[str, Any]) -> str:
    return _encoded(json.dumps(fields).encode())


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
