"""Manifests and configurations."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deis_platform.registry import manifests
from deis_platform.registry.manifests import CONFIG_TYPES, Manifest, Unusable

ONE, TWO, THREE = ("sha256:" + digit * 64 for digit in "123")


def entry(digest: str, architecture: str, system: str = "linux", **more: Any) -> dict[str, Any]:
    platform = {"architecture": architecture, "os": system, "variant": "v8"}
    return {"mediaType": "x", "digest": digest, "size": 7, "platform": platform, **more}


def index(*entries: dict[str, Any]) -> Manifest:
    return manifests.manifest(json.dumps({"schemaVersion": 2, "manifests": entries}).encode())


def image(**config: Any) -> bytes:
    named = {"digest": ONE, "mediaType": CONFIG_TYPES[0], "size": 2, **config}
    return json.dumps({"schemaVersion": 2, "config": named, "layers": []}).encode()


def configuration(**start: Any) -> bytes:
    return json.dumps({"architecture": "amd64", "os": "linux", "config": start}).encode()


@pytest.mark.parametrize(
    ("architecture", "expected"), [("arm64", TWO), ("amd64", ONE), ("riscv64", ONE)]
)
def test_the_manifest_for_this_machine_else_for_amd64(architecture: str, expected: str) -> None:
    found = index(entry(ONE, "amd64"), entry(TWO, "arm64"), entry(THREE, "arm64"))
    assert manifests.for_platform(found, architecture) == expected


@pytest.mark.parametrize(
    "entries",
    [
        [],
        [entry(ONE, "arm64")],
        [entry(ONE, "amd64", "windows")],
        [{"digest": ONE}],
        [entry(ONE, "unknown", "unknown")],
    ],
)
def test_no_manifest_for_this_machine(entries: list[dict[str, Any]]) -> None:
    with pytest.raises(Unusable, match=r"^no matching manifest for linux/amd64 in the manifest li"):
        manifests.for_platform(index(*entries), "amd64")


@pytest.mark.parametrize("kind", CONFIG_TYPES)
def test_an_image_names_its_configuration(kind: str) -> None:
    assert manifests.config_of(manifests.manifest(image(mediaType=kind))) == ONE


def test_an_artifact_is_no_image() -> None:
    chart = image(mediaType="application/vnd.cncf.helm.config.v1+json")
    with pytest.raises(Unusable, match="artifact of another kind"):
        manifests.config_of(manifests.manifest(chart))


def test_an_index_of_an_index_is_no_image() -> None:
    with pytest.raises(Unusable, match="another index"):
        manifests.config_of(index())


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "malformed"),
        (b"<html>", "malformed"),
        (b"[]", "malformed"),
        (b"\xff\xfe", "malformed"),
        (b'{"manifests":"x"}', "malformed"),
        (b'{"config":{"digest":"sha256:../../secret"}}', "malformed"),
        (b'{"config":{"digest":"' + ONE.encode() + b'\\n"}}', "malformed"),
        (b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "malformed"),
        (b"{}", "neither an image's nor an index"),
        (b'{"manifests":[],"config":{"digest":"' + ONE.encode() + b'"}}', "neither"),
        (b'{"schemaVersion":1,"fsLayers":[]}', "schema 1"),
    ],
)
def test_what_is_no_manifest(body: bytes, words: str) -> None:
    with pytest.raises(Unusable, match=words):
        manifests.manifest(body)


def test_what_a_configuration_says() -> None:
    body = configuration(
        ExposedPorts={"8080/tcp": {}, "53/udp": {}, "443": {}, "99999/tcp": {}, "0": {}, "x": {}},
        Entrypoint=["/bin/server"],
        Cmd=["--port", "8080"],
        Env=["SECRET=x"],
    )
    assert manifests.facts(ONE, body) == (ONE, (443, 8080), ("/bin/server",), ("--port", "8080"))


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"config":null}',
        configuration(),
        configuration(Entrypoint=None, Cmd=None, ExposedPorts=None),
    ],
)
def test_a_configuration_that_says_nothing(body: bytes) -> None:
    assert manifests.facts(ONE, body) == (ONE, (), (), ())


@pytest.mark.parametrize("start", [{"Cmd": "echo"}, {"Entrypoint": [1]}, {"ExposedPorts": [80]}])
def test_a_malformed_configuration(start: dict[str, Any]) -> None:
    with pytest.raises(Unusable, match="malformed"):
        manifests.facts(ONE, configuration(**start))


@given(st.binary(max_size=200))
def test_content_has_its_digest_and_no_other(body: bytes) -> None:
    digest = manifests.digest_of(body)
    assert manifests.is_content(body, digest)
    assert not manifests.is_content(body + b"x", digest)


def test_content_has_a_longer_digest_too() -> None:
    empty = "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce"
    rest = "47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e"
    assert manifests.is_content(b"", f"sha512:{empty}{rest}")
