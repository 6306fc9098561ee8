"""The pages on Kubernetes, walked through as their reader does: every command, in order.

What they say is looked at on the way: what an upgrade touches, what stays after a removal, what is
forbidden. The walk begins with the removal of the platform that the other tests use, so it comes
after them.
"""

import contextlib
import json
import re
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from integration.kubernetes import pages
from integration.kubernetes.installed import DOMAIN, NAMESPACE, Installation, make_volumes, merged
from integration.kubernetes.installed import wipe as clear
from integration.kubernetes.looking import named, objects, replaced, secrets, status, uids
from integration.kubernetes.platform import ClusterPlatform
from integration.kubernetes.reader import ACCOUNT, Reader, bucket_server, values_of
from integration.kubernetes.sample import keyed, registered
from integration.kubernetes.waiting import until
from integration.sample_app import edition, repository
from integration.servers import until as soon
from integration.traffic import traffic

pytestmark = [
    pytest.mark.kubernetes,
    pytest.mark.server,
    pytest.mark.takes_down,
    pytest.mark.timeout(900),
]

HOME, SECURITY = "kubernetes.md", "kubernetes-security.md"
INSTALL, UPGRADE, UNINSTALL = (
    f"kubernetes-{name}.md" for name in ("install", "upgrade", "uninstall")
)
UPGRADES = "helm -n deis upgrade workflow charts/workflow -f values.yaml --wait"
UNINSTALLS = "helm -n deis uninstall workflow --wait"
OURS = ("gateway", "controller", "router", "nats", "database", "builder", "builds")
"""Values of the tests' own that fit the node; the others are the page's."""
ROLES = "clusterroles,clusterrolebindings,roles,rolebindings"
OF_EVERY_NAMESPACE = {"configmap/kube-root-ca.crt", "serviceaccount/default"}
APP = "amber-otter"
OBJECT = re.compile(r"`(\w+/[\w-]+)`")


async def test_the_pages_from_one_removal_to_the_next(
    platform: ClusterPlatform, tmp_path: Path
) -> None:
    said: list[str] = []
    person = platform.person(tmp_path / "reader", echo=said.append)
    try:
        with bucket_server(tmp_path / "bucket", platform.node.host_address) as endpoint:
            prefix = platform.installation.values["images"]["prefix"]
            names = {"https://s3.example.com": endpoint, "registry.example.com/deis": prefix}
            reader = Reader(person, platform.node, names)
            await whole_removal(platform, reader, tmp_path)
            await installation(platform, reader)
            await days_between(platform, reader)
            await reader.reads(SECURITY)
            await upgrade_and_back(platform, reader)
            await removal_and_return(platform, reader, tmp_path / "bucket")
    except BaseException:
        print("\n".join(said), platform.log(), sep="\n")
        raise


async def whole_removal(platform: ClusterPlatform, reader: Reader, folder: Path) -> None:
    """In two steps: after the first what the page says, after the second nothing."""
    it = platform.installation
    person = await registered(platform, folder / "first", "first")
    await person.types("deis", "create", "first-app")
    before = objects(it)

    async def removed() -> None:
        check_removed(it, before)
        assert "namespace/first-app" in named(it, "namespaces")

    await reader.reads(UNINSTALL, {UNINSTALLS: removed})
    assert named(it, "namespaces").isdisjoint({f"namespace/{NAMESPACE}", "namespace/first-app"})
    clear(it)  # volumes, which are the operator's to delete
    make_volumes(it.node)


async def installation(platform: ClusterPlatform, reader: Reader) -> None:
    """From nothing to an application that serves."""
    reader.writes("values.yaml", INSTALL, ours(platform))
    await reader.reads(INSTALL)
    assert platform.installation.address() == platform.address
    certificate = reader.person.folder / "tls.crt"
    until(lambda: trusted(platform, certificate), "the certificate that was given")
    await keyed(reader.person, ACCOUNT)
    clone = reader.person.folder
    await repository(reader.person, edition(0), APP)
    await reader.person.types("git", "push", "deis", "main", says=f"{APP}:v2 deployed")
    reader.person.folder = clone
    until(lambda: serves(platform), "the application")


async def days_between(platform: ClusterPlatform, reader: Reader) -> None:
    """Views of what runs; and after one Secret was made anew all is as it was."""
    before = secrets(platform.installation)
    await reader.reads(HOME)
    after = secrets(platform.installation)
    assert {name for name in before if before[name] != after.get(name)} == {"deis-nats-tls"}
    copy = (reader.person.folder / "deis-platform-key.yaml").read_text()
    assert "name: deis-platform-key" in copy
    doctor, *_ = pages.page(HOME).commands
    await reader.types(doctor)
    until(lambda: serves(platform), "the application")


async def upgrade_and_back(platform: ClusterPlatform, reader: Reader) -> None:
    """Pods whose values changed are replaced and no others, and no request fails meanwhile."""
    it = platform.installation
    old, kept, new = uids(it), secrets(it), dict[str, str]()
    changed = {"deis-gateway", "deis-router"}
    changes = {"router": {"env": {"DEIS_LOG_LEVEL": "warning"}}}
    settings = merged(values_of(HOME, "settings.yaml", reader.names), changes)
    reader.writes("values.yaml", INSTALL, merged(ours(platform), settings))

    async def upgraded() -> None:
        await soon(lambda: replaced(old, uids(it)) == changed, f"{changed} and no others", 30)
        new.update(uids(it))
        assert "DEIS_REQUEST_SECONDS" in gateway(it)
        await seen.some_more()

    async with traffic(80, platform.host(APP), 2, platform.address) as seen:
        await reader.reads(UPGRADE, {UPGRADES: upgraded})
        await seen.some_more()
    assert not seen.failures, seen.failures[:5]
    until(lambda: replaced(new, uids(it)) == changed, f"{changed} as before")
    assert "DEIS_REQUEST_SECONDS" not in gateway(it)
    assert secrets(it) == kept


async def removal_and_return(platform: ClusterPlatform, reader: Reader, bucket: Path) -> None:
    """Applications run on without routes; the installation of the other tests has them again."""
    it, person = platform.installation, reader.person
    before, kept = objects(it), secrets(it)
    await reader.types(pages.Command(UNINSTALLS))
    check_removed(it, before)
    web = it.node.get("--namespace", APP, "deployment", f"{APP}-web")
    assert web["status"]["readyReplicas"] == 1
    assert status(platform.address, "/", platform.host(APP)) == 0
    assert list(bucket.rglob("slugs/*/*.tgz"))
    it.apply()
    assert kept.items() <= secrets(it).items()
    assert it.address() == platform.address
    until(lambda: serves(platform), "the application")
    await person.types("git", "-C", str(person.home / APP), "ls-remote", "deis")
    await person.types("deis", "destroy", "-a", APP, f"--confirm={APP}")


def ours(platform: ClusterPlatform) -> dict[str, Any]:
    """Values that fit the node, beside those of the page."""
    values = platform.installation.values
    images = {name: value for name, value in values["images"].items() if name != "prefix"}
    return {name: values[name] for name in OURS} | {"images": images}


def check_removed(it: Installation, before: set[str]) -> None:
    """Of what there was, what the page's table says that stays is there, and nothing else."""
    text = (pages.DOCS / UNINSTALL).read_text()
    rows = re.findall(r"^\|([^|]*)\|([^|]*)\|$", text, re.MULTILINE)
    goes, stays = (set(OBJECT.findall("".join(cells))) for cells in zip(*rows, strict=True))
    kept = before & (stays | OF_EVERY_NAMESPACE | made_by_hand())
    with contextlib.suppress(AssertionError):
        until(lambda: objects(it) == kept, "", 120)
    assert objects(it) == kept
    until(lambda: named(it, "namespaces").isdisjoint(goes), f"none of {sorted(goes)}", 120)
    roles = it.node.kube("get", ROLES, "--all-namespaces", "-o", "name")
    assert f"/{NAMESPACE}:" not in roles


def made_by_hand() -> set[str]:
    """Secrets that the reader of the first page has made."""
    typed = "\n".join(command.text for command in pages.page(INSTALL).commands)
    return {f"secret/{name}" for name in re.findall(r"create secret \w+ (\S+)", typed)}


def serves(platform: ClusterPlatform) -> bool:
    """Whether the application's page comes through the router."""
    return status(platform.address, "/", platform.host(APP)) == 200


def trusted(platform: ClusterPlatform, certificate: Path) -> bool:
    """Whether the API is served with it."""
    context = ssl.create_default_context(cafile=certificate)
    try:
        with (
            socket.create_connection((platform.address, 443), 5) as link,
            context.wrap_socket(link, server_hostname=f"deis.{DOMAIN}"),
        ):
            return True
    except OSError:
        return False


def gateway(it: Installation) -> str:
    """What the gateway's pod is made of."""
    (pod,) = it.pods("deis-gateway").values()
    return json.dumps(pod["spec"])
