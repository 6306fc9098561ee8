"""The chart on a real cluster; test_pages.py installs, upgrades and removes it as the pages say."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from integration.cluster.errors import ClusterError
from integration.kubernetes.installed import CHART, HOUSE, NAMESPACE, Installation
from integration.kubernetes.looking import secrets, status, uids
from integration.kubernetes.platform import ClusterPlatform
from integration.kubernetes.waiting import until

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(1200)]


@pytest.fixture
def it(platform: ClusterPlatform) -> Installation:
    return platform.installation


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """scripts/chart.py, which lies in no package."""
    spec = importlib.util.spec_from_file_location("chart", HOUSE / "scripts" / "chart.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def restarts(it: Installation) -> dict[str, int]:
    """How often containers of a pod were started again."""
    return {
        name: sum(one["restartCount"] for one in pod["status"]["containerStatuses"])
        for name, pod in it.pods().items()
    }


@pytest.mark.parametrize("name", ["as it is", "everything outside", "bare metal", "nothing kept"])
def test_the_api_server_takes_every_manifest(
    it: Installation, namespace: str, script: ModuleType, tmp_path: Path, name: str
) -> None:
    """In a namespace of its own: what is installed cannot be changed into everything."""
    values = tmp_path / "values.json"
    values.write_text(json.dumps(script.VARIANTS[name]))
    manifests = it.helm(
        "template", "workflow", CHART, "--namespace", namespace, "--values", values,
        "--set", f"builds.namespace={namespace},certificates.namespace={namespace}",
        "--kube-version", script.KUBERNETES,
    )  # fmt: skip
    said = it.node.kube("apply", "--dry-run=server", "--validate=strict", "-f", "-", text=manifests)
    count = sum(1 for line in manifests.splitlines() if line.startswith("kind: "))
    assert len(said.splitlines()) == count
    assert all(line.endswith("(server dry run)") for line in said.splitlines())


def test_an_upgrade_that_changes_nothing_starts_nothing_again(it: Installation) -> None:
    before = uids(it), secrets(it)
    assert "deis-platform-key" in before[1]
    it.apply()
    assert (uids(it), secrets(it)) == before


def test_a_value_that_is_wrong_is_refused_with_its_name(it: Installation) -> None:
    before = uids(it)
    with pytest.raises(ClusterError, match="registrationMode"):
        it.apply(values={"registrationMode": "everybody"})
    assert uids(it) == before


def test_the_server_s_connections_are_encrypted(it: Installation) -> None:
    """PostgreSQL takes nobody without TLS, nor a client that trusts another certificate."""
    program = (
        "import asyncio, asyncpg, os, ssl\n"
        "url = os.environ['DEIS_DATABASE_URL']\n"
        "word = open(os.environ['DEIS_DATABASE_PASSWORD_FILE']).read()\n"
        "other = ssl.create_default_context(cafile=os.environ['DEIS_NATS_CA_FILE'])\n"
        "own = ssl.create_default_context(cafile=os.environ['DEIS_DATABASE_CA_FILE'])\n"
        "async def main():\n"
        "    for tls in (False, other, own):\n"
        "        try:\n"
        "            link = await asyncpg.connect(url, password=word, ssl=tls, timeout=10)\n"
        "            print(await link.fetchval('SELECT ssl FROM pg_stat_ssl WHERE pid ='\n"
        "                                      ' pg_backend_pid()'))\n"
        "        except Exception as fault:\n"
        "            print(type(fault).__name__)\n"
        "asyncio.run(main())\n"
    )
    said = it.node.kube(
        "exec", "--namespace", NAMESPACE, "deploy/deis-controller", "--", "python", "-c", program
    )
    assert said.split() == [
        "InvalidAuthorizationSpecificationError",
        "SSLCertVerificationError",
        "True",
    ]


@pytest.mark.parametrize("name", ["deis-database-0", "deis-nats-0"])
def test_a_server_whose_pod_is_gone_comes_back_with_its_data(it: Installation, name: str) -> None:
    before, running = restarts(it), uids(it)
    it.node.kube("delete", "pod", "--namespace", NAMESPACE, name, "--wait")
    until(lambda: ready(it, name), f"{name} again", 90)
    until(
        lambda: status(it.address(), "/v2/apps/", "deis.deis.test") == 401,
        "an answer that needs bus and database",
        60,
    )
    others = {key: count for key, count in restarts(it).items() if key != name}
    assert others == {key: count for key, count in before.items() if key != name}
    assert uids(it).keys() == running.keys()


def ready(it: Installation, name: str) -> bool:
    """Whether that pod is there and ready."""
    pod = it.pods().get(name)
    if pod is None:
        return False
    conditions = pod["status"].get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
