"""Paths find the endpoint that the table declares for them, and nothing else does (api.md 1.1, 1.2)."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deis_bus.api.table import BY_NAME, ENDPOINTS, PARAMETERS, Endpoint
from deis_services.gateway.parse import Found, Routes

ROUTES = Routes()
METHODS = {endpoint.method for endpoint in ENDPOINTS}
_PARAMETER = re.compile(r"\{(\w+)\}")


def found(method: str, path: str) -> tuple[str, dict[str, str]]:
    """Name and parameters of what a path means."""
    got = ROUTES.find(method, path)
    assert isinstance(got, Found), (method, path, got)
    return got.endpoint.name, got.path


@st.composite
def requests(draw: st.DrawFn) -> tuple[Endpoint, dict[str, str], str]:
    """An endpoint, values of its parameters' alphabets, and the path they make."""
    endpoint = draw(st.sampled_from(ENDPOINTS))
    values = {
        name: draw(st.from_regex(rf"\A(?:{PARAMETERS[name]})\Z").filter(_plain))
        for name in _PARAMETER.findall(endpoint.path)
    }
    return endpoint, values, _PARAMETER.sub(lambda match: values[match[1]], endpoint.path)


def _plain(value: str) -> bool:
    return "\n" not in value and len(value) < 80


@given(requests())
def test_every_endpoint_is_found_by_its_path(request: tuple[Endpoint, dict[str, str], str]) -> None:
    endpoint, values, path = request
    name, given_values = found(endpoint.method, path)
    # `pods/restart` and the like are words of a parameter too; then the same path is meant.
    if name == endpoint.name:
        assert given_values == values
    else:
        assert BY_NAME[name].method == endpoint.method
        assert _PARAMETER.sub(lambda match: given_values[match[1]], BY_NAME[name].path) == path


@given(requests(), st.sampled_from(sorted(METHODS | {"PUT", "PATCH", "HEAD", "get", ""})))
def test_a_known_path_tells_what_it_offers(
    request: tuple[Endpoint, dict[str, str], str], method: str
) -> None:
    endpoint, _, path = request
    got = ROUTES.find(method, path)
    assert got is not None
    allow = got.allow if isinstance(got, Found) else got
    words = allow.split(", ")
    assert endpoint.method in words
    assert ("HEAD" in words) == ("GET" in words)
    assert len(words) == len(set(words))
    assert isinstance(got, Found) == (method in words and method != "OPTIONS")


@given(st.text(alphabet="/av2psbcfg.*-_%{}\n é:", max_size=40))
def test_no_path_breaks_it(path: str) -> None:
    for method in ("GET", "POST", "DELETE"):
        got = ROUTES.find(method, f"/v2/{path}")
        if isinstance(got, Found):
            for name, value in got.path.items():
                assert re.fullmatch(PARAMETERS[name], value)


@pytest.mark.parametrize(
    ("method", "path", "name", "values"),
    [
        ("GET", "/v2/", "root.read", {}),
        ("HEAD", "/v2/apps", "apps.list", {}),
        ("POST", "/v2/auth/login/", "auth.login", {}),
        ("GET", "/v2/apps/a-1/releases/v12/", "releases.read", {"app": "a-1", "version": "v12"}),
        ("POST", "/v2/apps/a/releases/rollback", "releases.rollback", {"app": "a"}),
        ("GET", "/v2/apps/a/pods/my.web", "pods.list.type", {"app": "a", "type": "my.web"}),
        ("POST", "/v2/apps/a/pods/restart", "pods.restart", {"app": "a"}),
        ("GET", "/v2/apps/a/pods/restart", "pods.list.type", {"app": "a", "type": "restart"}),
        ("POST", "/v2/apps/a/pods/web/restart", "pods.restart.type", {"app": "a", "type": "web"}),
        (
            "DELETE",
            "/v2/apps/a/domains/*.é.com",
            "domains.remove",
            {"app": "a", "domain": "*.é.com"},
        ),
        ("DELETE", "/v2/apps/a/perms/x@y.z+1", "perms.remove", {"app": "a", "username": "x@y.z+1"}),
        ("GET", "/v2/keys/a/b/", "keys.read", {"key": "a/b/"}),
        ("GET", "/v2/keys/", "keys.list", {}),
        ("GET", "/v2/hooks/key/aa:bb", "hooks.key", {"fingerprint": "aa:bb"}),
        (
            "GET",
            "/v2/apps/a/builds/newest/output",
            "builds.output",
            {"app": "a", "build": "newest"},
        ),
    ],
)
def test_paths_of_the_specification(
    method: str, path: str, name: str, values: dict[str, str]
) -> None:
    assert found(method, path) == (name, values)


@pytest.mark.parametrize(
    "path",
    [
        "", "/", "v2/apps", "/v1/apps", "/v2/apps//", "/v2//apps", "/v2/apps/A", "/v2/apps/a_b",
        "/v2/apps/a/releases/12", "/v2/apps/a/releases/v", "/v2/apps/a/pods/a.b/c",
        "/v2/apps/a/domains/a b", "/v2/apps/a/perms/a b", "/v2/hooks/push", "/v2/apps/a/limits",
        "/v2/apps/a/containers", "/v2/operations/x", "/v2/apps/a\n", "/v2/keys/a\nb",
    ],
)  # fmt: skip
def test_paths_that_mean_nothing(path: str) -> None:
    assert ROUTES.find("GET", path) is None
