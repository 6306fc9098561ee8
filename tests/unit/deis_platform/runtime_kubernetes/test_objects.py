"""From a spec to the objects of its namespace (api.md 24 to 26)."""

import base64
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deis_bus.contracts.runtime import Probe
from deis_platform.runtime.kubernetes import names, objects, pods
from tests.unit.deis_platform.runtime_kubernetes.given import API, FACTS, IMAGE, SLUG, process, spec

LABEL = st.from_regex(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)


def template(**more: Any) -> dict[str, Any]:
    """The pod spec of `web`, with what the process and the spec say."""
    top = {name: more.pop(name) for name in ("artifact", "environment") if name in more}
    type_ = more.pop("type_", "web")
    one = process(type_, **more)
    found: dict[str, Any] = pods.template(spec(1, 2, one, **top), one, FACTS)["spec"]
    return found


def container(**more: Any) -> dict[str, Any]:
    """Its container."""
    found: dict[str, Any] = template(**more)["containers"][0]
    return found


@given(LABEL, LABEL)
def test_names_of_pods_stay_within_a_label(app: str, kind: str) -> None:
    name = names.deployment(app, kind)
    assert len(name) <= names.MAX_DEPLOYMENT
    assert name == f"{app}-{kind}" or len(f"{app}-{kind}") > names.MAX_DEPLOYMENT


@given(LABEL, LABEL, LABEL)
def test_two_types_of_an_app_never_share_a_name(app: str, one: str, two: str) -> None:
    assert (names.deployment(app, one) == names.deployment(app, two)) == (one == two)


@given(st.integers(1, 10**6))
def test_a_release_is_read_off_its_label(release: int) -> None:
    assert names.release_of(names.labels("blog", "web", release)) == release
    assert names.release_of({names.VERSION: f"x{release}"}) == 0


@pytest.mark.parametrize(
    ("artifact", "type_", "command", "expected"),
    [
        (SLUG, "web", "serve it", {"command": ["/runner/init"], "args": ["serve it"]}),
        (SLUG, "web", "", {"command": ["/runner/init"], "args": ["start", "web"]}),
        (IMAGE, "cmd", "", {}),
        (IMAGE, "cmd", "serve it", {"args": ["serve", "it"]}),
        (IMAGE, "web", "a; b", {"command": ["/bin/bash", "-c"], "args": ["a; b"]}),
        (IMAGE, "web", "", {"command": ["/bin/bash", "-c"], "args": ["start", "web"]}),
    ],
)
def test_what_a_container_starts(
    artifact: Any, type_: str, command: str, expected: dict[str, Any]
) -> None:
    made = container(type_=type_, command=command, artifact=artifact)
    assert {name: made[name] for name in ("command", "args") if name in made} == expected


PORT_PROBE = {"periodSeconds": 1, "timeoutSeconds": 5, "failureThreshold": 120}
OWN = {"livenessProbe": {"tcpSocket": {"port": 1}}}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, {"readinessProbe": {"tcpSocket": {"port": 5000}} | PORT_PROBE}),
        ({"routable": False}, {}),
        ({"probes": OWN}, OWN),  # also where it is a liveness probe alone
        ({"artifact": IMAGE}, {}),
        (
            {"artifact": IMAGE, "environment": {"PORT": "8000"}},
            {"readinessProbe": {"tcpSocket": {"port": 8000}} | PORT_PROBE},
        ),
        (
            {"probe": Probe(path="/up", initial_delay_seconds=9.0)},
            {
                "readinessProbe": {
                    "httpGet": {"path": "/up", "port": 5000},
                    "initialDelaySeconds": 9,
                    "periodSeconds": 1,
                    "timeoutSeconds": 5,
                    "failureThreshold": 3,
                }
            },
        ),
    ],
)
def test_probes(more: dict[str, Any], expected: dict[str, Any]) -> None:
    made = container(**more)
    assert {name: value for name, value in made.items() if name.endswith("Probe")} == expected


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, {"preStop": {"sleep": {"seconds": 3}}}),
        ({"routable": False}, None),
        (
            {"pre_stop": "bye"},
            {"preStop": {"exec": {"command": ["/bin/bash", "-c", 'sleep 3; eval "$0"', "bye"]}}},
        ),
        (
            {"routable": False, "post_start": "hi"},
            {"postStart": {"exec": {"command": ["/bin/bash", "-c", "hi"]}}},
        ),
    ],
)
def test_lifecycle(more: dict[str, Any], expected: dict[str, Any] | None) -> None:
    assert container(**more).get("lifecycle") == expected


def test_grace_has_the_time_before_sigterm_on_top() -> None:
    assert template(grace_seconds=10.0)["terminationGracePeriodSeconds"] == 13
    plain = template(grace_seconds=10.0, routable=False)
    assert plain["terminationGracePeriodSeconds"] == 10


def test_variables_come_from_the_secret_and_none_is_named_twice() -> None:
    environment = {"B": "2", "A": "1", "DEIS_EXPOSE_POD_IP": "True", "POD_IP": "mine"}
    made = container(environment=environment)["env"]
    found = [one["name"] for one in made]
    assert found == sorted(set(found))
    assert all(one["valueFrom"]["secretKeyRef"]["name"] == "blog-v2-env" for one in made)
    exposed = container(environment={"DEIS_EXPOSE_POD_IP": "True"})["env"][-1]
    assert exposed == {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    values = objects.env_secret(spec(environment=environment))["data"]
    assert values.keys() == set(found)
    assert base64.b64decode(values["PORT"]) == b"5000"
    assert not any(word in json.dumps(made) for word in ("t-slug", "mine"))


def test_limits_and_requests() -> None:
    made = container(memory_bytes=100, memory_request_bytes=50, cpus=0.5)
    assert made["resources"] == {
        "limits": {"memory": "100", "cpu": "500m"},
        "requests": {"memory": "50"},
    }
    assert container()["resources"] == {}


def test_slugs_run_closed_and_images_as_they_are() -> None:
    closed, own = template(), template(artifact=IMAGE)
    assert closed["securityContext"]["runAsNonRoot"] is True
    assert closed["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
    assert "runAsUser" not in own["securityContext"]
    for pod in (closed, own):
        assert pod["automountServiceAccountToken"] is False
        assert pod["containers"][0]["securityContext"]["allowPrivilegeEscalation"] is False


def test_the_service_leads_to_the_routable_type_that_has_instances() -> None:
    both = spec(1, 2, process("cmd", 2, routable=True), process("web", 0), process("worker"))
    assert objects.service(both)["spec"]["selector"]["type"] == "cmd"
    none = spec(1, 2, process("worker"))
    assert objects.service(none)["spec"]["selector"]["type"] == "web"
    assert objects.bare_service("blog", "u")["spec"]["selector"]["type"] == "web"
    (port,) = objects.service(spec(environment={"PORT": "8000"}))["spec"]["ports"]
    assert (port["port"], port["targetPort"], port["name"]) == (80, 8000, "http")


@pytest.mark.parametrize(
    ("image", "registry", "host"),
    [
        ("blog:1", {}, "https://index.docker.io/v1/"),
        ("ann/blog", {}, "https://index.docker.io/v1/"),
        ("docker.io/ann/blog", {}, "https://index.docker.io/v1/"),
        ("quay.io/ann/blog", {}, "quay.io"),
        ("localhost/blog", {}, "localhost"),
        ("registry:5000/blog", {}, "registry:5000"),
        ("quay.io/ann/blog", {"hostname": "other.example.com"}, "other.example.com"),
    ],
)
def test_the_registry_of_a_pull_secret(image: str, registry: dict[str, str], host: str) -> None:
    secret = objects.pull_secret("blog", {"username": "ann", "password": "pw", **registry}, image)
    assert "immutable" not in secret
    config = json.loads(base64.b64decode(secret["data"][".dockerconfigjson"]))
    login = base64.b64encode(b"ann:pw").decode()
    assert config == {"auths": {host: {"auth": login}}}


@pytest.mark.parametrize(
    ("batch", "count", "nodes", "expected"),
    [(0, 5, 3, 3), (0, 2, 3, 2), (0, 0, 3, 3), (4, 9, 1, 4), (0, 9, 0, 1), (0, 9, 2, 2)],
)
def test_as_many_new_pods_at_once_as_there_are_nodes(
    batch: int, count: int, nodes: int, expected: int
) -> None:
    facts = msgspec.structs.replace(FACTS, nodes=nodes)
    made = objects.deployment(spec(batch=batch), process(count=count), facts)["spec"]
    assert made["strategy"]["rollingUpdate"]["maxSurge"] == expected


@pytest.mark.parametrize(
    ("batch", "counts", "nodes", "expected"),
    [
        (0, (), 1, 1),
        (0, (0,), 1, 1),
        (0, (1,), 1, 1),
        (0, (10,), 1, 10),
        (0, (10,), 3, 4),
        (0, (2,), 3, 1),
        (5, (10, 11), 1, 3),
    ],
)
def test_a_rollout_takes_so_many_batches(
    batch: int, counts: tuple[int, ...], nodes: int, expected: int
) -> None:
    types = [process(f"t{number}", count) for number, count in enumerate(counts)]
    wanted = msgspec.structs.replace(spec(batch=batch), processes=tuple(types))
    assert objects.batches(wanted, nodes) == expected


def test_so_many_earlier_rollouts_are_kept() -> None:
    made = objects.deployment(spec(revisions=2), process(), FACTS)["spec"]
    assert made["revisionHistoryLimit"] == 2


def test_a_rollout_never_takes_a_pod_before_another_is_ready() -> None:
    made = objects.deployment(spec(), process(), FACTS)["spec"]
    assert made["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    same = objects.deployment(spec(9), process(), FACTS)["spec"]
    assert made["template"] == same["template"]  # going back to a release starts nothing anew


def test_apps_reach_nothing_outside_while_nobody_knows_where_the_api_server_is() -> None:
    unknown = msgspec.structs.replace(FACTS, api=None)
    egress = objects.network_policy("blog", unknown)["spec"]["egress"]
    assert not any("ipBlock" in to for rule in egress for to in rule.get("to", []))


def test_apps_reach_neither_the_metadata_address_nor_other_parts_of_the_platform() -> None:
    egress = objects.network_policy("blog", FACTS)["spec"]["egress"]
    (outside,) = [to["ipBlock"] for rule in egress for to in rule.get("to", []) if "ipBlock" in to]
    assert outside["except"] == ["169.254.0.0/16", f"{API}/32"]
    namespaces = [
        to["namespaceSelector"]["matchLabels"]
        for rule in egress
        for to in rule.get("to", [])
        if "namespaceSelector" in to
    ]
    assert {names.PLATFORM: "deis"} in namespaces
