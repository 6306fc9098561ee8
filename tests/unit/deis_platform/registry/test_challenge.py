"""WWW-Authenticate, as registries write it and as they should not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deis_platform.registry.challenge import Challenge, chosen, parse

HUB = (
    'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",'
    'scope="repository:library/nginx:pull"'
)


def test_a_token_service() -> None:
    assert parse(HUB) == [
        Challenge(
            "bearer",
            {
                "realm": "https://auth.docker.io/token",
                "service": "registry.docker.io",
                "scope": "repository:library/nginx:pull",
            },
        )
    ]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('Basic realm="Registry Realm"', [Challenge("basic", {"realm": "Registry Realm"})]),
        ("basic", [Challenge("basic", {})]),
        ("BEARER  Realm = x , SERVICE=y", [Challenge("bearer", {"realm": "x", "service": "y"})]),
        (
            'Negotiate, Basic realm="a, b=\\"c\\"", charset=UTF-8',
            [
                Challenge("negotiate", {}),
                Challenge("basic", {"realm": 'a, b="c"', "charset": "UTF-8"}),
            ],
        ),
        ("Bearer realm=first, realm=second", [Challenge("bearer", {"realm": "first"})]),
        ("realm=nobody", []),
        ("", []),
        (",, ,", []),
        ('Bearer realm="never closed', [Challenge("bearer", {}), Challenge("realm", {})]),
    ],
)
def test_headers(header: str, expected: list[Challenge]) -> None:
    assert parse(header) == expected


def test_a_token_is_chosen_before_a_password() -> None:
    found = chosen(['Basic realm="x"', HUB])
    assert found is not None
    assert found.scheme == "bearer"


@pytest.mark.parametrize(
    ("headers", "scheme"),
    [
        (["Bearer service=x", "Basic"], "basic"),
        (["Bearer realm=https://a"], "bearer"),
        (["Negotiate", "Digest realm=x"], None),
        (["Bearer"], None),
        ([], None),
    ],
)
def test_which_way(headers: list[str], scheme: str | None) -> None:
    found = chosen(headers)
    assert (found.scheme if found else None) == scheme


@given(st.text(max_size=200) | st.text('Bearer realm="\\,= ', max_size=200))
def test_any_text_ends(header: str) -> None:
    for one in parse(header):
        assert one.scheme == one.scheme.lower() != ""
        assert all(name and name == name.lower() for name in one.parameters)


@given(st.dictionaries(st.from_regex(r"\A[a-z]{1,10}\Z"), st.text(max_size=30), max_size=5))
def test_quoted_values_come_back(parameters: dict[str, str]) -> None:
    quoted = {
        name: value.replace("\\", "\\\\").replace('"', '\\"') for name, value in parameters.items()
    }
    header = "Bearer " + ", ".join(f'{name}="{value}"' for name, value in quoted.items())
    assert parse(header) == [Challenge("bearer", parameters)]
