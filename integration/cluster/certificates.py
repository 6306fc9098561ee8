"""The node's certificate authorities, and a certificate or kubeconfig for each identity.

Made anew for every node, valid for ten days: nothing outlives it. Names and organizations are
what Kubernetes' own RBAC rules expect, so that no rule of ours is needed.
"""

import base64
import json
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from integration.cluster.authority import Pair, new_authority, signed
from integration.cluster.layout import API_PORT, API_SERVICE, NODE, NODE_ADDRESS, Layout

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


def write_all(layout: Layout) -> None:
    """Authorities, the API server's certificates, the key of tokens, and all kubeconfigs.

    In `layout.pki`: NAME.crt and NAME.key for `ca`, `front-ca`, `apiserver`, `kubelet-client`,
    `front-proxy`, `admin`; and `tokens.key`, which signs service account tokens.
    """
    layout.pki.mkdir(mode=0o700)
    layout.kubeconfig().parent.mkdir(mode=0o700)
    authority, front = new_authority("deis-node"), new_authority("deis-node-front")
    pairs = {
        "ca": authority,
        "front-ca": front,
        "apiserver": signed(authority, "kube-apiserver", names=API_NAMES, at=API_ADDRESSES),
        "kubelet-client": signed(authority, "kube-apiserver-kubelet", "system:masters"),
        "front-proxy": signed(front, "front-proxy"),
    }
    tokens = Pair(authority.certificate, ec.generate_private_key(ec.SECP256R1()))
    _write(layout.pki / "tokens.key", tokens.key_pem)
    for who, (user, group) in IDENTITIES.items():
        pair = signed(authority, user, group)
        if who == "admin":
            pairs[who] = pair
        _write(layout.kubeconfig(who), json.dumps(_kubeconfig(authority, pair)).encode())
    for name, pair in pairs.items():
        _write(layout.pki / f"{name}.crt", pair.pem)
        _write(layout.pki / f"{name}.key", pair.key_pem)


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
