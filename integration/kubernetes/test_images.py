"""Images run as the user and on the file system that the chart gives them."""

import json
from importlib.metadata import version
from typing import Any

import pytest

from deis_services.platform_cli.services import SERVICES
from integration.builder_objects import archive, objects
from integration.cluster.node import Node
from integration.kubernetes.installed import images
from integration.kubernetes.waiting import until

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(1200)]

CLOSED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


@pytest.fixture(scope="module")
def built(node: Node) -> tuple[str, str]:
    return images(node)


def pod(image: str, user: int, container: dict[str, Any], folders: list[str]) -> dict[str, Any]:
    """A pod that is restricted, with a folder of its own at each path."""
    names = {f"folder-{number}": path for number, path in enumerate(folders)}
    mounts = [{"name": name, "mountPath": path} for name, path in names.items()]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "tried"},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": user,
                "runAsGroup": user,
                "fsGroup": user,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "tried",
                    "image": image,
                    "securityContext": CLOSED,
                    "volumeMounts": mounts,
                    **container,
                }
            ],
            "volumes": [{"name": name, "emptyDir": {}} for name in names],
        },
    }


def ended(node: Node, namespace: str, wanted: dict[str, Any]) -> tuple[int, str]:
    """Exit code and output of a pod that runs to its end."""
    node.kube("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    node.kube("apply", "--namespace", namespace, "-f", "-", text=json.dumps(wanted))
    found: dict[str, Any] = {}

    def over() -> bool:
        status = node.get("--namespace", namespace, "pod", "tried")["status"]
        found.update(status)
        return status["phase"] in ("Succeeded", "Failed")

    until(over, "the pod's end", 60)
    code = found["containerStatuses"][0]["state"]["terminated"]["exitCode"]
    return code, node.kube("--namespace", namespace, "logs", "tried")


SCRIPT = """
import importlib, os, pathlib, subprocess, sys
for name in sys.argv[1:]:
    module = importlib.import_module(f"deis_services.{name}.service")
    done = subprocess.run(["deis-platform", "run", name], env={"PATH": os.environ["PATH"]},
                          capture_output=True, text=True, timeout=30) if name == "router" else None
    print(name, callable(module.serve), os.getuid(), done.stderr.strip() if done else "")
pathlib.Path("/tmp/mine").write_text("x")
try:
    pathlib.Path("/opt/deis/theirs").write_text("x")
except OSError as fault:
    print("root:", fault.strerror)
for program in ("git", "nats-server"):
    print(subprocess.run([program, "--version"], capture_output=True, text=True).stdout.strip())
"""


def test_every_service_is_in_the_platform_image(
    node: Node, namespace: str, built: tuple[str, str]
) -> None:
    names = [name for name in SERVICES if name != "runtime"]
    container = {"command": ["python", "-c", SCRIPT, *names]}
    code, said = ended(node, namespace, pod(_image(built, "platform"), 2001, container, ["/tmp"]))
    assert code == 0, said
    lines = said.splitlines()
    assert [line.split()[:3] for line in lines[: len(names)]] == [
        [name, "True", "2001"] for name in names
    ]
    assert "DEIS_ROUTER_FOLDER is missing" in said
    assert "root: Read-only file system" in said
    assert lines[-2].startswith("git version")
    assert lines[-1].startswith("nats-server")


def test_the_entry_point_is_deis_platform(
    node: Node, namespace: str, built: tuple[str, str]
) -> None:
    wanted = pod(_image(built, "platform"), 2001, {"args": ["version"]}, ["/tmp"])
    assert ended(node, namespace, wanted) == (0, f"{version('deis-workflow')}\n")


def test_a_build_and_its_slug_run_in_the_stack_image(
    node: Node, namespace: str, built: tuple[str, str]
) -> None:
    """Source in, slug out over HTTP; then that slug as a process. No package index is asked."""
    source, slug = "sources/a/1.tgz", "slugs/a/1.tgz"
    files: dict[str, str | bytes] = {
        "Procfile": "web: python -c 'import sys, os; print(os.getuid(), sys.prefix, os.environ)'\n",
        "requirements.txt": "",
    }
    with objects("0.0.0.0") as store:
        store.held[source], store.tokens = archive(files), {"in": source, "out": slug}

        def url(key: str) -> str:
            return f"http://{node.host_address}:{store.port}/artifacts/{key}"

        told = {"SOURCE_URL": url(source), "SOURCE_TOKEN": "in", "SLUG_URL": url(slug)}
        build = {"command": ["/runner/build"], "env": _env({**told, "SLUG_TOKEN": "out"})}
        code, said = ended(
            node, namespace, pod(_image(built, "stack"), 2000, build, ["/app", "/tmp"])
        )
        assert code == 0, said
        assert "-----> Compiled slug size is" in said
        node.kube("--namespace", namespace, "delete", "pod", "tried", "--now")
        run = {
            "args": ["start", "web"],
            "env": _env({"SLUG_URL": url(slug), "SLUG_TOKEN": "out", "COLOUR": "red"}),
        }
        code, said = ended(
            node, namespace, pod(_image(built, "stack"), 2000, run, ["/app", "/tmp"])
        )
    assert code == 0, said
    assert said.startswith("2000 /app/.deis/python ")
    assert "'COLOUR': 'red'" in said
    assert "'HOME': '/app'" in said
    assert "SLUG_" not in said


def _image(built: tuple[str, str], name: str) -> str:
    prefix, tag = built
    return f"{prefix}/{name}:{tag}"


def _env(variables: dict[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in variables.items()]
