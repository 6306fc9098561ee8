"""From a release's configuration to what a runtime is asked to run."""

from typing import Any

import pytest

from deis_bus.contracts.runtime import Probe, Process
from deis_platform.settings import SettingsError, load
from deis_services.controller import specs
from deis_services.controller.model import Config
from deis_services.controller.settings import DeploySettings
from tests.unit.deis_services.controller.rules.samples import build

PLAIN = load(DeploySettings, {})
OTHER = load(
    DeploySettings,
    {
        "DEIS_DEPLOY_TIMEOUT": "60",
        "DEIS_DEPLOY_BATCHES": "4",
        "KUBERNETES_POD_TERMINATION_GRACE_PERIOD_SECONDS": "7",
        "KUBERNETES_DEPLOYMENTS_REVISION_HISTORY_LIMIT": "0",
        "DEIS_DEFAULT_CONFIG_TAGS": '{"disk": "ssd"}',
    },
)
READY = "readinessProbe"
ALIVE = "livenessProbe"


def web(config: Config, defaults: DeploySettings = PLAIN) -> Process:
    """The routable type with that configuration."""
    return specs.process("web", 1, build(), config, "web", defaults)


def test_the_defaults_are_those_of_the_operator() -> None:
    assert (OTHER.seconds, OTHER.batch, OTHER.grace_seconds, OTHER.revisions) == (60, 4, 7, 0)
    assert OTHER.tags == (("disk", "ssd"),)
    assert (PLAIN.seconds, PLAIN.batch, PLAIN.grace_seconds, PLAIN.revisions) == (120, 0, 30, 10)
    assert PLAIN.tags == ()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("DEIS_DEPLOY_TIMEOUT", "0"),
        ("DEIS_DEPLOY_TIMEOUT", "86401"),
        ("DEIS_DEPLOY_BATCHES", "-1"),
        ("DEIS_DEFAULT_CONFIG_TAGS", "disk=ssd"),
        ("DEIS_DEFAULT_CONFIG_TAGS", '{"disk": 1}'),
    ],
)
def test_a_default_that_cannot_be_is_refused_at_start(name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=name):
        load(DeploySettings, {name: text})


def test_an_instance_has_the_grace_of_its_type_its_app_or_the_platform() -> None:
    app = {"KUBERNETES_POD_TERMINATION_GRACE_PERIOD_SECONDS": "9"}
    own = Config(values=app, termination_grace_period={"web": "3"})
    assert web(own, OTHER).grace_seconds == 3.0
    assert web(Config(values=app), OTHER).grace_seconds == 9.0
    assert web(Config(), OTHER).grace_seconds == 7.0
    assert web(Config()).grace_seconds == 30.0


def test_the_variables_of_health_checks_reach_the_probe() -> None:
    told = {
        "HEALTHCHECK_URL": "/up",
        "HEALTHCHECK_INITIAL_DELAY": "11",
        "HEALTHCHECK_TIMEOUT": "12",
        "HEALTHCHECK_PERIOD_SECONDS": "13",
        "HEALTHCHECK_FAILURE_THRESHOLD": "14",
    }
    assert web(Config(values=told)).probe == Probe(
        path="/up",
        initial_delay_seconds=11.0,
        timeout_seconds=12.0,
        period_seconds=13.0,
        failure_threshold=14,
    )
    assert web(Config(values={"HEALTHCHECK_URL": "/up"})).probe == Probe(path="/up")
    assert web(Config(values={"HEALTHCHECK_TIMEOUT": "1"})).probe is None
    none = dict.fromkeys(told, "0") | {"HEALTHCHECK_URL": "/up"}
    probe = web(Config(values=none)).probe
    assert probe is not None
    assert (probe.timeout_seconds, probe.period_seconds, probe.failure_threshold) == (1.0, 1.0, 1)
    other = specs.process("worker", 1, build(), Config(values=told), "web", PLAIN)
    assert other.probe is None


@pytest.mark.parametrize(
    ("config", "seconds"),
    [
        ({}, 120.0),
        ({"values": {"DEIS_DEPLOY_TIMEOUT": "30"}}, 30.0),
        ({"values": {"HEALTHCHECK_INITIAL_DELAY": "5"}}, 125.0),
        ({"healthcheck": {"web": {READY: {"initialDelaySeconds": 150}}}}, 270.0),
        ({"healthcheck": {"web": {READY: {"initialDelaySeconds": 5}, ALIVE: {}}}}, 170.0),
        ({"healthcheck": {"web/cmd": {ALIVE: {"initialDelaySeconds": 0}}}}, 120.0),
        ({"healthcheck": {"web": {READY: {"initialDelaySeconds": -9}}}}, 120.0),
        ({"healthcheck": {"web": {READY: {"initialDelaySeconds": 2**31 - 1}}}}, 86_520.0),
        ({"healthcheck": {"web": {}}}, 120.0),
    ],
)
def test_a_batch_has_time_until_the_health_checks_begin(
    config: dict[str, Any], seconds: float
) -> None:
    assert specs.batch_seconds(PLAIN, Config(**config)) == seconds


@pytest.mark.parametrize(
    ("values", "defaults", "counts", "seconds"),
    [
        ({}, PLAIN, {}, 120.0),
        ({}, PLAIN, {"web": 0}, 120.0),
        ({}, PLAIN, {"web": 1, "worker": 3}, 360.0),
        ({}, OTHER, {"web": 10}, 180.0),
        ({"DEIS_DEPLOY_BATCHES": "5"}, OTHER, {"web": 10}, 120.0),
        ({"DEIS_DEPLOY_BATCHES": "0"}, OTHER, {"web": 10}, 600.0),
        ({"DEIS_DEPLOY_BATCHES": "5", "DEIS_DEPLOY_TIMEOUT": "7"}, PLAIN, {"web": 10}, 14.0),
    ],
)
def test_a_rollout_has_the_time_of_its_batches(
    values: dict[str, str], defaults: DeploySettings, counts: dict[str, int], seconds: float
) -> None:
    assert specs.rollout_seconds(defaults, Config(values=values), counts) == seconds
