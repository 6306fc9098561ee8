"""What a build gets of our environment."""

from deis_bus.contracts.runtime import BuildRun
from deis_platform.build_environment import passed, told

OURS = {
    "PIP_INDEX_URL": "https://index.example/simple",
    "HTTPS_PROXY": "http://proxy.example",
    "SSL_CERT_FILE": "/etc/ca.pem",
    "DEIS_NATS_PASSWORD_FILE": "/secret",
    "DEIS_KEEPER": "mark",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "UV_PUBLISH_TOKEN": "secret",
    "HOME": "/root",
}


def test_by_default_indexes_proxies_and_authorities_pass() -> None:
    assert passed("", OURS).keys() == {"PIP_INDEX_URL", "HTTPS_PROXY", "SSL_CERT_FILE"}


def test_the_setting_replaces_the_default() -> None:
    assert passed("AWS_*, HOME", OURS).keys() == {"AWS_SECRET_ACCESS_KEY", "HOME"}


def test_nothing_of_the_platform_ever_passes() -> None:
    assert passed("DEIS_*,*", OURS).keys() == {name for name in OURS if name[:5] != "DEIS_"}


def test_configuration_is_no_part_of_what_it_is_told() -> None:
    task = BuildRun(
        id="b-1",
        kind="buildpack",
        app="blog",
        appuuid="u",
        sha="c0ffee",
        source_url="http://a/s",
        source_token="t-s",
        slug_url="http://a/g",
        slug_token="t-g",
        environment={"SECRET": "s3cret"},
        stream="x",
    )
    found = told(task, "/env")
    assert (found["SOURCE_VERSION"], found["ENV_DIR"], found["CACHE_URL"]) == ("c0ffee", "/env", "")
    assert "s3cret" not in found.values()
