"""Pods and Secrets of one-off commands and builds; which of them nobody needs any more."""

import base64
import json
from typing import Any

import msgspec
import pytest

from deis_bus.contracts.runtime import BuildRun, RunTask
from deis_platform import build_environment
from deis_platform.runtime.kubernetes import (
    build_output,
    build_pods,
    builds,
    names,
    retiring,
    run_pods,
    runs,
    state,
    views,
)
from tests.unit.deis_platform.runtime_kubernetes.given import (
    APP,
    FACTS,
    IMAGE,
    NOW,
    SLUG,
    ago,
    container,
    pod,
)

RUN = RunTask(
    app=APP.app,
    appuuid=APP.appuuid,
    release=2,
    instance="blog-run-abcde",
    artifact=SLUG,
    environment={"PASSWORD": "s3cret"},
    command="echo s3cret",
    stream="stream",
)
BUILD = BuildRun(
    id="push/1",
    kind="buildpack",
    app=APP.app,
    appuuid=APP.appuuid,
    sha="c0ffee0123456789",
    source_url="http://a/s",
    source_token="t-source",
    slug_url="http://a/x",
    slug_token="t-slug",
    environment={"PASSWORD": "s3cret", "not a name": "x", "..": "y"},
    stream="stream",
)
SECRETS = ("s3cret", "t-slug", "t-source")


@pytest.mark.parametrize("artifact", [SLUG, IMAGE], ids=["slug", "image"])
@pytest.mark.parametrize("tty", [False, True])
def test_a_commands_pod_tells_nothing_of_it(artifact: Any, tty: bool) -> None:
    task = msgspec.structs.replace(RUN, artifact=artifact, tty=tty)
    made = run_pods.pod(task, FACTS)
    assert not any(word in json.dumps(made) for word in SECRETS)
    (one,) = made["spec"]["containers"]
    assert (one["name"], one["stdinOnce"], one["tty"]) == ("blog-run", True, tty)
    secret = run_pods.secret(task)
    assert base64.b64decode(secret["data"][run_pods.COMMAND]) == b"echo s3cret"
    assert {variable["name"] for variable in one["env"]} == secret["data"].keys()


def test_a_builds_pod_keeps_the_restricted_rules_and_tells_no_secret() -> None:
    made = build_pods.pod(BUILD, FACTS)
    assert not any(word in json.dumps(made) for word in SECRETS)
    assert made["spec"]["automountServiceAccountToken"] is False
    security = made["spec"]["containers"][0]["securityContext"]
    assert security == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert made["metadata"]["name"].startswith("slugbuild-blog-c0ffee01-")
    told, files = build_pods.secrets(BUILD, FACTS)
    kept = {name: base64.b64decode(text).decode() for name, text in told["data"].items()}
    assert kept == build_environment.told(BUILD, build_pods.ENVIRONMENT)
    assert files["data"].keys() == {"PASSWORD"}  # what can be no file is left out
    assert build_pods.pod_of(files["metadata"]["name"]) == told["metadata"]["name"]


def test_a_build_has_the_same_name_again_and_another_attempt_another() -> None:
    again = msgspec.structs.replace(BUILD, stream="other")
    second = msgspec.structs.replace(BUILD, id="push/2")
    assert build_pods.name(BUILD) == build_pods.name(again) != build_pods.name(second)
    long = msgspec.structs.replace(BUILD, app="a" * 63)
    assert len(build_pods.name(long)) <= 63


def build_pod(status: dict[str, Any], **annotations: str) -> views.Pod:
    """A build's pod."""
    limits = {build_pods.TIME_LIMIT: "60", build_pods.OUTPUT_LIMIT: "100"}
    return pod("build", status=status, meta={"annotations": limits | annotations})


def over(seconds: float, **end: Any) -> dict[str, Any]:
    """A pod that ended so long ago."""
    terminated = {"terminated": {"finishedAt": ago(seconds), **end}}
    phase = "Failed" if end.get("exitCode") else "Succeeded"
    return {"phase": phase} | container(state=terminated)


@pytest.mark.parametrize(
    ("status", "annotations", "expected"),
    [
        (over(1, exitCode=3), {}, ""),
        (over(1), {}, ""),
        (over(1, exitCode=137), {build_pods.ENDED: "too much"}, "too much"),
        (
            over(1, exitCode=137) | {"reason": "DeadlineExceeded"},
            {},
            "The build took longer than 1 min and was ended",
        ),
        (
            {"phase": "Failed", "reason": "Evicted", "message": "disk", "containerStatuses": []},
            {},
            "The build was ended: Evicted: disk",
        ),
        (
            over(1, exitCode=137, reason="OOMKilled"),
            {},
            "The build was killed: it used more memory than its limit (OOMKilled)",
        ),
    ],
)
def test_what_ended_a_build(
    status: dict[str, Any], annotations: dict[str, str], expected: str
) -> None:
    assert build_output.why_ended(build_pod(status, **annotations)) == expected


@pytest.mark.parametrize(
    ("status", "created", "expected"),
    [
        (over(299), ago(900), False),
        (over(301), ago(900), True),
        ({}, ago(9999), True),
        ({}, ago(600), False),
    ],
)
def test_builds_that_nobody_asks_for_any_more(
    status: dict[str, Any], created: str, expected: bool
) -> None:
    found = build_pod(status)
    meta = msgspec.structs.replace(found.metadata, creation_timestamp=created)
    assert builds._over(msgspec.structs.replace(found, metadata=meta), NOW) is expected


def test_limits_that_are_nonsense_are_none() -> None:
    assert build_pods.limits(build_pod({})) == (60.0, 100)
    assert build_pods.limits(build_pod({}, **{build_pods.TIME_LIMIT: "x"})) == (0.0, 0)


def test_commands_that_ended_long_ago_and_secrets_without_a_pod(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(state, "now", lambda: NOW)
    run = {"type": "run"}
    assert runs._over(pod(labels=run, status=over(61)))
    assert not runs._over(pod(labels=run, status=over(59)))
    assert not runs._over(pod(labels=run))
    assert not runs._over(pod(status=over(61)))  # an instance is the Deployment's
    secret = msgspec.convert(
        {
            "metadata": {
                "name": "blog-run-a-env",
                "labels": {"type": "run-env"},
                "creationTimestamp": ago(61),
            }
        },
        views.View,
    )
    assert runs._orphan(secret, {})
    assert not runs._orphan(secret, {"blog-run-a": pod()})
    fresh = msgspec.structs.replace(secret.metadata, creation_timestamp=ago(5))
    assert not runs._orphan(msgspec.structs.replace(secret, metadata=fresh), {})


def deployment(kind: str, replicas: int) -> views.Deployment:
    """A Deployment that wants so many."""
    return msgspec.convert(
        {"metadata": {"name": kind, "labels": {"type": kind}}, "spec": {"replicas": replicas}},
        views.Deployment,
    )


LEAVING = {names.RETIRING: "true"}


@pytest.mark.parametrize(
    ("pods", "expected"),
    [
        ([pod("old", labels=LEAVING)], []),
        ([pod("old", labels=LEAVING), pod("new")], ["old"]),
        ([pod("old", labels=LEAVING), pod("new", status=container(state={"running": {}}))], []),
        ([pod("a", labels=LEAVING), pod("b", labels=LEAVING), pod("c")], ["a", "b"]),
        ([pod("old", labels=LEAVING, meta={"deletionTimestamp": ago(1)}), pod("new")], []),
        ([pod("old", labels={**LEAVING, "type": "gone"})], ["old"]),
        ([pod("old", labels=LEAVING), pod("w", labels={"type": "worker"})], []),
    ],
)
def test_who_retires_goes_when_another_one_is_ready(
    pods: list[views.Pod], expected: list[str]
) -> None:
    wanted = [deployment("web", 1), deployment("worker", 1)]
    assert [one.metadata.name for one in retiring.replaced(pods, wanted)] == expected


def test_mirrors_keep_what_is_ours_alone() -> None:
    found = msgspec.convert(
        {
            "metadata": {
                "name": "x",
                "labels": {"app": "blog", "pod-template-hash": "1", "helm": "x"},
                "annotations": {
                    "kubectl.kubernetes.io/last-applied-configuration": "x" * 10_000,
                    names.UUID: "u",
                },
                "managedFields": [{"manager": "deis"}],
                "ownerReferences": [{"kind": "ReplicaSet", "name": "a", "uid": "b"}],
            },
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        },
        views.Pod,
    )
    assert found.metadata.labels == {"app": "blog"}
    assert found.metadata.annotations == {names.UUID: "u"}
    assert found.metadata.owner_references == ()
    assert found.status.conditions == ()
