"""Settings: every mistake in one message, groups, and nothing secret in any text."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deis_platform.groups import BusSettings, DatabaseSettings, HealthSettings, LogSettings
from deis_platform.settings import (
    Address,
    SettingsError,
    address,
    described,
    env,
    load,
    size,
    span,
    within,
)

SECRET = "hunter2-do-not-print"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    count: int = env("X_COUNT", 3, help="how many")
    place: Address = env("X_PLACE", "127.0.0.1:80", parse=address)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    inner: Inner
    folder: Path = env("X_FOLDER", help="where it lies")
    on: bool = env("X_ON", False)
    share: float = env("X_SHARE", 0.5)
    words: tuple[str, ...] = env("X_WORDS", ())
    limit: int = env("X_LIMIT", "1KB", parse=size, help="bytes")
    note: str = env("X_NOTE", "none")
    maybe: int | None = env("X_MAYBE", None)


def test_defaults_and_groups() -> None:
    loaded = load(Outer, {"X_FOLDER": "/x"})
    assert loaded == Outer(inner=Inner(), folder=Path("/x"))
    assert loaded.limit == 1024
    assert loaded.inner.place == Address("127.0.0.1", 80)


def test_every_kind_of_value() -> None:
    environ = {
        "X_FOLDER": "/a b", "X_ON": "Yes", "X_SHARE": "0.25", "X_WORDS": " a, b,,c ",
        "X_LIMIT": "1.5 mb", "X_NOTE": "", "X_MAYBE": "7", "X_COUNT": "4", "X_PLACE": "[::1]:9",
    }  # fmt: skip
    loaded = load(Outer, environ)
    assert (loaded.folder, loaded.on, loaded.share) == (Path("/a b"), True, 0.25)
    assert (loaded.words, loaded.limit, loaded.maybe) == (("a", "b", "c"), 1_572_864, 7)
    assert loaded.note == "", "an empty text is a text"
    assert loaded.inner == Inner(count=4, place=Address("::1", 9))


def test_an_empty_variable_is_an_absent_one() -> None:
    loaded = load(Outer, {"X_FOLDER": "/x", "X_SHARE": "", "X_COUNT": "", "X_MAYBE": ""})
    assert (loaded.share, loaded.inner.count, loaded.maybe) == (0.5, 3, None)
    with pytest.raises(SettingsError, match="X_FOLDER is missing"):
        load(Outer, {"X_FOLDER": ""})


def test_every_mistake_is_in_one_message_and_no_value_is() -> None:
    wrong = dict.fromkeys(("X_ON", "X_SHARE", "X_LIMIT", "X_MAYBE", "X_COUNT", "X_PLACE"), SECRET)
    with pytest.raises(SettingsError) as caught:
        load(Outer, wrong)
    assert str(caught.value).splitlines() == [
        "wrong settings:",
        "  X_COUNT: expected a whole number",
        "  X_PLACE: expected HOST:PORT",
        "  X_FOLDER is missing: where it lies",
        "  X_ON: expected true or false",
        "  X_SHARE: expected a number",
        "  X_LIMIT: expected a size such as 512MB",
        "  X_MAYBE: expected a whole number",
    ]


def test_what_counts_or_measures_is_never_negative() -> None:
    environ = {"X_FOLDER": "/x", "X_COUNT": "-1", "X_SHARE": "-0.5", "X_MAYBE": "+2"}
    with pytest.raises(SettingsError) as caught:
        load(Outer, environ)
    assert str(caught.value).splitlines()[1:] == [
        "  X_COUNT: expected a whole number",
        "  X_SHARE: expected a number",
    ]
    none = {"DEIS_DATABASE_CONNECTIONS": "0", "DEIS_DATABASE_STATEMENT_SECONDS": "0.0"}
    with pytest.raises(SettingsError) as caught:
        load(DatabaseSettings, none)
    assert str(caught.value).splitlines()[1:] == [
        "  DEIS_DATABASE_CONNECTIONS: expected a whole number from 1 on",
        "  DEIS_DATABASE_STATEMENT_SECONDS: expected a number above 0",
    ]
    some = {"DEIS_DATABASE_CONNECTIONS": "1", "DEIS_DATABASE_STATEMENT_SECONDS": "0.5"}
    assert load(DatabaseSettings, some) == DatabaseSettings(connections=1, statement_seconds=0.5)


def test_a_bare_required_variable_says_that_it_has_no_default() -> None:
    @dataclass(frozen=True)
    class Bare:
        name: str = env("X_NAME")

    with pytest.raises(SettingsError, match="X_NAME is missing: it has no default"):
        load(Bare, {})


def test_what_there_is_can_be_listed() -> None:
    found = {one.name: one for one in described(Outer)}
    assert list(found) == [
        "X_COUNT", "X_PLACE", "X_FOLDER", "X_ON", "X_SHARE", "X_WORDS", "X_LIMIT", "X_NOTE", "X_MAYBE",
    ]  # fmt: skip
    assert (found["X_FOLDER"].default, found["X_FOLDER"].help) == ("required", "where it lies")
    assert (found["X_LIMIT"].default, found["X_PLACE"].default) == ("1KB", "127.0.0.1:80")


def test_the_groups_that_services_share_load_from_nothing() -> None:
    assert load(BusSettings, {}).url == "nats://127.0.0.1:4222"
    assert load(DatabaseSettings, {}).connections == 10
    assert load(HealthSettings, {}).address == Address("127.0.0.1", 0)
    assert load(LogSettings, {"DEIS_LOG_LEVEL": "DEBUG"}).level == "debug"
    with pytest.raises(SettingsError, match="expected one of plain, json") as caught:
        load(LogSettings, {"DEIS_LOG_FORMAT": SECRET})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("4096", 4096), ("1KB", 1024), ("0.5gb", 2**29), (" 2 TB ", 2**41)],
)  # fmt: skip
def test_sizes(text: str, number: int) -> None:
    assert size(text) == number


@pytest.mark.parametrize(
    "text", ["", "-1", "1PB", "1 K", "KB", "1e3", "0x1", "9" * 400, "1." + "1" * 400]
)
def test_no_sizes(text: str) -> None:
    with pytest.raises(ValueError, match="expected a size"):
        size(text)


def test_a_span_has_both_its_ends() -> None:
    assert span(1024, 65535)("1024-65535") == range(1024, 65536)
    assert span(1, 9, most=3)("2-4") == range(2, 5)


def test_a_number_within_its_bounds() -> None:
    assert [within(0, 3)(text) for text in ("0", "3")] == [0, 3]
    for text in ("-1", "4", "x", ""):
        with pytest.raises(ValueError, match="expected a whole number"):
            within(0, 3)(text)


@pytest.mark.parametrize("text", ["", "2", "2-", "-2", "a-b", "4-3", "0-3", "7-10", "2-5", "2-3-4"])
def test_no_spans(text: str) -> None:
    with pytest.raises(ValueError, match="expected FIRST-LAST between 1 and 9, at most 3 of them"):
        span(1, 9, most=3)(text)


@pytest.mark.parametrize(
    "text", ["", "host", ":80", "host:", "host:x", "h:70000", "h:-1", "h:\u0661"]
)
def test_no_addresses(text: str) -> None:
    with pytest.raises(ValueError, match="expected HOST:PORT"):
        address(text)


hosts = st.one_of(
    st.ip_addresses(v=6).map(str), st.ip_addresses(v=4).map(str), st.just("localhost")
)


@given(host=hosts, port=st.integers(0, 65535))
def test_an_address_reads_as_it_is_written(host: str, port: int) -> None:
    assert address(str(Address(host, port))) == Address(host, port)


names = st.sampled_from([one.name for one in described(Outer)])
environs = st.dictionaries(names, st.text(max_size=40))


@given(environs)
def test_any_environment_is_settings_or_a_list_of_mistakes(environ: dict[str, str]) -> None:
    try:
        loaded = load(Outer, environ)
    except SettingsError as fault:
        lines = str(fault).splitlines()[1:]
        assert lines
        assert all(line.startswith("  X_") for line in lines)
    else:
        assert loaded.limit >= 0
