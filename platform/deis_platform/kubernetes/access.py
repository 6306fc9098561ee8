"""Where the API server is and who we are there: a pod's own account, or a kubeconfig file."""

import asyncio
import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from deis_platform.kubernetes.tokens import Credential, Token, Unreadable

MOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
FILE_SECONDS = 60.0
"""After which a token's file is read again: the kubelet changes it within the hour."""


class NoCluster(Exception):
    """There is no way to the API server; the text is a sentence for the user."""


class Access(NamedTuple):
    """A base URL, how to check and show certificates, and the bearer token."""

    server: str
    tls: ssl.SSLContext | None
    token: Token
    hostname: str | None = None
    """In the server's certificate, where it is not the URL's."""


async def from_pod(environ: Mapping[str, str] = os.environ, mount: Path = MOUNT) -> Access:
    """The account that the kubelet mounted. Raises NoCluster outside a pod."""
    host = environ.get("KUBERNETES_SERVICE_HOST", "")
    port = environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise NoCluster("this is no pod with a service account; set DEIS_KUBECONFIG")
    try:
        tls = await asyncio.to_thread(ssl.create_default_context, cafile=str(mount / "ca.crt"))
        token = file_token(mount / "token")
        await token.now()
    except (OSError, Unreadable) as fault:
        raise NoCluster(
            f"the pod's service account cannot be used ({fault}); mount it or set DEIS_KUBECONFIG"
        ) from None
    return Access(f"https://{f'[{host}]' if ':' in host else host}:{port}", tls, token)


def file_token(path: Path) -> Token:
    """A token in a file that may change."""

    async def read() -> Credential:
        try:
            text = await asyncio.to_thread(path.read_text, encoding="ascii")
        except (OSError, ValueError) as fault:
            raise Unreadable(f"{path}: {type(fault).__name__}") from None
        return Credential(clean(text), FILE_SECONDS)

    return Token(read)


def clean(text: str) -> str:
    """A token fit for a header. Raises Unreadable, which does not show it."""
    text = text.strip()
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise Unreadable("it holds no token")
    return text
