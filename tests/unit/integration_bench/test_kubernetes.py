"""The parts of `make bench-kubernetes` that only compute."""

import json
from pathlib import Path
from typing import Any

import pytest

from integration.bench.kubernetes.bare import NAME, SECRET, bare_deployment, bare_secret
from integration.bench.kubernetes.installing import moment
from integration.bench.kubernetes.many import through
from integration.bench.kubernetes.memory import (
    OBJECTS,
    Process,
    pod_of,
    processes,
    report,
    report_per_app,
)
from integration.bench.kubernetes.writes import since, writes

UID = "a5be3cc8-f049-4dff-be9f-015e38c13329"
METRICS = """# TYPE apiserver_request_total counter
apiserver_request_total{code="200",resource="services",scope="resource",subresource="",verb="APPLY"} 7
apiserver_request_total{code="201",resource="services",scope="resource",subresource="",verb="APPLY"} 2
apiserver_request_total{code="200",resource="namespaces",subresource="",verb="PATCH"} 1e+03
apiserver_request_total{code="200",resource="namespaces",subresource="",verb="LIST"} 5
apiserver_request_total{code="200",resource="deployments",subresource="status",verb="PUT"} 9
apiserver_request_total{code="200",resource="leases",subresource="",verb="PUT"} 99
apiserver_request_duration_seconds_count{resource="services",subresource="",verb="APPLY"} 3
"""


def test_writes_to_what_is_ours_are_counted_whatever_the_answer() -> None:
    assert writes(METRICS) == {("APPLY", "services"): 9, ("PATCH", "namespaces"): 1000}


def test_only_what_came_to_it_is_told() -> None:
    before = {("APPLY", "services"): 9, ("PATCH", "namespaces"): 2}
    after = {**before, ("PATCH", "namespaces"): 5, ("DELETE", "secrets"): 1}
    assert since(before, after) == {("PATCH", "namespaces"): 3, ("DELETE", "secrets"): 1}


@pytest.mark.parametrize(
    ("cgroups", "uid"),
    [
        (f"0::/node/kubepods/burstable/pod{UID}/c01aba54", UID),
        (f"9:memory:/kubepods.slice/kubepods-pod{UID.replace('-', '_')}.slice/cri-1.scope", UID),
        ("0::/system.slice/ssh.service", ""),
    ],
)
def test_the_pod_of_a_process_is_in_its_cgroup(cgroups: str, uid: str) -> None:
    assert pod_of(cgroups) == uid


def test_processes_are_sorted_by_pod_and_others_left_out(tmp_path: Path) -> None:
    for pid, cgroup in (("12", f"0::/kubepods/pod{UID}/one"), ("13", "0::/user.slice")):
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "cgroup").write_text(f"{cgroup}\n")
        (tmp_path / pid / "comm").write_text("nginx\n")
    (tmp_path / "14").mkdir()  # ended meanwhile
    (tmp_path / "meminfo").touch()
    assert processes(tmp_path) == {UID: [Process(12, "nginx")]}


def _lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(row) for row in capsys.readouterr().out.splitlines()]


def test_the_object_store_is_shown_and_not_in_the_sum(capsys: pytest.CaptureFixture[str]) -> None:
    report({"deis-router": 111_000_000, "deis-nats": 20_000_000, OBJECTS: 900_000_000}, "idle")
    rows = {row["what"]: row for row in _lines(capsys)}
    assert [rows[f"PSS of {name}, idle"]["met"] for name in ("deis-router", "deis-nats")] == [
        False,
        True,
    ]
    assert rows[f"PSS of {OBJECTS}, idle"]["met"] is None
    every = rows["PSS of all outside the object store, idle"]
    assert (every["ours"]["median"], every["met"]) == (131, True)


def test_a_service_whose_processes_were_not_found_misses(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report({"deis-router": 0}, "idle")
    assert _lines(capsys)[0]["met"] is False


def test_memory_of_an_app_is_what_came_to_it(capsys: pytest.CaptureFixture[str]) -> None:
    idle = {"deis-controller": 80_000_000, "deis-router": 60_000_000}
    busy = {"deis-controller": 90_000_000, "deis-router": 62_000_000}
    report_per_app(idle, busy, 1000)
    assert [row["ours"]["median"] for row in _lines(capsys)] == [10, 2]


PLAIN = "2026-01-02T03:04:0{} [info] worked through queue={} looks={} seconds=0.5"
AS_JSON = '2026-01-02T03:04:0{} {{"queue": "{}", "looks": {}, "_event": "worked through"}}'


@pytest.mark.parametrize("form", [PLAIN, AS_JSON])
def test_the_end_of_a_resync_is_when_all_were_looked_at(form: str) -> None:
    log = "\n".join(
        (
            form.format(1, "apps", 60),
            form.format(2, "cleaner", 500),
            form.format(3, "apps", 40),
            form.format(4, "apps", 100),
        )
    )
    assert through(log, 60).endswith(":01")
    assert through(log, 100).endswith(":03")
    assert through(log, 201) == ""


@pytest.mark.parametrize(
    ("text", "fraction"),
    [
        ("1970-01-01T00:01:00.123456789Z", 0.123456789),
        ("1970-01-01T01:01:00.5+01:00", 0.5),
        ("1970-01-01T00:01:00Z", 0.0),
    ],
)
def test_moments_have_fractions_of_any_length(text: str, fraction: float) -> None:
    assert moment(text) == pytest.approx(60 + fraction, abs=1e-6)


def test_the_bare_copy_differs_in_names_and_labels_alone() -> None:
    reference = {"secretKeyRef": {"name": "blog-v2-env", "key": "A"}}
    container = {
        "name": "blog-web",
        "image": "stack:1",
        "readinessProbe": {"tcpSocket": {"port": 5000}},
        "env": [{"name": "A", "valueFrom": reference}, {"name": "B", "value": "b"}],
    }
    ours = {
        "metadata": {"name": "blog-web", "namespace": "blog", "labels": {"app": "blog"}},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "blog"}},
            "strategy": {"type": "RollingUpdate"},
            "template": {
                "metadata": {"labels": {"app": "blog"}},
                "spec": {"containers": [container]},
            },
        },
    }
    copy = bare_deployment(ours)
    labels = copy["spec"]["template"]["metadata"]["labels"]
    assert copy["spec"]["selector"]["matchLabels"] == labels
    assert not labels.keys() & {"app", "heritage", "type", "version"}
    assert (copy["spec"]["replicas"], copy["spec"]["strategy"]) == (3, {"type": "RollingUpdate"})
    (made,) = copy["spec"]["template"]["spec"]["containers"]
    changed = {"secretKeyRef": {"name": SECRET, "key": "A"}}
    expected = [{"name": "A", "valueFrom": changed}, {"name": "B", "value": "b"}]
    assert made == container | {"name": NAME, "env": expected}
    assert reference["secretKeyRef"]["name"] == "blog-v2-env"


def test_the_bare_copy_has_the_variables_of_the_release() -> None:
    ours = {
        "metadata": {"name": "blog-v2-env", "namespace": "blog", "labels": {"heritage": "deis"}},
        "type": "Opaque",
        "immutable": True,
        "data": {"A": "YQ=="},
    }
    copy = bare_secret(ours)
    assert copy["metadata"]["name"] == SECRET
    assert copy["data"] == {"A": "YQ=="}
    assert "heritage" not in copy["metadata"]["labels"]
