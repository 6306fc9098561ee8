"""A kubeconfig's current context: server, CA, client certificate, token, token file, exec plugin.

Relative paths count from the file's folder, and `…-data` stands before a file, as in kubectl.
What is not read (a proxy, a password, an auth-provider) is refused, not left out in silence.
"""

import asyncio
import base64
import ssl
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import yaml

from deis_platform.kubernetes.access import Access, NoCluster, clean, file_token
from deis_platform.kubernetes.plugin import Plugin, plugin_token
from deis_platform.kubernetes.tokens import Token, Unreadable, fixed
from deis_platform.kubernetes.wire import without_nulls


class Cluster(msgspec.Struct, frozen=True, rename="kebab"):
    """Where the API server is."""

    server: str
    certificate_authority: str = ""
    certificate_authority_data: str = ""
    insecure_skip_tls_verify: bool = False
    tls_server_name: str = ""
    proxy_url: str = ""


class User(msgspec.Struct, frozen=True, rename="kebab"):
    """Who we are."""

    client_certificate: str = ""
    client_certificate_data: str = ""
    client_key: str = ""
    client_key_data: str = ""
    token: str = ""
    token_file: str = msgspec.field(default="", name="tokenFile")
    exec: Plugin | None = None
    username: str = ""
    auth_provider: Any = None


class Context(msgspec.Struct, frozen=True):
    """Which of them belong together."""

    cluster: str
    user: str = ""


class _NamedCluster(msgspec.Struct, frozen=True):
    name: str
    cluster: Cluster


class _NamedUser(msgspec.Struct, frozen=True):
    name: str
    user: User = User()


class _NamedContext(msgspec.Struct, frozen=True):
    name: str
    context: Context


class Kubeconfig(msgspec.Struct, frozen=True, rename="kebab"):
    """The file, as far as it is read."""

    current_context: str
    clusters: tuple[_NamedCluster, ...] = ()
    users: tuple[_NamedUser, ...] = ()
    contexts: tuple[_NamedContext, ...] = ()

    def chosen(self) -> tuple[Cluster, User]:
        """Of the current context. Raises NoCluster for a name that is not there."""
        contexts = {entry.name: entry.context for entry in self.contexts}
        context = _one(contexts, self.current_context, "context")
        clusters = {entry.name: entry.cluster for entry in self.clusters}
        users = {entry.name: entry.user for entry in self.users} | {"": User()}
        cluster = _one(clusters, context.cluster, "cluster")
        return cluster, _one(users, context.user, "user")


async def from_file(path: Path) -> Access:
    """The way that the file's current context names. Raises NoCluster; no secret in its text."""
    try:
        cluster, user = parsed(await asyncio.to_thread(path.read_bytes)).chosen()
        _refuse_unread(cluster, user)
        tls = await asyncio.to_thread(_tls, cluster, user, path.parent)
        token = _token(cluster, user, path.parent)
        await token.now()
    except (NoCluster, Unreadable) as fault:
        raise NoCluster(f"{path} is no usable kubeconfig: {fault}") from None
    except (OSError, ValueError) as fault:  # ssl.SSLError is an OSError, bad base64 a ValueError
        raise NoCluster(f"{path} is no usable kubeconfig: {_words(fault)}") from None
    return Access(cluster.server.rstrip("/"), tls, token, cluster.tls_server_name or None)


def parsed(content: bytes) -> Kubeconfig:
    """The file's content. Raises NoCluster; the parser's own words would quote a line of it."""
    try:
        return msgspec.convert(without_nulls(yaml.safe_load(content)), Kubeconfig)
    except yaml.YAMLError as fault:
        mark = getattr(fault, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise NoCluster(f"it is no YAML{where}") from None
    except (msgspec.ValidationError, RecursionError) as fault:
        raise NoCluster(str(fault)) from None


def _one(entries: dict[str, Any], name: str, what: str) -> Any:
    if name not in entries:
        raise NoCluster(f"it has no {what} {name!r}")
    return entries[name]


def _refuse_unread(cluster: Cluster, user: User) -> None:
    unread = {
        "proxy-url": cluster.proxy_url,
        "username": user.username,
        "auth-provider": user.auth_provider,
    }
    for name, value in unread.items():
        if value:
            raise NoCluster(f"{name} is not supported")
    if not cluster.server.startswith(("https://", "http://")):
        raise NoCluster("its server is no https or http URL")


def _words(fault: OSError | ValueError) -> str:
    """A fault of a file or of the ssl module; of others the type alone, they may quote data."""
    if isinstance(fault, ssl.SSLError):
        return f"certificate or key: {fault.reason or type(fault).__name__}"
    if isinstance(fault, OSError) and fault.filename:
        return f"{fault.filename}: {fault.strerror}"
    return type(fault).__name__


def _tls(cluster: Cluster, user: User, folder: Path) -> ssl.SSLContext | None:
    if not cluster.server.startswith("https://"):
        return None
    authority = _data(cluster.certificate_authority_data, cluster.certificate_authority, folder)
    tls = ssl.create_default_context(cadata=authority.decode("ascii") or None)
    if cluster.insecure_skip_tls_verify:
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    certificate = _data(user.client_certificate_data, user.client_certificate, folder)
    if certificate:
        _show(tls, certificate, _data(user.client_key_data, user.client_key, folder))
    return tls


def _show(tls: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """The ssl module reads a certificate from files only: one of ours, gone at once."""
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        file.write(certificate + b"\n" + key)
        file.flush()
        tls.load_cert_chain(file.name, password=_no_password)


def _no_password() -> str:
    """Else OpenSSL would ask for the password of an encrypted key on the terminal."""
    raise NoCluster("its client key is encrypted")


def _data(data: str, file: str, folder: Path) -> bytes:
    if data:
        return base64.b64decode(data)
    return (folder / file).read_bytes() if file else b""


def _token(cluster: Cluster, user: User, folder: Path) -> Token:
    if user.token_file:
        return file_token(folder / user.token_file)
    if user.token:
        return fixed(clean(user.token))
    return plugin_token(user.exec, cluster.server, folder) if user.exec else fixed("")
