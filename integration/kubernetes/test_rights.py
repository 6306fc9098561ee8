"""Each service account may do what is listed, asked of the API server, and nothing else."""

import re
from pathlib import Path

import pytest

from integration.kubernetes.platform import ClusterPlatform
from integration.kubernetes.rights import ANYWHERE, RIGHTS, Grant

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(1200)]

NAMESPACES = ("deis", "deis-builds", "deis-certificates", "default", "kube-system")
EVERYBODY = re.compile(r"^self\w+\.(authentication|authorization)\.k8s\.io$")
"""What the API server lets any account ask about itself."""
ROW = re.compile(r"^(\S*)\s+\[(.*?)\]\s+\[(.*?)\]\s+\[(.*?)\]$")


def one_by_one(names: tuple[str, ...]) -> list[tuple[str, ...]]:
    """As the API server lists them; no name is all of them."""
    return [(name,) for name in names] if names else [()]


def may(platform: ClusterPlatform, account: str, namespace: str) -> set[Grant]:
    """What the API server says that this account may do in that namespace."""
    who = f"system:serviceaccount:deis:{account}"
    text = platform.node.kube("auth", "can-i", "--list", "--as", who, "--namespace", namespace)
    found = set()
    for line in text.splitlines()[1:]:
        row = ROW.match(line)
        assert row, line
        resource, _, names, verbs = row.groups()
        if resource and not EVERYBODY.match(resource):
            found.add(
                (namespace, resource, tuple(sorted(names.split())), tuple(sorted(verbs.split())))
            )
    return found


@pytest.mark.parametrize("namespace", NAMESPACES)
@pytest.mark.parametrize("account", RIGHTS)
def test_an_account_may_do_what_is_listed(
    platform: ClusterPlatform, account: str, namespace: str
) -> None:
    wanted = {
        (namespace, resource, one, tuple(sorted(verbs)))
        for where, resource, names, verbs in RIGHTS[account]
        if where in (ANYWHERE, namespace)
        for one in one_by_one(names)
    }
    assert may(platform, account, namespace) == wanted


def test_every_account_is_listed(platform: ClusterPlatform) -> None:
    accounts = platform.installation.get("serviceaccounts")["items"]
    assert {one["metadata"]["name"] for one in accounts} == set(RIGHTS)


def test_a_pod_has_a_token_only_where_it_has_rights(platform: ClusterPlatform) -> None:
    tokens = Path("/var/run/secrets/kubernetes.io/serviceaccount")
    for name, pod in platform.installation.pods().items():
        mounts = {
            mount["mountPath"]
            for container in pod["spec"]["containers"]
            for mount in container.get("volumeMounts", [])
        }
        account = pod["spec"]["serviceAccountName"]
        assert (str(tokens) in mounts) == bool(RIGHTS[account]), name
