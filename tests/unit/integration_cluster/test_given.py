"""What a cluster of somebody else has to be told of, and the sentences when it is not."""

from pathlib import Path
from typing import Any

import pytest

from integration.cluster.errors import ClusterError
from integration.cluster.given import (
    config_file,
    image_prefix,
    node_address,
    own_address,
    storage_class,
)


def test_one_file_and_no_list_of_them(tmp_path: Path) -> None:
    one = tmp_path / "config"
    one.touch()
    assert config_file(str(one)) == one
    for told in (f"{one}:{one}", str(tmp_path / "none"), str(tmp_path)):
        with pytest.raises(ClusterError, match="is no file: it has to name one"):
            config_file(told)


@pytest.mark.parametrize(
    ("env", "prefix"),
    [
        ({"DEIS_TEST_PREFIX": "registry.example.com/deis"}, "registry.example.com/deis"),
        ({"DEIS_TEST_PREFIX": "http://10.0.0.1:5000/a/b/"}, "10.0.0.1:5000/a/b"),
        ({"DEIS_TEST_IMAGES": "10.0.0.1:5000/deis:2"}, "10.0.0.1:5000/deis"),
        (
            {"DEIS_TEST_IMAGES": "there.example.com/x:1", "DEIS_TEST_PREFIX": "not.example.com/y"},
            "there.example.com/x",
        ),
    ],
)
def test_where_images_lie(env: dict[str, str], prefix: str) -> None:
    assert image_prefix(env) == prefix


@pytest.mark.parametrize("told", ["", "registry.example.com", "http://registry.example.com/"])
def test_a_prefix_that_names_no_place_in_a_registry(told: str) -> None:
    with pytest.raises(ClusterError, match="DEIS_TEST_PREFIX has to name"):
        image_prefix({"DEIS_TEST_PREFIX": told})


def test_the_address_of_a_node() -> None:
    def one(**addresses: str) -> dict[str, Any]:
        told = [{"type": kind, "address": text} for kind, text in addresses.items()]
        return {"status": {"addresses": told}}

    nodes = [one(Hostname="a"), one(ExternalIP="203.0.113.1", InternalIP="10.0.0.2")]
    assert node_address(nodes) == "10.0.0.2"
    with pytest.raises(ClusterError, match="no node"):
        node_address(nodes[:1])


def test_an_api_server_on_the_loopback_tells_nothing_of_what_pods_reach() -> None:
    with pytest.raises(ClusterError, match="DEIS_TEST_HOST has to name"):
        own_address("https://127.0.0.1:6443")


def test_the_class_of_volumes() -> None:
    def one(default: str) -> dict[str, Any]:
        return {
            "metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": default}}
        }

    assert storage_class({}, [one("false"), one("true")]) == ""
    assert storage_class({"DEIS_TEST_STORAGE_CLASS": "fast"}, []) == "fast"
    with pytest.raises(ClusterError, match="has no default storage class"):
        storage_class({}, [{"metadata": {}}, one("false")])
