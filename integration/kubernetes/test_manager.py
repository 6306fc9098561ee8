"""What is wrong with components on a real cluster: on the bus, in the API, as events of Kubernetes,
from the doctor; and that it is over."""

import contextlib
import http.client
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deis_bus.users import OPERATOR
from integration.cluster.commands import run
from integration.kubernetes.installed import NAMESPACE, Installation
from integration.kubernetes.platform import BUS_CA, CONTROLLER, ClusterPlatform
from integration.kubernetes.waiting import until
from integration.sample_app import PASSWORD

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(300)]

ADA = "ada-of-the-manager"
LISTENER = f"""
import asyncio, json, os, sys, nats

async def show(message):
    print(message.headers["ce-type"], json.loads(message.data)["component"], flush=True)

async def main():
    password = open(os.environ["DEIS_OPERATOR_PASSWORD_FILE"]).read().strip()
    bus = await nats.connect(os.environ["DEIS_NATS_URL"], user="{OPERATOR}", password=password)
    await bus.subscribe("deis.event._.component.*", cb=show)
    await bus.flush()
    print("listening", flush=True)
    # Until whoever started us has gone.
    await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""
SETTINGS = {"DEIS_VERSIONS_SECONDS": "1", "DEIS_MANAGER_SECONDS": "1"}
COMPONENTS = (
    *("gateway", "controller", "builder", "router", "logger", "manager", "shipper"),
    *("nats", "database", "objects"),
)
WRONG = {
    "logger": "missing",  # deleted
    "builder": "missing",  # scaled away
    "shipper": "crashed",  # a setting that is none
    "database": "outdated",  # an annotation that is older than the feed
}
BAD = "DEIS_LOG_LEVEL"
"""With nonsense in it a service ends at once."""
OVER = {"missing": "returned", "crashed": "returned", "outdated": "updated"}
REASONS = {"missing": "Warning", "crashed": "Warning", "outdated": "Normal"}


@dataclass(frozen=True)
class Watched:
    """The platform, and somebody at each place where its manager speaks."""

    platform: ClusterPlatform
    token: str
    file: Path
    """What the listener prints."""

    @property
    def it(self) -> Installation:
        return self.platform.installation

    def kubectl(self, *words: str) -> str:
        return self.platform.node.kube("--namespace", NAMESPACE, *words)

    def heard(self) -> set[str]:
        """On the bus, a line each: `component.missing logger`."""
        return set(self.file.read_text().splitlines())

    def shown(self) -> set[tuple[str, str, str]]:
        """As events of Kubernetes: type, reason, object."""
        return {
            (one["type"], one["reason"], one["involvedObject"]["name"])
            for one in self.it.get("events")["items"]
            if one["source"].get("component") == "deis-workflow-manager"
        }

    def components(self) -> dict[str, str]:
        """In the API: each with its problem; none while the manager is away (503)."""
        status, body = asked(self.platform, "GET", "/v2/components", self.token)
        assert status in (200, 503), body
        return {one["name"]: one["problem"] for one in body.get("results", [])}

    def problems(self) -> dict[str, str]:
        """The first word of each problem."""
        found = self.components().items()
        return {name: problem.partition(":")[0] for name, problem in found if problem}

    def well(self) -> bool:
        """Whether the manager knows of every component, and nothing against them."""
        return self.components() == dict.fromkeys(COMPONENTS, "")

    def doctor(self) -> tuple[int, list[dict[str, str]]]:
        """Its exit code and findings."""
        node = self.platform.node
        words = ("exec", CONTROLLER, "--", "deis-platform", "doctor", "--output", "json")
        done = run(
            *(node.kubectl, f"--kubeconfig={node.kubeconfig}", "--namespace", NAMESPACE, *words),
            check=False,
        )
        return done.returncode, json.loads(done.stdout)

    def findings(self) -> dict[str, dict[str, str]]:
        """What the doctor found, by component."""
        return {one["component"]: one for one in self.doctor()[1]}


def asked(
    platform: ClusterPlatform, method: str, path: str, token: str = "", **body: str
) -> tuple[int, dict[str, Any]]:
    """What the API answers."""
    link = http.client.HTTPConnection(platform.address, platform.port, timeout=30)
    headers = {"Host": platform.host("deis"), "Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"token {token}"
    try:
        link.request(method, path, json.dumps(body) if body else None, headers)
        answer = link.getresponse()
        return answer.status, json.loads(answer.read() or b"{}")
    finally:
        link.close()


def administrator(platform: ClusterPlatform) -> str:
    """The token of one, whoever has registered before."""
    who = {"username": ADA, "password": PASSWORD}
    asked(platform, "POST", "/v2/auth/register/", email="ada@example.com", **who)
    change = f"UPDATE users SET is_superuser = true WHERE username = '{ADA}'"
    platform.node.kube(
        *("--namespace", NAMESPACE, "exec", "deis-database-0", "-c", "deis-database", "--"),
        *("psql", "-At", "-U", "postgres", "-d", "deis", "-c", change),
    )
    status, body = asked(platform, "POST", "/v2/auth/login/", **who)
    assert status == 200, body
    return str(body["token"])


@contextlib.contextmanager
def listener(platform: ClusterPlatform, folder: Path) -> Iterator[Path]:
    """The file with what is told of components on the bus, heard in the controller's pod."""
    node, file = platform.node, folder / "heard"
    command = ("env", f"SSL_CERT_FILE={BUS_CA}", "python3", "-c", LISTENER)
    with file.open("wb") as output:
        process = subprocess.Popen(
            [
                *(node.kubectl, f"--kubeconfig={node.kubeconfig}", "--namespace", NAMESPACE),
                *("exec", "-i", CONTROLLER, "--", *command),
            ],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        until(lambda: b"listening" in file.read_bytes(), "a listener")
        yield file
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(30)


@pytest.fixture(scope="module")
def feed(platform: ClusterPlatform) -> Iterator[Path]:
    """The feed of versions, a file of a web server; the manager reads it each second."""
    file = platform.folder / "packages" / "versions.json"
    file.write_text("{}")
    url = platform.index.removesuffix("/simple") + f"/{file.name}"
    told = SETTINGS | {"DEIS_VERSIONS_URL": url}
    try:
        settings(platform, "deployment/deis-workflow-manager", **told)
        yield file
    finally:
        settings(platform, "deployment/deis-workflow-manager", **dict.fromkeys(told, ""))
        file.unlink()


def settings(platform: ClusterPlatform, workload: str, **values: str) -> None:
    """Set, or with an empty value take away, and wait until pods have it."""
    words = [f"{name}={value}" if value else f"{name}-" for name, value in values.items()]
    kube = platform.node.kube
    kube("--namespace", NAMESPACE, "set", "env", workload, *words)
    kube("--namespace", NAMESPACE, "rollout", "status", workload, "--timeout=60s")


@pytest.fixture
def watched(platform: ClusterPlatform, feed: Path, tmp_path: Path) -> Iterator[Watched]:
    token = administrator(platform)
    with listener(platform, tmp_path) as file:
        yield Watched(platform, token, file)


def damage(it: Watched, feed: Path) -> None:
    """One component of each kind of WRONG."""
    it.kubectl("delete", "deployment", "deis-logger", "--wait=false")
    it.kubectl("scale", "deployment/deis-builder", "--replicas=0")
    it.kubectl("set", "env", "daemonset/deis-log-shipper", f"{BAD}=nonsense")
    version = "component.deis.io/version=1.0.0"
    it.kubectl("annotate", "statefulset/deis-database", version, "--overwrite")
    feed.write_text('{"database": "1.0.1", "logger": "v0"}')


def mend(it: Watched) -> None:
    """What the doctor says to type: an upgrade that changes nothing; and our own setting away."""
    it.kubectl("set", "env", "daemonset/deis-log-shipper", f"{BAD}-")
    it.it.apply()


def workload(component: str) -> str:
    return {"shipper": "deis-log-shipper"}.get(component, f"deis-{component}")


def test_what_is_wrong_is_told_everywhere_and_so_is_its_end(watched: Watched, feed: Path) -> None:
    it = watched
    until(it.well, "a platform that is well", 60)
    try:
        damage(it, feed)
        wrong_on_the_bus = {f"component.{kind} {name}" for name, kind in WRONG.items()}
        until(lambda: wrong_on_the_bus <= it.heard(), f"{wrong_on_the_bus} on the bus", 60)
        until(lambda: it.problems() == WRONG, f"{WRONG} in the API", 60)
        until(lambda: told_by(it) == WRONG, f"{WRONG} from the doctor", 60)
        wrong = {
            (REASONS[kind], f"Component{kind.capitalize()}", workload(name))
            for name, kind in WRONG.items()
        }
        until(lambda: wrong <= it.shown(), f"{wrong} as events")
        code, found = it.doctor()
        assert code == 1
        remedies = {one["component"]: one["command"] for one in found}
        upgrade = f"helm --namespace {NAMESPACE} upgrade workflow charts/workflow"
        for name in ("logger", "builder", "database"):
            assert remedies[name].startswith(upgrade)
    finally:
        mend(it)
    over = {f"component.{OVER[kind]} {name}" for name, kind in WRONG.items()}
    until(lambda: over <= it.heard(), f"{over} on the bus", 60)
    ends = {
        ("Normal", f"Component{OVER[kind].capitalize()}", workload(name))
        for name, kind in WRONG.items()
    }
    until(lambda: ends <= it.shown(), f"{ends} as events")
    until(it.well, "nothing in the API", 60)
    until(lambda: it.doctor() == (0, []), "nothing from the doctor", 60)
    said = it.kubectl("exec", CONTROLLER, "--", "deis-platform", "doctor")
    assert said.startswith("Everything is as it should be.\n\nNote: sources and slugs")


def told_by(it: Watched) -> dict[str, str]:
    """The same as the doctor words it."""
    words = {
        "it is missing, or some of it": "missing",
        "it crashes again and again": "crashed",
        "there is a newer version": "outdated",
    }
    found = it.findings().items()
    return {name: words.get(one["problem"], one["problem"]) for name, one in found}
