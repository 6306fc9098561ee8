"""Configuration: checks and the merge (api.md 8)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deis_bus.errors import Refused
from deis_services.controller.model import Config
from deis_services.controller.rules import Invalid
from deis_services.controller.rules.config import Changes, Patch, changes, merge, validate_patch

LIMIT = 512 * 1024


def checked(body: dict[str, Any]) -> Patch:
    """A request's groups under the default limit."""
    return validate_patch(body, LIMIT)


def merged_with(current: Config, patch: dict[str, Any]) -> Config:
    """The merge under the default limit."""
    return merge(current, patch, LIMIT)


KEY = "Config keys must start with a letter or underscore and only contain [A-z0-9_]"
MEMORY = (
    "Memory limit format: <number><unit> or <number><unit>/<number><unit>, "
    "where unit = B, K, M or G"
)
CPU = "CPU limit format: <value> or <value>/<value>, where value must be a numeric"
TYPE = "Process types can only contain lowercase alphanumeric characters"
GRACE = "Termination Grace Period format: <value>, where value must be a numeric"


def wrong(body: dict[str, Any]) -> dict[str, list[str]]:
    with pytest.raises(Invalid) as caught:
        checked(body)
    return caught.value.fields


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("1A", "x", KEY),
        ("A-B", "x", KEY),
        ("A\n", "x", KEY),
        ("", "x", KEY),
        ("Ä", "x", KEY),
        ("A", "x\0", "A may not contain null characters"),
        ("A", "x" * 131_000, "A is longer than 131000 bytes, more than a variable can hold"),
        ("PORT", "http", "PORT can only be a numeric value"),
        ("PORT", "", "PORT can only be a numeric value"),
        ("PORT", "²", "PORT can only be a numeric value"),
        ("PORT", "0", "PORT needs to be between 1 and 65535"),
        ("PORT", "65536", "PORT needs to be between 1 and 65535"),
        ("PORT", "9" * 4000, "PORT needs to be between 1 and 65535"),
        ("DEIS_DEPLOY_TIMEOUT", "abc", "DEIS_DEPLOY_TIMEOUT can only be a numeric value"),
        ("DEIS_DEPLOY_TIMEOUT", "0", "DEIS_DEPLOY_TIMEOUT needs to be between 1 and 86400"),
        ("IMAGE_PULL_POLICY", "No", "IMAGE_PULL_POLICY can only be Always, IfNotPresent, Never"),
        ("HEALTHCHECK_TIMEOUT", "ten", "HEALTHCHECK_TIMEOUT can only be a numeric value"),
        (
            "HEALTHCHECK_URL",
            "http://example.com",
            "HEALTHCHECK_URL is missing a URI path (such as /healthz). "
            "Without it no health check can be done",
        ),
        (
            "HEALTHCHECK_URL",
            "healthz",
            "HEALTHCHECK_URL is missing a URI path (such as /healthz). "
            "Without it no health check can be done",
        ),
    ]
    + [
        (
            "HEALTHCHECK_URL",
            url,
            "HEALTHCHECK_URL can only be a URI path (such as /healthz) "
            "that does not contain other things such as query params",
        )
        for url in ("http://example.com/x", "/x?y", "/x#y", "//[", "/a b", "/a\r\nX: y", "/x?")
    ],
)
def test_values_that_are_refused(key: str, value: str, message: str) -> None:
    assert wrong({"values": {key: value}}) == {"values": [message]}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("_a1", ""),
        ("GREETING", "Grüß Gott\n"),
        ("PORT", "65535"),
        ("HEALTHCHECK_URL", "/healthz"),
        ("HEALTHCHECK_TIMEOUT", "0"),
        ("IMAGE_PULL_POLICY", "Always"),
        ("DEIS_DEPLOY_BATCHES", "0"),
    ],
)
def test_values_that_are_taken(key: str, value: str) -> None:
    assert checked({"values": {key: value}}) == {"values": {key: value}}


def test_scalars_become_texts_as_the_original_wrote_them() -> None:
    body = {"values": {"A": 1, "B": True, "C": 1.5, "D": {"x": [1]}, "E": None}}
    patch = checked(body)
    assert patch == {"values": {"A": "1", "B": "True", "C": "1.5", "D": "{'x': [1]}", "E": None}}


def test_a_group_may_be_a_string_of_json_and_unknown_keys_are_ignored() -> None:
    assert checked({"values": '{"A": "1"}', "owner": "eve"}) == {"values": {"A": "1"}}


def test_keys_that_are_unset_are_not_checked() -> None:
    assert checked({"values": {"1-": None}}) == {"values": {"1-": None}}


@pytest.mark.parametrize("group", ["values", "memory", "tags", "healthcheck", "registry"])
def test_groups_must_be_objects(group: str) -> None:
    assert wrong({group: ["a"]}) == {group: ['Expected a dictionary of items but got type "list".']}
    assert wrong({group: None}) == {group: ["This field may not be null."]}


def test_a_patch_has_a_bound() -> None:
    body = {"values": {f"K{n}": "x" * 100_000 for n in range(6)}}
    assert wrong(body) == {
        "values": ["The configuration of an application can hold at most 512 KB"]
    }


@pytest.mark.parametrize("value", ["1G", "64mb", "0", "0/100MB", "10B", "100K/1G", "1gb/1GB"])
def test_memory_that_is_taken(value: str) -> None:
    assert checked({"memory": {"web": value}}) == {"memory": {"web": value}}


@pytest.mark.parametrize("value", ["10", "1T", "1G/0", "1G/", "", "/1G", "-1G", "1G/1G/1G"])
def test_memory_that_is_refused(value: str) -> None:
    assert wrong({"memory": {"web": value}}) == {"memory": [MEMORY]}


@pytest.mark.parametrize("value", [0.5, "500m", "-1", ".123", "+1", "0.25/1", "100m/1", "1/1"])
def test_cpu_that_is_taken(value: object) -> None:
    assert checked({"cpu": {"web": value}}) == {"cpu": {"web": str(value)}}


@pytest.mark.parametrize("value", ["1M", "x", "", "1/", "1.", "1e3", "1/2/3"])
def test_cpu_that_is_refused(value: str) -> None:
    assert wrong({"cpu": {"web": value}}) == {"cpu": [CPU]}


def test_a_request_is_not_more_than_its_limit() -> None:
    assert wrong({"memory": {"web": "2G/1G"}, "cpu": {"web": "2/500m"}}) == {
        "memory": ["Memory request must not be more than the limit"],
        "cpu": ["CPU request must not be more than the limit"],
    }


def test_limits_are_of_process_types() -> None:
    assert wrong({"memory": {"Web": "1G"}, "cpu": {"a_b": "1"}}) == {
        "memory": [TYPE],
        "cpu": [TYPE],
    }


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("p" * 254 + "/a", "x", "Tag key prefixes must 253 characters or less."),
        ("-p/a", "x", "Tag key prefixes must be DNS subdomains."),
        ("/a", "x", "Tag key prefixes must be DNS subdomains."),
        ("a/b/c", "x", 'Tag keys must be alphanumeric or "-_.", and 1-63 characters.'),
        ("-a", "x", 'Tag keys must be alphanumeric or "-_.", and 1-63 characters.'),
        ("a" * 64, "x", 'Tag keys must be alphanumeric or "-_.", and 1-63 characters.'),
        ("a", "x y", 'Tag values must be alphanumeric or "-_.", and 1-63 characters.'),
    ],
)
def test_tags_that_are_refused(key: str, value: str, message: str) -> None:
    assert wrong({"tags": {key: value}}) == {"tags": [message]}


def test_tags_that_are_taken() -> None:
    tags = {"rack": "", "p" * 100 + ".example.com/ssd": "a.b_c-d", "a": "x" * 63}
    assert checked({"tags": tags}) == {"tags": tags}


@pytest.mark.parametrize("value", ["", "ten", "-1", "1.5", "9" * 6])
def test_grace_periods_that_are_refused(value: str) -> None:
    body = {"termination_grace_period": {"web": value}}
    assert wrong(body) == {"termination_grace_period": [GRACE]}


def test_hooks_and_grace_periods_become_texts() -> None:
    body = {"termination_grace_period": {"web": 10}, "lifecycle_pre_stop": {"web": 1}}
    assert checked(body) == {
        "lifecycle_pre_stop": {"web": "1"},
        "termination_grace_period": {"web": "10"},
    }


HTTP = {"httpGet": {"port": 80, "path": "/", "httpHeaders": [{"name": "a", "value": "b"}]}}


@pytest.mark.parametrize(
    ("probes", "message"),
    [
        ("x", "could not validate web: not an object"),
        ({"startupProbe": {}}, "Healthcheck keys must be either livenessProbe or readinessProbe"),
        ({"readinessProbe": 7}, "could not validate readinessProbe: not an object"),
        (
            {"readinessProbe": {"timeoutSeconds": "1"}},
            "could not validate readinessProbe: timeoutSeconds is not of type 'integer'",
        ),
        (
            {"readinessProbe": {"exec": {"command": []}}},
            "could not validate readinessProbe: exec: 'command' is required, a list of strings",
        ),
        (
            {"readinessProbe": {"exec": {"command": [1]}}},
            "could not validate readinessProbe: exec: 'command' is required, a list of strings",
        ),
        (
            {"readinessProbe": {"exec": "true"}},
            "could not validate readinessProbe: exec: not an object",
        ),
        (
            {"livenessProbe": {"tcpSocket": {"port": "80"}}},
            "could not validate livenessProbe: tcpSocket: 'port' is required, an integer",
        ),
        (
            {"livenessProbe": {"httpGet": {"port": True}}},
            "could not validate livenessProbe: httpGet: 'port' is required, an integer",
        ),
        (
            {"livenessProbe": {"httpGet": {"port": 80, "path": 1}}},
            "could not validate livenessProbe: httpGet: path is not of type 'string'",
        ),
        (
            {"livenessProbe": {"httpGet": {"port": 80, "httpHeaders": [{"name": "a"}]}}},
            "could not validate livenessProbe: httpGet: "
            "httpHeaders is not a list of names and values",
        ),
        (
            {"livenessProbe": HTTP | {"successThreshold": 2}},
            "livenessProbe successThreshold can only be 1",
        ),
    ],
)
def test_healthchecks_that_are_refused(probes: object, message: str) -> None:
    assert wrong({"healthcheck": {"web": probes}}) == {"healthcheck": [message]}


def test_healthchecks_that_are_taken() -> None:
    body = {
        "healthcheck": {
            "web/cmd": {"livenessProbe": HTTP | {"timeoutSeconds": 5}, "readinessProbe": None},
            "": {"readinessProbe": {"exec": {"command": ["true"]}, "more": 1}},
            "worker": None,
        }
    }
    assert checked(body) == body


@pytest.mark.parametrize(
    ("group", "given_group"),
    [
        ("lifecycle_post_start", {"web": "a\0b"}),
        ("lifecycle_pre_stop", {"web\0": "a"}),
        ("termination_grace_period", {"web\0": "3"}),
        ("registry", {"password": "\0"}),
        ("healthcheck", {"\0": {}}),
        ("healthcheck", {"web": {"livenessProbe": {"httpGet": {"port": 1, "path": "\\\0"}}}}),
    ],
)
def test_no_group_holds_what_the_database_cannot(group: str, given_group: dict[str, Any]) -> None:
    assert wrong({group: given_group}) == {group: ["Null characters are not allowed."]}


def test_the_name_of_a_null_character_is_a_text() -> None:
    body = {"lifecycle_post_start": {"web": "printf '\\u0000' '\\\\u0000'"}}
    assert checked(body) == body


def test_sent_keys_are_laid_over_and_null_removes() -> None:
    current = Config(values={"A": "1", "B": "2"}, tags={"rack": "1"})
    merged = merged_with(current, {"values": {"A": None, "B": "3", "C": ""}})
    assert merged.values == {"B": "3", "C": ""}
    assert merged.tags == {"rack": "1"}
    assert current.values == {"A": "1", "B": "2"}


@pytest.mark.parametrize(
    ("group", "patch", "key"),
    [
        ("values", {"A": None}, "A"),
        ("registry", {"Username": None}, "Username"),
        ("healthcheck", {"web": None}, "web"),
        ("healthcheck", {"web/cmd": {"readinessProbe": None}}, "readinessProbe"),
    ],
)
def test_removing_what_is_not_there(group: str, patch: dict[str, Any], key: str) -> None:
    current = Config(
        values={"B": "", "PORT": "1"},
        registry={"username": "x"},
        healthcheck={"web/cmd": {"livenessProbe": {}}},
    )
    with pytest.raises(Refused, match=f"^{key} does not exist under {group}$") as caught:
        merged_with(current, {group: patch})
    assert caught.value.code == 422


def test_an_empty_value_can_be_removed() -> None:
    assert merged_with(Config(values={"A": ""}), {"values": {"A": None}}).values == {}


def test_registry_keys_are_kept_in_lower_case_and_need_a_port() -> None:
    patch = checked({"registry": {"Username": "ada"}})
    with pytest.raises(Refused, match="PORT needs to be set") as caught:
        merged_with(Config(), patch)
    assert caught.value.code == 400
    merged = merged_with(Config(values={"PORT": "80"}), patch)
    assert merged.registry == {"username": "ada"}
    with pytest.raises(Refused, match="PORT needs to be set"):
        merged_with(merged, {"values": {"PORT": None}})
    assert wrong({"registry": {"user-name": "x"}}) == {"registry": [KEY]}


def test_probes_are_replaced_whole() -> None:
    current = Config(healthcheck={"web": {"livenessProbe": {"a": 1}, "readinessProbe": {"b": 1}}})
    patch = {"web": {"livenessProbe": {"c": 1}, "readinessProbe": None}, "worker": {"x": {}}}
    merged = merged_with(current, {"healthcheck": patch})
    assert merged.healthcheck == {"web": {"livenessProbe": {"c": 1}}, "worker": {"x": {}}}
    assert merged_with(merged, {"healthcheck": {"worker": None}}).healthcheck == {
        "web": {"livenessProbe": {"c": 1}}
    }


def test_a_configuration_has_a_bound_over_all_its_changes() -> None:
    current = Config(values={f"K{n}": "x" * 100_000 for n in range(5)})
    with pytest.raises(Refused, match="512 KB") as caught:
        merged_with(current, {"values": {"MORE": "x" * 100_000}})
    assert caught.value.code == 400


def test_changes_are_told_in_order() -> None:
    assert changes(
        {"A": "1", "B": "1", "C": "1"}, {"Z": "1", "D": "1", "B": "2", "C": "1"}
    ) == Changes(added=("D", "Z"), changed=("B",), deleted=("A",))
    assert not changes({"A": "1"}, {"A": "1"})


KEYS = st.text("ABC_", min_size=1, max_size=3)
MAPS = st.dictionaries(KEYS, st.text(max_size=3))


@given(MAPS, MAPS)
def test_a_merge_of_the_difference_gives_the_new_values(
    old: dict[str, str], new: dict[str, str]
) -> None:
    found = changes(old, new)
    patch: dict[str, Any] = {key: new[key] for key in (*found.added, *found.changed)}
    patch |= dict.fromkeys(found.deleted)
    assert merged_with(Config(values=old), {"values": patch}).values == new
