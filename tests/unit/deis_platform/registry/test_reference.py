"""Names of images: what they mean, and what is none."""

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from yarl import URL

from deis_bus.errors import Refused
from deis_platform.registry.reference import (
    DOCKER_HUB,
    MAX_IMAGE,
    RESERVED,
    Authority,
    authority,
    parse,
)

SHA = "sha256:" + "0123456789abcdef" * 4

labels = st.from_regex(r"\A[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?\Z")
hosts = st.lists(labels, min_size=1, max_size=4).map(".".join).filter(lambda host: "." in host)
ports = st.integers(0, 65535)
parts = st.from_regex(r"\A[a-z0-9]{1,8}((\.|_|__|-{1,3})[a-z0-9]{1,8}){0,2}\Z")
repositories = st.lists(parts, min_size=1, max_size=4).map("/".join)
tags = st.from_regex(r"\A[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\Z")
digests = st.from_regex(r"\A(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})\Z")


def refusal(image: str) -> str:
    with pytest.raises(Refused) as caught:
        parse(image)
    assert caught.value.code == 400
    return caught.value.detail


@pytest.mark.parametrize(
    ("image", "host", "repository", "version"),
    [
        ("nginx", DOCKER_HUB, "library/nginx", "latest"),
        ("nginx:1.27", DOCKER_HUB, "library/nginx", "1.27"),
        ("docker.io/nginx", DOCKER_HUB, "library/nginx", "latest"),
        ("index.docker.io/nginx:1", DOCKER_HUB, "library/nginx", "1"),
        ("docker.io/example/blog", DOCKER_HUB, "example/blog", "latest"),
        ("example/blog:v3", DOCKER_HUB, "example/blog", "v3"),
        ("a/b/c", DOCKER_HUB, "a/b/c", "latest"),
        ("quay.io/example/blog", "quay.io", "example/blog", "latest"),
        ("Quay.IO/example/blog", "quay.io", "example/blog", "latest"),
        ("localhost/blog", "localhost", "blog", "latest"),
        ("node:5000/blog:v1", "node:5000", "blog", "v1"),
        ("[2001:db8::1]:5000/blog", "[2001:db8::1]:5000", "blog", "latest"),
        ("203.0.113.9/blog", "203.0.113.9", "blog", "latest"),
        (f"blog@{SHA}", DOCKER_HUB, "library/blog", SHA),
        (f"quay.io/example/blog:v3@{SHA}", "quay.io", "example/blog", SHA),
    ],
)
def test_what_a_name_means(image: str, host: str, repository: str, version: str) -> None:
    found = parse(image)
    assert (str(found.authority), found.repository, found.version) == (host, repository, version)
    assert found.image == image


@given(hosts, ports, repositories, tags, st.none() | digests)
def test_a_name_keeps_its_parts(
    host: str, port: int, repository: str, tag: str, digest: str | None
) -> None:
    assume(authority(host) is not None and authority(host) != Authority(DOCKER_HUB))
    assume(not any(f"deis/{word}" in repository for word in RESERVED))
    where = f"{host}:{port}" if port else host
    found = parse(f"{where}/{repository}:{tag}" + (f"@{digest}" if digest else ""))
    assert found.authority == (host, port)
    assert found.repository == repository
    assert found.version == (digest or tag)
    assert found.tag == ("" if digest else tag)


@given(st.text(max_size=80) | st.text("aA0.:/@_-%?#[]\\ \n~", max_size=40))
@example("[2001:db8::1]:5000/blog:v1")
def test_what_passes_is_itself_in_a_url(image: str) -> None:
    try:
        found = parse(image)
    except Refused:
        return
    where, path = found.authority, f"/v2/{found.repository}/manifests/{found.version}"
    url = URL.build(scheme="https", host=where.host, port=where.port or None, path=path)
    again = URL(f"https://{where}{path}")
    for one in (url, again):
        assert (one.host, one.port, one.user) == (where.host, where.port or 443, None)
        assert (one.raw_path, one.query_string, one.fragment) == (path, "", "")


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("", "expected [HOST[:PORT]/]NAME[:TAG][@DIGEST]"),
        (" ", "expected"),
        ("Example/blog", "repository name must be lowercase"),
        ("quay.io/Example", "repository name must be lowercase"),
        ("example/blog:", "the tag is no tag"),
        ("example/blog:a b", "the tag is no tag"),
        ("example/blog:" + "t" * 129, "the tag is no tag"),
        ("example/blog@sha256:abc", "the digest is not"),
        ("example/blog@", "the digest is not"),
        (f"blog@{SHA.upper()}", "the digest is not"),
        ("example//blog", "expected"),
        ("/blog", "expected"),
        ("quay.io/", "expected"),
        ("example/../blog", "expected"),
        ("example/.blog", "expected"),
        ("ex%61mple/blog", "expected"),
        ("blög", "expected"),
        ("example/blog\n", "expected"),
        ("a" * 256, "longer than 255"),
        ("a" * (MAX_IMAGE + 1), "longer than 600"),
        ("a" * 64, "64 hexadecimal digits"),
        ("quay.io:/blog", "no host"),
        ("quay.io:0/blog", "no host"),
        ("quay.io:65536/blog", "no host"),
        ("quay.io:\u0665/blog", "no host"),
        ("-quay.io/blog", "no host"),
        ("quay..io/blog", "no host"),
        ("quay.io./blog", "no host"),
        ("user:secret@quay.io/blog", "the digest is not"),
        ("https://quay.io/blog", "no host"),
        ("[::1/blog", "no host"),
        ("[fe80::1%eth0]:1/blog", "no host"),
        ("[1:2]:1/blog", "no host"),
        ("127.1/blog", "no host"),
        ("2130706433:80/blog", "no host"),
        ("0x7f000001:80/blog", "no host"),
        ("0177.0.0.1/blog", "no host"),
        ("127.0.0.0x1/blog", "no host"),
    ],
)
def test_what_is_no_name(image: str, words: str) -> None:
    said = refusal(image)
    assert said.startswith("invalid reference format: ")
    assert words in said


def test_a_refusal_does_not_show_what_was_written() -> None:
    assert "hunter2" not in refusal("https://ada:hunter2@quay.io/blog")
    assert "hunter2" not in refusal("ada:hunter2@quay.io/blog")


@pytest.mark.parametrize("word", RESERVED)
def test_images_of_the_platform_are_reserved(word: str) -> None:
    assert refusal(f"deis/{word}:v2") == (
        f"Repository name deis/{word} is not allowed, as it is reserved by Deis"
    )
    assert "quay.io/deis/" in refusal(f"quay.io/deis/{word}@{SHA}")


def test_other_images_are_not_reserved() -> None:
    assert parse("deis/example-go").repository == "deis/example-go"
    assert parse("deisci/router").repository == "deisci/router"


@pytest.mark.parametrize("text", ["", "a b", "a/b", "a:b", "a@b", "a:1:2", "a" * 254, "a.0x"])
def test_what_is_no_authority(text: str) -> None:
    assert authority(text) is None
