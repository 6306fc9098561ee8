"""Names of users, applications, hosts and keys (api.md 5, 6, 13, 20)."""

import base64
import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deis_services.controller.rules import Invalid
from deis_services.controller.rules.accounts import (
    credentials,
    optional_username,
    registration,
    username_of,
)
from deis_services.controller.rules.apps import app_name
from deis_services.controller.rules.builds import validate
from deis_services.controller.rules.domains import domain_of, is_reserved, spellings, to_ascii
from deis_services.controller.rules.keys import fingerprint, public_key

USERNAME = (
    "Enter a valid username. This value may contain only letters, numbers and @/./+/-/_ characters."
)
APP = (
    "App name must start with an alphabetic character, cannot end with a hyphen "
    "and can only contain a-z (lowercase), 0-9 and hyphens."
)
CLIENT_APP = "App name can only contain a-z (lowercase), 0-9 and hyphens"


def fields(caught: pytest.ExceptionInfo[Invalid]) -> dict[str, list[str]]:
    return caught.value.fields


@pytest.mark.parametrize("name", ["ada", "ada@example.com", "a.b+c-d_e", "жук", "x" * 150])
def test_usernames_that_are_taken(name: str) -> None:
    asked = registration({"username": f" {name} ", "password": " p ", "email": "a@b.co"})
    assert (asked.username, asked.password, asked.email) == (name, " p ", "a@b.co")
    assert registration({"username": name, "password": "p"}).email == ""


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, {"username": ["This field is required."], "password": ["This field is required."]}),
        ({"username": "", "password": "p"}, {"username": ["This field may not be blank."]}),
        ({"username": "a b", "password": "p"}, {"username": [USERNAME]}),
        ({"username": "a/b", "password": "p"}, {"username": [USERNAME]}),
        (
            {"username": "x" * 151, "password": "p"},
            {"username": ["Ensure this field has no more than 150 characters."]},
        ),
        ({"username": "a", "password": ""}, {"password": ["This field may not be blank."]}),
        (
            {"username": "a", "password": "x" * 129},
            {"password": ["Ensure this field has no more than 128 characters."]},
        ),
        (
            {"username": "a", "password": "p", "email": None},
            {"email": ["This field may not be null."]},
        ),
        (
            {"username": "a", "password": "p", "first_name": "x" * 31},
            {"first_name": ["Ensure this field has no more than 30 characters."]},
        ),
    ]
    + [
        (
            {"username": "a", "password": "p", "email": email},
            {"email": ["Enter a valid email address."]},
        )
        for email in ("nope", "a@b", "a@b.co\nx", "@b.co", "a b@c.co")
    ],
)
def test_registrations_that_are_refused(body: dict[str, Any], wrong: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as caught:
        registration(body)
    assert fields(caught) == wrong


def test_credentials() -> None:
    assert credentials({"username": "ada", "password": " p "}) == ("ada", " p ")
    with pytest.raises(Invalid) as caught:
        credentials({})
    assert fields(caught).keys() == {"username", "password"}


def test_the_user_a_request_names() -> None:
    assert username_of({"username": "ada"}) == "ada"
    assert optional_username({"username": "ada"}) == "ada"
    assert optional_username({"owner": "ada"}, "owner") == "ada"
    for body in ({}, {"username": ""}, {"username": None}):
        assert optional_username(body) is None
        with pytest.raises(Invalid):
            username_of(body)
    with pytest.raises(Invalid):
        optional_username({"username": ["ada"]})


@pytest.mark.parametrize("name", ["a", "z9", "amber-otter", "a--b", "x" * 63])
def test_app_names_that_are_taken(name: str) -> None:
    assert app_name({"id": f" {name} "}) == name


def test_an_app_may_have_no_name() -> None:
    assert app_name({}) is None
    assert app_name({"id": None}) is None


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("", ["This field may not be blank."]),
        ("x" * 64, ["Ensure this field has no more than 63 characters."]),
        ("deis", ["deis is a reserved name."]),
        ("deis-builder", ["deis-builder is a reserved name."]),
        (["a"], ["Not a valid string."]),
    ]
    + [
        (n, [APP, CLIENT_APP])
        for n in ("-a", "a-", "9a", "A", "a.b", "a b", "a_b", "ä", "a\nb", "_")
    ],
)
def test_app_names_that_are_refused(name: object, wrong: list[str]) -> None:
    with pytest.raises(Invalid) as caught:
        app_name({"id": name})
    assert fields(caught) == {"id": wrong}


@pytest.mark.parametrize(
    ("given_name", "wanted"),
    [
        ("example.com", "example.com"),
        ("Example.COM.", "example.com"),
        ("*.example.com", "*.example.com"),
        ("блог.рф", "xn--c1awd0b.xn--p1ai"),
        ("xn--p1ai", "xn--p1ai"),
        ("foo", "foo"),
        ("1.example", "1.example"),
    ],
)
def test_hosts_that_are_taken(given_name: str, wanted: str) -> None:
    if given_name == "блог.рф":
        wanted = ".".join(part.encode("idna").decode() for part in given_name.split("."))
    assert domain_of({"domain": given_name}) == wanted


@pytest.mark.parametrize(
    ("given_name", "text"),
    [
        ("*", "Hostname can't only be a wildcard"),
        ("127.0.0.1", "Hostname does not look valid."),
        ("7", "Hostname does not look valid."),
        (".".join(["a" * 60] * 5), "Hostname must be 253 characters or less."),
    ]
    + [
        (bad, f"Hostname does not look valid, could not convert to ACE {bad}: ")
        for bad in (
            "foo.*.com",
            "a_b.com",
            "-a.com",
            "a-.com",
            "a..b",
            ".",
            "ab--cd.com",
            "a/b",
            "a:80",
            "x" * 64 + ".com",
            "*.*.com",
            "a b.com",
            "**",
            "xn--a",
        )
    ],
)
def test_hosts_that_are_refused(given_name: str, text: str) -> None:
    with pytest.raises(Invalid) as caught:
        domain_of({"domain": given_name})
    (message,) = fields(caught)["domain"]
    assert message.startswith(text)


def test_labels_without_end_are_refused_before_they_are_read() -> None:
    with pytest.raises(Invalid) as caught:
        domain_of({"domain": "a." * 1_000_000 + "example"})
    assert fields(caught) == {"domain": ["Hostname must be 253 characters or less."]}


def test_a_host_is_required() -> None:
    for body, text in (
        ({}, "This field is required."),
        ({"domain": " "}, "This field may not be blank."),
    ):
        with pytest.raises(Invalid) as caught:
            domain_of(body)
        assert fields(caught) == {"domain": [text]}


@given(st.text(max_size=40))
def test_a_host_is_taken_once_and_for_all_or_refused(name: str) -> None:
    try:
        taken = to_ascii(name)
    except ValueError:
        return
    assert taken.isascii()
    assert taken == taken.lower()
    assert to_ascii(taken) == taken


def test_one_label_is_completed_with_the_platforms_domain() -> None:
    assert spellings("blog", "example.com") == ("blog", "blog.example.com")
    assert spellings("blog.example.com", "example.com") == ("blog.example.com", "blog")
    assert spellings("a.b.example.com", "example.com") == ("a.b.example.com",)
    assert spellings("blog", "") == ("blog",)
    assert spellings("blog.example.com", "") == ("blog.example.com",)


@pytest.mark.parametrize(
    "name", ["deis", "deis.example.com", "example.com", "*.example.com", "deis-builder.example.com"]
)
def test_hosts_of_the_platform(name: str) -> None:
    assert is_reserved(name, "example.com")


def test_other_hosts_are_free() -> None:
    assert not is_reserved("blog.example.com", "example.com")
    assert not is_reserved("deis.example.org", "example.com")
    assert is_reserved("deis", "")


BLOB = base64.b64encode(b"blob").decode()


def test_a_key_and_its_fingerprint() -> None:
    key = public_key({"id": " me@box ", "public": f" ssh-ed25519 {BLOB} ada@laptop "})
    digest = hashlib.md5(b"blob").hexdigest()  # noqa: S324 - what the wire format asks for
    assert key.id == "me@box"
    assert key.public == f"ssh-ed25519 {BLOB} ada@laptop"
    assert key.fingerprint.replace(":", "") == digest
    assert len(key.fingerprint) == 47


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, {"id": ["This field is required."], "public": ["This field is required."]}),
        ({"id": "a", "public": ""}, {"public": ["This field may not be blank."]}),
        (
            {"id": "x" * 129, "public": f"a {BLOB}"},
            {"id": ["Ensure this field has no more than 128 characters."]},
        ),
    ]
    + [
        ({"id": "a", "public": public}, {"public": ["Key contains invalid base64 chars"]})
        for public in ("ssh-rsa", "ssh-rsa ä", "ssh-rsa not*base64", f"a {BLOB} x\nb {BLOB} y")
    ],
)
def test_keys_that_are_refused(body: dict[str, Any], wrong: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as caught:
        public_key(body)
    assert fields(caught) == wrong


def test_no_fingerprint_of_nothing() -> None:
    assert fingerprint("") is None


def test_a_build() -> None:
    body = {"image": " a/b ", "procfile": {"web": "x", "a-1": "y"}, "sha": "", "more": 1}
    assert validate(body) == {
        "image": "a/b",
        "sha": "",
        "procfile": {"web": "x", "a-1": "y"},
        "dockerfile": "",
    }


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, {"image": ["This field is required."]}),
        ({"image": ""}, {"image": ["This field may not be blank."]}),
        (
            {"image": "a", "sha": "x" * 41},
            {"sha": ["Ensure this field has no more than 40 characters."]},
        ),
    ]
    + [
        ({"image": "a", "procfile": procfile}, {"procfile": [text]})
        for procfile, text in (
            (None, "This field may not be null."),
            ("x", "Value must be valid JSON."),
            (["a"], 'Expected a dictionary of items but got type "list".'),
            ({"Web": "x"}, "Process types can only contain lowercase alphanumeric characters"),
            ({"a_b": "x"}, "Process types can only contain lowercase alphanumeric characters"),
            ({"-a": "x"}, "Process types can only contain lowercase alphanumeric characters"),
            ({"web": ""}, "Command can't be empty for process type"),
            ({"web": None}, "Command can't be empty for process type"),
            ({"web": ["x"]}, "Not a valid string."),
            ({"web": "x\0"}, "Not a valid string."),
        )
    ],
)
def test_builds_that_are_refused(body: dict[str, Any], wrong: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as caught:
        validate(body)
    assert fields(caught) == wrong
