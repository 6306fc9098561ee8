"""NATS, PostgreSQL and the object store of somebody else, with the values of the page alone."""

import functools
import json
from pathlib import Path
from typing import Any

import pytest

from deis_bus.users import SERVICES
from deis_services.platform_cli import certificate
from integration.cluster.node import Node
from integration.kubernetes.installed import NAMESPACE, merged
from integration.kubernetes.looking import status
from integration.kubernetes.platform import ClusterPlatform
from integration.kubernetes.pods import apply, wait_ready
from integration.kubernetes.reader import values_of
from integration.kubernetes.waiting import until

pytestmark = [pytest.mark.full, pytest.mark.kubernetes, pytest.mark.timeout(1200)]

NATS = (
    "deis-platform nats-configuration --passwords /users --tls /tls --store /tmp/store"
    " --output /tmp/nats.conf && exec nats-server --config /tmp/nats.conf"
)
PORTS = {"nats": 4222, "database": 5432, "objects": 8333}


def secrets(folder: Path, namespace: str) -> list[dict[str, Any]]:
    """What both sides know, under the page's names: certificate, passwords, keys."""
    certificate.ensure(folder / "tls.crt", folder / "tls.key", f"{namespace}.svc")
    crt, key = (folder / "tls.crt").read_text(), (folder / "tls.key").read_text()
    data = {
        "outside-tls": {"tls.crt": crt, "tls.key": key},
        "deis-outside-nats": {name: f"{name}-word" for name in SERVICES},
        "deis-outside-nats-ca": {"ca.crt": crt},
        "deis-outside-database": {"password": "it's a word"},
        "deis-outside-database-ca": {"ca.crt": crt},
        "deis-s3": {"access-key": "outside", "secret-key": "outside-word"},
    }
    return [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": values}
        for name, values in data.items()
    ]


def server(name: str, image: str, mounts: dict[str, str], **container: Any) -> dict[str, Any]:
    """A pod of one of our images, with Secrets in folders and room at /data and /tmp."""
    places = {"data": "/data", "tmp": "/tmp", **mounts}
    probe = {"tcpSocket": {"port": PORTS[name]}, "periodSeconds": 1}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"role": name}},
        "spec": {
            "securityContext": {"fsGroup": 2001},
            "containers": [
                {
                    "name": name,
                    "image": image,
                    "readinessProbe": probe,
                    "volumeMounts": [
                        {"name": volume, "mountPath": path} for volume, path in places.items()
                    ],
                    **container,
                }
            ],
            "volumes": [
                {"name": volume, "secret": {"secretName": volume, "defaultMode": 0o440}}
                if volume in mounts
                else {"name": volume, "emptyDir": {}}
                for volume in places
            ],
        },
    }


def service(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"role": name}, "ports": [{"port": PORTS[name]}]},
    }


def start(node: Node, namespace: str, images: dict[str, str], folder: Path) -> None:
    """All three, in that namespace."""
    prefix = f"{images['prefix']}/{{}}:{images['tag']}"
    variables = {
        "DEIS_DATABASE_PASSWORD_FILE": "/word/password",
        "DEIS_DATABASE_TLS": "/tls",
        "RCLONE_AUTH_KEY": '"outside,outside-word"',
    }
    env = [{"name": name, "value": value} for name, value in variables.items()]
    serve = ["serve", "s3", "/data", "--addr=0.0.0.0:8333", "--cache-dir=/tmp", "--config="]
    tls, users, word = (
        {"outside-tls": "/tls"},
        {"deis-outside-nats": "/users"},
        {"deis-outside-database": "/word"},
    )
    apply(
        node,
        namespace,
        *secrets(folder, namespace),
        *(service(name) for name in PORTS),
        server("nats", prefix.format("platform"), tls | users, command=["bash", "-c", NATS]),
        server("database", prefix.format("postgres"), tls | word, env=env),
        server("objects", prefix.format("objects"), {}, env=env, args=serve),
    )
    wait_ready(node, namespace, *PORTS)


def outside(namespace: str) -> dict[str, Any]:
    """The values that the page gives for them, all three together."""
    names = {
        "https://s3.example.com": f"http://objects.{namespace}.svc:8333",
        "db.example.com": f"database.{namespace}.svc",
        "nats.example.com": f"nats.{namespace}.svc",
    }
    page = "kubernetes-install.md"
    first = values_of(page, "values.yaml", names)
    ours = {name: first[name] for name in ("global", "objects")}
    others = (values_of(page, f"outside-{name}.yaml", names) for name in ("database", "nats"))
    return functools.reduce(merged, others, ours)


def test_servers_of_somebody_else_with_values_alone(
    platform: ClusterPlatform, namespace: str, tmp_path: Path
) -> None:
    it, node = platform.installation, platform.node
    start(node, namespace, it.values["images"], tmp_path)
    apply(node, NAMESPACE, *secrets(tmp_path, namespace))

    def asked() -> bool:
        return status(platform.address, "/v2/apps/", platform.host("deis")) == 401

    try:
        it.apply(values=outside(namespace))
        assert it.get("statefulsets")["items"] == []
        until(asked, "an answer that needs bus and database", 60)
        assert json.loads(node.kube(
            "exec", "-n", namespace, "database", "--", "psql", "-Atc",
            "SELECT to_json(count(*) > 0) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)"
            " WHERE ssl AND usename = 'deis'", "-U", "postgres", "-d", "deis",
        ))  # fmt: skip
    finally:
        it.apply()
        names = [one["metadata"]["name"] for one in secrets(tmp_path, namespace)]
        node.kube("delete", "secret", "-n", NAMESPACE, *names)
    until(asked, "the same of our own servers", 60)
