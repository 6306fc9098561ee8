"""`*.localhost` is this machine, and no proxy stands before it (DESIGN 8, cli.md 1.5)."""

import socket

import pytest

from deis_cli.core.client import Api, understands
from deis_cli.core.resolver import LocalResolver, is_local


@pytest.mark.parametrize(
    "host", ["localhost", "deis.localhost", "A.B.LocalHost.", "127.0.0.1", "::1"]
)
def test_this_machine(host: str) -> None:
    assert is_local(host)


@pytest.mark.parametrize("host", ["", "localhost.example.com", "notlocalhost", "127.0.0.2.example"])
def test_other_machines(host: str) -> None:
    assert not is_local(host)


async def test_names_below_localhost_need_no_resolver() -> None:
    resolver = LocalResolver()
    try:
        both = await resolver.resolve("blog.localhost", 80, socket.AF_UNSPEC)
        assert [(one["host"], one["port"]) for one in both] == [("127.0.0.1", 80), ("::1", 80)]
        four = await resolver.resolve("blog.localhost", 80, socket.AF_INET)
        assert [one["host"] for one in four] == ["127.0.0.1"]
        assert {one["hostname"] for one in both} == {"blog.localhost"}
        other = await resolver.resolve("127.0.0.1", 80)
        assert other[0]["host"] == "127.0.0.1"
    finally:
        await resolver.close()


@pytest.mark.parametrize(
    ("controller", "proxy"),
    [
        ("http://deis.localhost:8000", None),
        ("http://127.0.0.1:8000", None),
        ("http://deis.example.com", "http://proxy.test:3128"),
        ("https://deis.example.com", "http://secure.test:3128"),
        ("http://deis.inside.test", None),
    ],
)
def test_proxies(monkeypatch: pytest.MonkeyPatch, controller: str, proxy: str | None) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("http_proxy", "http://proxy.test:3128")
    monkeypatch.setenv("https_proxy", "http://secure.test:3128")
    monkeypatch.setenv("no_proxy", "inside.test")
    assert Api(controller).proxy() == proxy


@pytest.mark.parametrize(
    ("server", "fine"),
    [("2.3", True), ("2.10", True), ("2.3.1", True), ("2.2", False), ("3.3", False), ("x.y", False)],
)  # fmt: skip
def test_versions(server: str, fine: bool) -> None:
    assert understands(server) is fine
