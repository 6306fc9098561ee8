"""What can be said of the chart without helm; `make lint` renders it."""

import json
import re
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from deis_bus import users
from deis_platform.groups import RuntimeSettings
from deis_platform.settings import described
from deis_services.platform_cli.options import Options

HOUSE = Path(__file__).resolve().parents[2]
CHART = HOUSE / "charts" / "workflow"
TABLES = HOUSE / "docs" / "kubernetes-values.md"
COMMON = ("replicas", "resources", "nodeSelector", "env")
FREE = ("labels", "annotations", "serviceAnnotations", "quota", "metricsFrom", "tolerations")
"""Maps and lists whose content is the operator's."""
_ORIGINAL = """
global.storage global.database_location global.logger_redis_location global.influxdb_location
global.grafana_location global.registry_location global.host_port global.secret_prefix
global.experimental_native_ingress global.native_ingress global.use_cni
global.registry_proxy_bind_addr global.use_rbac global.gunicorn_workers global.conn_max_age
COMPONENT.org COMPONENT.docker_tag COMPONENT.pull_policy COMPONENT.limits_cpu
COMPONENT.limits_memory
controller.app_pull_policy controller.registration_mode controller.platform_domain
controller.ingress_class controller.k8s_api_verify_tls controller.deploy_hook_urls
controller.time_zone controller.deis_ignore_scheduling_failure
database.username database.password database.postgres.name database.postgres.username
database.postgres.password database.postgres.host database.postgres.port database.postgres.timeout
redis.db redis.host redis.port redis.password redis.addrs
fluentd.syslog.* fluentd.sources.* fluentd.output.disable_deis fluentd.boot.install_build_tools
fluentd.daemon_environment
monitor.grafana.user monitor.grafana.password monitor.grafana.allow_sign_up
monitor.grafana.persistence.enabled monitor.grafana.persistence.size
monitor.influxdb.url monitor.influxdb.database monitor.influxdb.user monitor.influxdb.password
monitor.influxdb.persistence.enabled monitor.influxdb.persistence.size
registry-token-refresher.token_refresh_time registry-token-refresher.off_cluster_registry.*
registry-token-refresher.ecr.* registry-token-refresher.gcr.*
router.platform_domain router.dhparam router.limits_cpu router.limits_memory router.requests_cpu
router.requests_memory router.rate_limit.qps router.rate_limit.burst router.deployment_annotations
router.service_annotations router.host_port.enabled router.service_type
builder.builder_pod_node_selector builder.git_lock_timeout
s3.accesskey s3.secretkey s3.region s3.builder_bucket s3.registry_bucket s3.database_bucket
azure.* gcs.* swift.*
workflow-manager.versions_api_url workflow-manager.doctor_api_url
"""
ORIGINAL = re.findall(r"\S+", _ORIGINAL)
"""Every value of components.md 1.17, 5.2, 6 and 10.1 to 10.3."""


@pytest.fixture(scope="module")
def values() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
    return found


def leaves(tree: dict[str, Any], above: str = "") -> Iterator[str]:
    """Paths of the values that can be set."""
    for name, value in tree.items():
        path = f"{above}{name}"
        if isinstance(value, dict) and value and name not in (*COMMON, *FREE):
            yield from leaves(value, f"{path}.")
        else:
            yield path


def rows(title: str) -> list[list[str]]:
    """The cells of the table below a title of the page."""
    text = TABLES.read_text().split(f"## {title}")[1].split("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def named(cell: str) -> list[str]:
    """The values that a cell names."""
    return re.findall(r"`([^`]+)`", cell)


def test_every_value_of_the_original_has_one_line() -> None:
    told = [name for row in rows("Where") for name in named(row[0])]
    assert sorted(told) == sorted(ORIGINAL)


def test_what_the_tables_name_is_in_the_chart_and_the_other_way_round(
    values: dict[str, Any],
) -> None:
    told = {name for row in rows("Where") for name in named(row[1])}
    told |= {name for row in rows("What is new") for name in named(row[0])}
    here = set(leaves(values))
    assert [one for one in told if not any(fnmatchcase(path, one) for path in here)] == []
    assert [path for path in here if not any(fnmatchcase(path, one) for one in told)] == []


def test_a_dropped_value_says_why() -> None:
    silent = [row[0] for row in rows("Where") if not named(row[1]) and "dropped" not in row[2]]
    assert silent == []


def test_the_defaults_fit_the_schema(values: dict[str, Any]) -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    jsonschema.validate(values, schema)
    mistakes: list[dict[str, Any]] = [
        {"gateway": {"replicas": 0}},
        {"routers": {}},
        {"registrationMode": "all"},
        {"global": {"storge": "s3"}},
        {"apps": {"quota": {"spec": {"hard": {"pods": "10"}}}}},
    ]
    for wrong in mistakes:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**values, **wrong}, schema)


def test_the_schema_knows_every_value(values: dict[str, Any]) -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())

    def paths(node: dict[str, Any], above: str = "") -> Iterator[str]:
        node = schema["definitions"][node["$ref"].split("/")[-1]] if "$ref" in node else node
        name = above.rstrip(".").rpartition(".")[2]
        if "properties" in node and name not in (*COMMON, *FREE):
            for key, below in node["properties"].items():
                yield from paths(below, f"{above}{key}.")
        else:
            yield above.rstrip(".")

    known = {path for path in paths(schema) if path != "database.settings"}
    here = {path for path in leaves(values) if not path.startswith("database.settings.")}
    assert known == here


def test_chart_and_project_have_one_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = tomllib.loads((HOUSE / "pyproject.toml").read_text())["project"]
    assert {str(chart["version"]), str(chart["appVersion"])} == {project["version"]}


def test_every_user_of_the_bus_has_a_password() -> None:
    line = re.search(r"range list (.*) }}", (CHART / "templates" / "secrets.yaml").read_text())
    assert line
    assert set(users.SERVICES) <= set(re.findall(r'"(\w+)"', line[1]))


def test_every_variable_that_the_templates_set_is_a_setting(
    settings_of_services: set[str],
) -> None:
    text = "".join(path.read_text() for path in (CHART / "templates").rglob("*.*"))
    told = set(re.findall(r"\bDEIS_[A-Z0-9_]+\b", text)) - {"DEIS_DATABASE_TLS"}
    assert told - settings_of_services == set()


@pytest.fixture(scope="module")
def settings_of_services() -> set[str]:
    """Every variable there is, by the page that lists them."""
    page = (HOUSE / "docs" / "operations.md").read_text()
    known = {variable.name for kind in (Options, RuntimeSettings) for variable in described(kind)}
    return known | set(re.findall(r"^\| `(DEIS_\w+)`", page, re.MULTILINE))
