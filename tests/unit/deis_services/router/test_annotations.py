"""Annotations as settings (components.md 0.2, 1.4 to 1.8, 1.11)."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from deis_services.router import annotations, policy, values
from deis_services.router.annotations import (
    PREFIX,
    AppSettings,
    app_settings,
    builder_settings,
    router_settings,
)
from deis_services.router.policy import NOBODY, Profile, Structure, Tuning

APP_KEYS = re.findall(
    r"\S+",
    "domains certificates whitelist connectTimeout tcpTimeout maintenance ssl.enforce"
    " referrerPolicy disableRequestStartHeader nginx.proxyBuffers.enabled"
    " nginx.proxyBuffers.number nginx.proxyBuffers.size nginx.proxyBuffers.busySize"
    " proxyDomain proxyLocations nginx.retryWrites",
)
ROUTER_KEYS = [
    *annotations._STRUCTURE,
    *re.findall(
        r"\S+",
        "nginx.platformDomain nginx.proxyRealIpCidrs nginx.defaultWhitelist nginx.whitelistMode"
        " nginx.enforceWhitelists nginx.ssl.enforce nginx.ssl.hsts.enabled nginx.ssl.hsts.maxAge"
        " nginx.ssl.hsts.includeSubDomains nginx.ssl.hsts.preload nginx.defaultServiceEnabled"
        " nginx.defaultAppName nginx.defaultServiceIP",
    ),
]
BITS = st.sampled_from(
    [
        "true", "a.example.com", "blog", "10.0.0.0/8", "30s", "8k", "origin", "/a", "*.b.org", "auto",
        ",", ":", " ", "\n", '"', "'", "{", "}", ";", "$host", "\\", "\0", "#", "é", "1", "TLSv1.2",
    ]
)  # fmt: skip
TEXTS = st.lists(BITS, max_size=6).map("".join) | st.text(max_size=40)
POISON = set("\n\r\t\"'{}; $\\\0#")


def app(**given: str) -> tuple[AppSettings, list[str]]:
    return app_settings({PREFIX + key.replace("_", "."): text for key, text in given.items()})


def router(given: dict[str, str]) -> tuple[Tuning, list[str]]:
    return router_settings({PREFIX + "nginx." + key: text for key, text in given.items()})


def texts(value: Any) -> Iterator[str]:
    """Every text in a builtin value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from texts(key)
            yield from texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from texts(inner)


def structures(settings: AppSettings | Tuning) -> Iterator[str]:
    """The texts that a configuration is made of, past the names of fields."""
    return texts(list(msgspec.to_builtins(settings).values()))


@given(st.dictionaries(st.sampled_from([PREFIX + key for key in APP_KEYS]), TEXTS))
@example({PREFIX + "domains": "a.b.cc\n}, x;return 200"})
def test_nothing_an_application_says_can_leave_its_place(given: dict[str, str]) -> None:
    settings, _ = app_settings(given)
    for text in structures(settings):
        assert not POISON & set(text)


@given(st.dictionaries(st.sampled_from([PREFIX + key for key in ROUTER_KEYS]), TEXTS))
def test_nothing_the_router_is_told_can_leave_its_place(given: dict[str, str]) -> None:
    settings, _ = router_settings(given)
    hsts = settings.structure.hsts
    assert not POISON - set("; ") & set(hsts)
    plain = msgspec.structs.replace(
        settings, structure=msgspec.structs.replace(settings.structure, hsts="")
    )
    for text in structures(plain):
        assert not POISON & set(text)


@given(st.dictionaries(st.sampled_from([PREFIX + key for key in APP_KEYS + ROUTER_KEYS]), TEXTS))
def test_every_value_is_taken_or_told(given: dict[str, str]) -> None:
    """No parser raises, whatever stands there, and a refused value leaves a line."""
    for problems in (app_settings(given)[1], router_settings(given)[1]):
        assert all("\n" not in problem and len(problem) < 500 for problem in problems)
    builder, _ = builder_settings(given, "10.0.0.1:2222")
    assert builder.connect_ms > 0


def test_the_settings_of_an_application() -> None:
    settings, problems = app(
        domains=" Blog, www.Example.com ,*.example.org",
        certificates="www.example.com:front, *.example.org:back",
        whitelist="10.1.2.3/8, 192.168.0.1",
        maintenance="False",
        ssl_enforce="True",
        connectTimeout="10",
        tcpTimeout="2h",
        referrerPolicy="same-origin",
    )
    assert problems == []
    assert settings == AppSettings(
        domains=("blog", "www.example.com", "*.example.org"),
        certificates={"www.example.com": "front", "*.example.org": "back"},
        allow=("10.0.0.0/8", "192.168.0.1/32"),
        enforce_https=True,
        profile=Profile(connect_ms=10_000, idle_ms=7_200_000, referrer="same-origin"),
    )


def test_a_wrong_value_costs_its_key_and_a_wrong_entry_itself() -> None:
    settings, problems = app(
        domains="good, under_score, *.com2., x.y, ok.example.com",
        maintenance="yes",
        tcpTimeout="-1s",
        connectTimeout="5s",
    )
    assert settings.domains == ("good", "ok.example.com")
    assert not settings.maintenance
    assert settings.profile == Profile(connect_ms=5000)
    assert [problem.split(":")[0] for problem in problems] == [
        "domains", "domains", "domains", "maintenance", "tcpTimeout",
    ]  # fmt: skip


def test_an_allow_list_of_nonsense_opens_no_door() -> None:
    assert app(whitelist="nonsense, 1.2.3.4/99")[0].allow == (NOBODY,)
    assert app(whitelist=" ,")[0].allow == ()
    assert app(whitelist="nonsense,1.2.3.4")[0].allow == ("1.2.3.4/32",)


def test_a_graft_needs_both_halves() -> None:
    whole, problems = app(proxyDomain="blog", proxyLocations="/api, /v1")
    assert (whole.graft_domain, whole.graft_paths, problems) == ("blog", ("/api", "/v1"), [])
    half, problems = app(proxyDomain="blog", proxyLocations="api")
    assert (half.graft_domain, half.graft_paths, len(problems)) == ("", (), 2)


def test_the_start_header_can_only_be_refused() -> None:
    assert app(disableRequestStartHeader="true")[0].profile.request_start is False
    assert app(disableRequestStartHeader="false")[0].profile == Profile()


def test_the_settings_of_the_router() -> None:
    tuning, problems = router(
        {
            "platformDomain": "Example.com",
            "bodySize": "0",
            "workerProcesses": "auto",
            "defaultTimeout": "1200s",
            "ssl.hsts.enabled": "true",
            "ssl.hsts.preload": "true",
            "ssl.protocols": "TLSv1.3",
            "whitelistMode": "override",
            "proxyRealIpCidrs": "10.0.0.0/8,172.16.0.0/12",
            "gzip.types": "text/css  text/plain",
            "disableServerTokens": "false",
            "unheardOf": "1",
        }
    )
    assert problems == []
    assert (tuning.domain, tuning.enforce_https, tuning.override_allow) == (
        "example.com", True, True,
    )  # fmt: skip
    assert tuning.structure == Structure(
        body_bytes=0,
        workers=0,
        idle_ms=1_200_000,
        hsts="max-age=15552000; preload",
        ssl_protocols=("TLSv1.3",),
        real_ip=("10.0.0.0/8", "172.16.0.0/12"),
        gzip_types=("text/css", "text/plain"),
        server_tokens=True,
    )


def test_a_fallback_needs_an_address() -> None:
    tuning, problems = router({"defaultServiceEnabled": "true", "defaultServiceIP": "nowhere"})
    assert tuning.structure.fallback_ip == ""
    assert len(problems) == 2
    assert router({"defaultServiceIP": "10.0.0.9"})[0].structure.fallback_ip == ""


@pytest.mark.parametrize(
    ("enforce", "default", "own", "override", "result"),
    [
        (False, (), (), False, None),
        (False, (), ("a",), False, ("a",)),
        (False, ("d",), (), False, ("d",)),
        (False, ("d",), ("a",), False, ("d", "a")),
        (True, ("d",), ("a",), False, ("d", "a")),
        (False, ("d",), ("a",), True, ("a",)),
        (True, (), (), False, ()),
        (True, (), ("a",), False, ("a",)),
    ],
)
def test_the_matrix_of_allow_lists(
    enforce: bool,
    default: tuple[str, ...],
    own: tuple[str, ...],
    override: bool,
    result: tuple[str, ...] | None,
) -> None:
    tuning = Tuning(default_allow=default, enforce_allow=enforce, override_allow=override)
    assert policy.allowed(tuning, own) == result


@given(st.integers(1, 256), st.integers(1, 1 << 20), st.integers(1, 1 << 20))
def test_buffers_are_such_that_nginx_takes_them(count: int, size: int, busy: int) -> None:
    asked = Profile(buffers=count, buffer_bytes=size, busy_bytes=busy)
    number, each, most = policy.buffers(asked, Structure())
    assert number >= 2
    assert each <= most <= (number - 1) * each


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("30", 30_000),
        ("500ms", 500),
        ("2m", 120_000),
        ("1M", 2_592_000_000),
        ("1y", 31_536_000_000),
    ],
)
def test_times(text: str, value: int) -> None:
    assert values.milliseconds(text) == value


@pytest.mark.parametrize("text", ["", "0", "0s", "01", "1 s", "1S", "-1", "11y", "1.5s", "s"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match="expected a time"):
        values.milliseconds(text)


@pytest.mark.parametrize("text", ["1", "yes", "on", "", "tru e"])
def test_what_is_no_boolean(text: str) -> None:
    with pytest.raises(ValueError, match="expected true or false"):
        values.boolean(text)


@pytest.mark.parametrize(
    "text", ["a_b", "-a", "a-", "a..b.com", ".com", "x.y", "*", "*.", "a b", "é"]
)
def test_what_is_no_domain(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        values.domain(text)
