"""Where the API server keeps what."""

import pytest

from deis_platform.kubernetes import Kind, kinds


@pytest.mark.parametrize(
    ("kind", "everywhere", "one"),
    [
        (kinds.POD, "/api/v1/pods", "/api/v1/namespaces/n/pods/x"),
        (kinds.NAMESPACE, "/api/v1/namespaces", "/api/v1/namespaces/x"),
        (kinds.DEPLOYMENT, "/apis/apps/v1/deployments", "/apis/apps/v1/namespaces/n/deployments/x"),
    ],
)
def test_paths(kind: Kind, everywhere: str, one: str) -> None:
    assert kind.all_path() == everywhere
    assert kind.path("n", "x") == one
    assert kind.path("n", "x", "status") == f"{one}/status"
    assert kind.all_path("n") == one.removesuffix("/x")


def test_every_kind_is_found_by_its_objects() -> None:
    for kind in kinds.ALL:
        assert kinds.of({"apiVersion": kind.api_version, "kind": kind.kind}) is kind
    with pytest.raises(KeyError):
        kinds.of({"apiVersion": "v1", "kind": "Binding"})
