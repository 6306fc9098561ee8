"""Where the API server is and who we are there: a pod's own account, or a kubeconfig file.

Of a kubeconfig's current context: server, CA, client certificate, token, token file, exec plugin
(what managed clusters use). Proxies, basic authentication and auth-provider are not read.
"""

import base64
import contextlib
import json
import os
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

MOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TOKEN_SECONDS = 60.0
"""After which a token is read again: the kubelet changes it within the hour."""
EXEC_SECONDS = 30.0


class NoCluster(Exception):
    """There is no way to the API server; the text is a sentence for the user."""


class Access(NamedTuple):
    """A base URL, how to check and show certificates, and the bearer token of this moment."""

    server: str
    tls: ssl.SSLContext | None
    token: Callable[[], str]


def access(kubeconfig: str = "", environ: Mapping[str, str] = os.environ) -> Access:
    """From that file; without one from the pod's account. Raises NoCluster."""
    return from_file(Path(kubeconfig)) if kubeconfig else from_pod(environ)


def from_pod(environ: Mapping[str, str] = os.environ, mount: Path = MOUNT) -> Access:
    """The account that the kubelet mounted. Raises NoCluster outside a pod."""
    host = environ.get("KUBERNETES_SERVICE_HOST", "")
    port = environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host or not (mount / "token").exists():
        raise NoCluster("this is no pod with a service account; set DEIS_KUBECONFIG")
    if ":" in host:
        host = f"[{host}]"
    tls = ssl.create_default_context(cafile=str(mount / "ca.crt"))
    return Access(f"https://{host}:{port}", tls, Reread(_file(mount / "token")))


def from_file(path: Path) -> Access:
    """The current context of a kubeconfig. Raises NoCluster."""
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        context = _named(config, "contexts", config["current-context"])["context"]
        cluster = _named(config, "clusters", context["cluster"])["cluster"]
        user = _named(config, "users", context["user"])["user"]
        return Access(cluster["server"].rstrip("/"), _tls(cluster, user, path), _token(user, path))
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError, ssl.SSLError) as fault:
        raise NoCluster(f"{path} is no usable kubeconfig: {type(fault).__name__} {fault}") from None


class Reread:
    """A token that is read again after a while; the last one stands while it cannot be read."""

    def __init__(self, read: Callable[[], str], seconds: float = TOKEN_SECONDS) -> None:
        self._read = read
        self._seconds = seconds
        self._token = read()
        self._at = time.monotonic()

    def __call__(self) -> str:
        """The token of this moment."""
        if time.monotonic() - self._at > self._seconds:
            self._at = time.monotonic()
            with contextlib.suppress(OSError, ValueError, KeyError, subprocess.SubprocessError):
                self._token = self._read()
        return self._token


def _named(config: Mapping[str, Any], group: str, name: str) -> Mapping[str, Any]:
    for entry in config[group]:
        if entry["name"] == name:
            return dict(entry)
    raise KeyError(f"{group} has no {name}")


def _tls(cluster: Mapping[str, Any], user: Mapping[str, Any], path: Path) -> ssl.SSLContext | None:
    if not str(cluster["server"]).startswith("https:"):
        return None
    authority = _data(cluster, "certificate-authority", path)
    tls = ssl.create_default_context(cadata=authority.decode("ascii") if authority else None)
    if cluster.get("insecure-skip-tls-verify"):
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    certificate = _data(user, "client-certificate", path)
    if certificate:
        _show(tls, certificate, _data(user, "client-key", path))
    return tls


def _show(tls: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """The ssl module reads a certificate from files only: one of ours, gone at once."""
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        file.write(certificate + b"\n" + key)
        file.flush()
        tls.load_cert_chain(file.name)


def _data(entry: Mapping[str, Any], name: str, path: Path) -> bytes:
    """`NAME-data`, or the file that `NAME` names, from the kubeconfig's folder on."""
    if entry.get(f"{name}-data"):
        return base64.b64decode(entry[f"{name}-data"])
    return (path.parent / entry[name]).read_bytes() if entry.get(name) else b""


def _token(user: Mapping[str, Any], path: Path) -> Callable[[], str]:
    if user.get("exec"):
        return Reread(_plugin(user["exec"], path.parent))
    if user.get("tokenFile"):
        return Reread(_file(path.parent / user["tokenFile"]))
    fixed = str(user.get("token") or "")
    return lambda: fixed


def _file(path: Path) -> Callable[[], str]:
    return lambda: path.read_text(encoding="ascii").strip()


def _plugin(told: Mapping[str, Any], folder: Path) -> Callable[[], str]:
    """A client-go credential plugin; of its answer the token is taken."""
    argv = [str(told["command"]), *map(str, told.get("args") or ())]
    extra = {str(one["name"]): str(one["value"]) for one in told.get("env") or ()}
    asked = {"apiVersion": told["apiVersion"], "kind": "ExecCredential", "spec": {}}

    def read() -> str:
        environ = {**os.environ, **extra, "KUBERNETES_EXEC_INFO": json.dumps(asked)}
        ran = subprocess.run(  # noqa: S603 - the operator's own kubeconfig names it
            argv, env=environ, cwd=folder, capture_output=True, check=True, timeout=EXEC_SECONDS
        )
        return str(json.loads(ran.stdout)["status"]["token"])

    return read
