"""Who may do what at a real API server, and tokens that change."""

import base64
import contextlib
import json
from pathlib import Path

import pytest

from deis_bus.errors import Transient
from deis_platform.groups import KubernetesSettings
from deis_platform.kubernetes import Forbidden, View, kinds, open_kubernetes
from integration.cluster.node import Node
from integration.kubernetes.door_rig import config_map

pytestmark = pytest.mark.kubernetes

MAP = kinds.CONFIG_MAP


def account(node: Node, namespace: str) -> str:
    """A token of an account that may read ConfigMaps."""
    node.kube("-n", namespace, "create", "serviceaccount", "reader")
    role = ("role", "reader", "--verb=get,list,watch", "--resource=configmaps")
    node.kube("-n", namespace, "create", *role)
    bound = ("--role=reader", f"--serviceaccount={namespace}:reader")
    node.kube("-n", namespace, "create", "rolebinding", "reader", *bound)
    return node.kube("-n", namespace, "create", "token", "reader").strip()


def kubeconfig(node: Node, folder: Path) -> Path:
    """One that reads the token from the file `token` beside it, and the CA from a file."""
    view = ("config", "view", "--raw", "--minify", "-o", "json")
    cluster = json.loads(node.kube(*view))["clusters"][0]["cluster"]
    ca = cluster.get("certificate-authority-data", "")
    content = base64.b64decode(ca) if ca else Path(cluster["certificate-authority"]).read_bytes()
    (folder / "ca.crt").write_bytes(content)
    config = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [
            {
                "name": "c",
                "cluster": {"server": cluster["server"], "certificate-authority": "ca.crt"},
            }
        ],
        "users": [{"name": "u", "user": {"tokenFile": "token"}}],
    }
    (folder / "config").write_text(json.dumps(config))
    return folder / "config"


async def test_what_an_account_may_not(node: Node, namespace: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(account(node, namespace))
    settings = KubernetesSettings(kubeconfig=str(kubeconfig(node, tmp_path)))
    async with open_kubernetes(settings) as reader:
        assert (await reader.list(MAP, namespace, view=View)).version
        for refused in (
            reader.list(kinds.SECRET, namespace, view=View),
            reader.list(MAP, view=View),
            reader.apply(config_map(namespace)),
            reader.delete(MAP, "kube-root-ca.crt", namespace),
            reader.attach("p", namespace, container="main", tty=False),
        ):
            with pytest.raises(Forbidden) as caught:
                await refused
            assert caught.value.kind == "forbidden"
        with pytest.raises(Forbidden):
            async with contextlib.aclosing(
                reader.watch(kinds.SECRET, namespace, version="", view=View)
            ) as watch:
                await anext(watch)


async def test_a_token_that_was_changed_is_used_at_once(
    node: Node, namespace: str, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("not-a-token")
    settings = KubernetesSettings(kubeconfig=str(kubeconfig(node, tmp_path)))
    async with open_kubernetes(settings) as reader:
        with pytest.raises(Transient, match="401"):
            await reader.list(MAP, namespace, view=View)
        token.write_text(account(node, namespace) + "\n")
        assert (await reader.list(MAP, namespace, view=View)).version
