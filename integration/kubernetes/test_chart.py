"""The chart on a real cluster: installed, upgraded, rolled back, removed and installed again."""

import http.client
import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from integration.cluster.errors import ClusterError
from integration.kubernetes.installed import CHART, HOUSE, NAMESPACE, Installation
from integration.kubernetes.platform import ClusterPlatform
from integration.kubernetes.waiting import until

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(1200)]

KEPT = {
    "deis-platform-key",
    "deis-builder-host-keys",
    "deis-nats-users",
    "deis-nats-tls",
    "deis-database",
    "deis-database-tls",
    "deis-objects",
}


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


def status(address: str, path: str, host: str = "") -> int:
    """The status of an answer of the router; 0 where there is none."""
    link = http.client.HTTPConnection(address, 80, timeout=5)
    try:
        link.request("GET", path, headers={"Host": host})
        return link.getresponse().status
    except OSError:
        return 0
    finally:
        link.close()


def secrets(it: Installation) -> dict[str, Any]:
    """The contents of our Secrets."""
    found = it.get("secrets")["items"]
    return {
        one["metadata"]["name"]: one["data"] for one in found if one["metadata"]["name"] in KEPT
    }


def uids(it: Installation) -> dict[str, str]:
    """Every pod with its identity."""
    return {name: pod["metadata"]["uid"] for name, pod in it.pods().items()}


def restarts(it: Installation) -> dict[str, int]:
    """How often containers of a pod were started again."""
    return {
        name: sum(one["restartCount"] for one in pod["status"]["containerStatuses"])
        for name, pod in it.pods().items()
    }


def test_the_api_asks_who_we_are(platform: ClusterPlatform) -> None:
    until(lambda: status(platform.address, "/v2/", platform.host("deis")) == 401, "an answer", 60)


def test_the_doctor_finds_nothing(it: Installation) -> None:
    def said() -> str:
        pod = ("--namespace", NAMESPACE, "deploy/deis-controller")
        return it.node.kube("exec", *pod, "--", "deis-platform", "doctor")

    def well() -> bool:
        try:
            return said() == "Everything is as it should be.\n"
        except ClusterError:
            return False

    until(well, "nothing to say for the doctor", 60)


def test_helm_test_says_what_it_looked_at(it: Installation) -> None:
    said = it.helm("test", "workflow", "--logs", "--timeout", "120s")
    lines = [line for line in said.splitlines() if line.startswith(("ok", "FAILED"))]
    assert [line.split(":")[0] for line in lines] == [
        "ok      bus lets us in",
        "ok      api asks who we are",
        "ok      database is asked",
        "ok      router leads to the api",
    ]


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
    assert before[1].keys() == KEPT
    it.apply()
    it.apply()
    assert (uids(it), secrets(it)) == before


def test_an_upgrade_touches_what_it_changes_and_a_rollback_too(it: Installation) -> None:
    before, kept = uids(it), secrets(it)
    it.apply(values={"logger": {"env": {"DEIS_LOGGER_LINES": "900"}}})
    after = uids(it)
    assert {name.rsplit("-", 2)[0] for name in after.keys() - before.keys()} == {"deis-logger"}
    assert {
        name: uid for name, uid in after.items() if "deis-logger" not in name
    }.items() <= before.items()
    it.helm("rollback", "workflow", "--wait", "--timeout", "120s")
    back = uids(it)
    assert {name.rsplit("-", 2)[0] for name in back.keys() - after.keys()} == {"deis-logger"}
    (logger,) = it.pods("deis-logger").values()
    assert "DEIS_LOGGER_LINES" not in json.dumps(logger["spec"])
    assert secrets(it) == kept


def test_a_value_that_is_wrong_is_refused_with_its_name(it: Installation) -> None:
    before = uids(it)
    with pytest.raises(Exception, match="registrationMode"):
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


def test_what_stays_when_it_is_removed_and_is_found_again(platform: ClusterPlatform) -> None:
    it = platform.installation
    kept = secrets(it)
    assert claims(it) == {"data-deis-nats-0", "data-deis-database-0", "deis-objects"}
    try:
        it.uninstall()
        until(lambda: it.pods().keys() <= {"deis-test"}, "no pod but that of `helm test`", 120)
        gone = {kind: it.get(kind)["items"] for kind in GONE}
        assert gone == {kind: [] for kind in GONE}
        assert "deis" not in it.node.kube("get", "clusterroles,clusterrolebindings", "-o", "name")
        until(lambda: "deis-builds" not in namespaces(it), "no namespace for builds", 120)
        assert secrets(it) == kept
        assert claims(it) == {"data-deis-nats-0", "data-deis-database-0", "deis-objects"}
    finally:
        it.apply()
    assert secrets(it) == kept
    assert it.address() == platform.address
    until(lambda: status(platform.address, "/v2/apps/", platform.host("deis")) == 401, "an answer")


GONE = ("services", "deployments", "statefulsets", "daemonsets", "networkpolicies")


def claims(it: Installation) -> set[str]:
    """Names of the volumes' claims."""
    return {one["metadata"]["name"] for one in it.get("pvc")["items"]}


def namespaces(it: Installation) -> str:
    """All of them, a line each."""
    return it.node.kube("get", "namespaces", "-o", "name")
