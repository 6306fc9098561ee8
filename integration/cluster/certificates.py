"""The node's certificate authorities, and a certificate or kubeconfig for each identity.

Made anew for every node, valid for ten days: nothing outlives it. Names and organizations are
what Kubernetes' own RBAC rules expect, so that no rule of ours is needed.
"""

import base64
import ipaddress
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from integration.cluster.layout import API_PORT, API_SERVICE, NODE, NODE_ADDRESS, Layout

LIFE = timedelta(days=10)
IDENTITIES = {
    "admin": ("admin", "system:masters"),
    "kube-controller-manager": ("system:kube-controller-manager", ""),
    "kube-scheduler": ("system:kube-scheduler", ""),
    "kube-proxy": ("system:kube-proxy", ""),
    "kubelet": (f"system:node:{NODE}", "system:nodes"),
}
"""Those who get a kubeconfig: user name and group."""
API_NAMES = (
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "localhost",
)
API_ADDRESSES = ("127.0.0.1", API_SERVICE, NODE_ADDRESS)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        """The certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The key, not encrypted, in the one form that the API server takes for tokens."""
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )


def write_all(layout: Layout) -> None:
    """Authorities, the API server's certificates, the key of tokens, and all kubeconfigs.

    In `layout.pki`: NAME.crt and NAME.key for `ca`, `front-ca`, `apiserver`, `kubelet-client`,
    `front-proxy`, `admin`; and `tokens.key`, which signs service account tokens.
    """
    layout.pki.mkdir(mode=0o700)
    layout.kubeconfig().parent.mkdir(mode=0o700)
    authority, front = _authority("deis-node"), _authority("deis-node-front")
    pairs = {
        "ca": authority,
        "front-ca": front,
        "apiserver": _signed(authority, "kube-apiserver", names=API_NAMES, at=API_ADDRESSES),
        "kubelet-client": _signed(authority, "kube-apiserver-kubelet", "system:masters"),
        "front-proxy": _signed(front, "front-proxy"),
    }
    tokens = Pair(authority.certificate, ec.generate_private_key(ec.SECP256R1()))
    _write(layout.pki / "tokens.key", tokens.key_pem)
    for who, (user, group) in IDENTITIES.items():
        pair = _signed(authority, user, group)
        if who == "admin":
            pairs[who] = pair
        _write(layout.kubeconfig(who), json.dumps(_kubeconfig(authority, pair)).encode())
    for name, pair in pairs.items():
        _write(layout.pki / f"{name}.crt", pair.pem)
        _write(layout.pki / f"{name}.key", pair.key_pem)


def _authority(name: str) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    limits = x509.BasicConstraints(ca=True, path_length=0)
    made = _blank(subject, subject, key).add_extension(limits, critical=True)
    return Pair(made.sign(key, hashes.SHA256()), key)


def _signed(
    authority: Pair,
    user: str,
    group: str = "",
    names: tuple[str, ...] = (),
    at: tuple[str, ...] = (),
) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, user)]
    if group:
        parts.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, group))
    usage = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    made = _blank(x509.Name(parts), authority.certificate.subject, key)
    made = made.add_extension(x509.ExtendedKeyUsage(usage), critical=False)
    others: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
    others += [x509.IPAddress(ipaddress.ip_address(address)) for address in at]
    if others:
        made = made.add_extension(x509.SubjectAlternativeName(others), critical=False)
    return Pair(made.sign(authority.key, hashes.SHA256()), key)


def _blank(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))  # clocks in a container may differ
        .not_valid_after(now + LIFE)
    )


def _kubeconfig(authority: Pair, pair: Pair) -> dict[str, object]:
    """As JSON, which is YAML too; the certificates are in it, so the file can be copied."""
    cluster = {
        "server": f"https://{NODE_ADDRESS}:{API_PORT}",
        "certificate-authority-data": base64.b64encode(authority.pem).decode(),
    }
    user = {
        "client-certificate-data": base64.b64encode(pair.pem).decode(),
        "client-key-data": base64.b64encode(pair.key_pem).decode(),
    }
    context = {"cluster": "node", "user": "user"}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "node", "cluster": cluster}],
        "users": [{"name": "user", "user": user}],
        "contexts": [{"name": "node", "context": context}],
        "current-context": "node",
    }


def _write(path: Path, data: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(data)
