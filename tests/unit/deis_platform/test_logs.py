"""Logs: event, app and release on every line, both formats, nothing secret."""

import asyncio
import errno
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import example, given
from hypothesis import strategies as st

from deis_platform import logs
from deis_platform.logs import HIDDEN, bound, get_logger, hide_secrets, plain, set_up

SECRET = "hunter2-do-not-print"


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """The process' logging as it was."""
    kept = structlog.get_config()
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    structlog.configure(**kept)
    root.handlers = handlers
    root.setLevel(level)


@pytest.fixture
def stream() -> io.StringIO:
    """What JSON logs write."""
    made = io.StringIO()
    set_up(format="json", level="debug", stream=made)
    return made


def raised(password: str) -> LookupError:
    """A fault whose traceback has a frame that knows a secret."""
    try:
        raise LookupError("why")  # noqa: TRY301 - it needs a traceback
    except LookupError as fault:
        return fault


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """The lines that were written, decoded."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_event_app_and_release_are_on_every_line(stream: io.StringIO) -> None:
    log = get_logger("x")
    log.info("before")
    with bound(event="build.done", app="blog", release=3, build="b1"):
        log.info("deployed", seconds=1.5)
        with bound(release=4):
            log.warning("inside")
        log.info("after")
    log.info("outside")
    told = [(one["message"], one["event"], one["app"], one["release"]) for one in lines(stream)]
    assert told == [
        ("before", "", "", ""),
        ("deployed", "build.done", "blog", 3),
        ("inside", "build.done", "blog", 4),
        ("after", "build.done", "blog", 3),
        ("outside", "", "", ""),
    ]
    second = lines(stream)[1]
    assert (second["level"], second["seconds"], second["build"]) == ("info", 1.5, "b1")
    assert second["time"].endswith("Z")


async def test_tasks_that_are_started_inside_keep_the_fields(stream: io.StringIO) -> None:
    async def work() -> None:
        get_logger().info("working")

    with bound(app="blog"):
        task = asyncio.create_task(work())
    await task
    with bound(app="shop"):
        await asyncio.gather(work(), asyncio.to_thread(get_logger().info, "in a thread"))
    assert [one["app"] for one in lines(stream)] == ["blog", "shop", "shop"]


def test_a_plain_line_reads_well() -> None:
    stream = io.StringIO()
    set_up(stream=stream)
    with bound(event="build.done", app="blog", release=3, service="controller"):
        get_logger().info("deployed", seconds=1.5, why="two words", empty="")
    line = stream.getvalue().rstrip("\n")
    assert line.split(" ", 1)[1] == (
        "INFO controller: [build.done blog v3] deployed seconds=1.5 why='two words' empty=''"
    )


@given(text=st.text())
@example(text="/x\x1b[31m")
@example(text="/x\n2026-11-26T00:00:00Z ERROR forged")
@example(text="a\u202eb\x00")
def test_words_of_others_cannot_forge_a_line(text: str) -> None:
    line = plain(None, "info", {"message": f"m{text}", "path": text})
    assert line.isprintable()


def test_a_terminal_obeys_no_words_of_a_fault_or_an_event() -> None:
    stream = io.StringIO()
    set_up(stream=stream)
    with bound(event="a\x1b[2J"):
        get_logger().error("failed", exc_info=LookupError("b\x1b[2J\r\u202ec\nd"))
    assert all(line.isprintable() for line in stream.getvalue().split("\n"))
    assert stream.getvalue().split("\n")[-2:] == ["d", ""]


def test_below_the_level_nothing_is_written() -> None:
    stream = io.StringIO()
    set_up(level="warning", stream=stream)
    get_logger().info("no")
    logging.getLogger("library").info("no")
    get_logger().warning("yes")
    assert len(stream.getvalue().splitlines()) == 1


def test_an_exception_is_below_its_line_without_the_values_of_variables() -> None:
    stream = io.StringIO()
    set_up(stream=stream)
    fault = raised(SECRET)
    get_logger().exception("failed", exc_info=fault)
    first, *trace = stream.getvalue().splitlines()
    assert "ERROR failed" in first
    assert trace[0].startswith("Traceback")
    assert trace[-1] == "LookupError: why"
    assert SECRET not in stream.getvalue()


@pytest.mark.parametrize("level", [1, logging.INFO, 25, logging.ERROR, 99])
def test_libraries_log_the_same_way_whatever_levels_they_make_up(
    stream: io.StringIO, level: int
) -> None:
    logging.getLogger().setLevel(1)
    with bound(app="blog"):
        logging.getLogger("library").log(level, "hello %s", "you")
    [line] = lines(stream)
    assert (line["message"], line["logger"], line["app"]) == ("hello you", "library", "blog")


def test_a_librarys_wrong_log_line_is_no_fault(stream: io.StringIO) -> None:
    record = logging.makeLogRecord({"msg": "%d apples", "args": ("many",), "levelno": 30})
    [ours] = [one for one in logging.getLogger().handlers if isinstance(one, logs._Forward)]
    ours.handle(record)  # not through the logger: pytest's own handler would raise
    assert lines(stream)[0]["message"] == "%d apples"


@pytest.mark.parametrize("form", ["plain", "json"])
@pytest.mark.parametrize(
    "fields",
    [
        {"password": SECRET},
        {"DEIS_SECRET": SECRET},
        {"authorization": f"token {SECRET}"},
        {"github_token": SECRET.encode()},
        {"url": f"postgresql://deis:{SECRET}@db/deis"},
        {"fault": OSError(f"cannot reach nats://u:{SECRET}@127.0.0.1:4222")},
        {"values": {"API_TOKEN": SECRET, "deeper": [{"password": SECRET}]}},
        {"urls": [f"https://u:{SECRET}@x.test/a", f"https://:{SECRET}@x.test"]},
    ],
)
def test_nothing_secret_leaves(form: str, fields: dict[str, Any]) -> None:
    stream = io.StringIO()
    set_up(format=form, stream=stream)
    get_logger().info("settings", **fields)
    with bound(**fields):
        get_logger().info("bound")
    assert SECRET not in stream.getvalue()
    assert stream.getvalue().count(HIDDEN) >= 2


def test_secrets_in_the_text_of_a_fault_are_hidden(stream: io.StringIO) -> None:
    get_logger().error("failed", exc_info=OSError(f"cannot reach nats://u:{SECRET}@127.0.0.1"))
    assert SECRET not in stream.getvalue()
    assert "nats://u:" in lines(stream)[0]["exception"]


def test_what_is_no_secret_stays() -> None:
    fields = {"url": "http://blog.localhost:8000/a@b", "token": "", "key": "k", "n": 1, "on": True}
    assert hide_secrets(None, "info", dict(fields)) == fields


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


names = st.text("abcxyz_", min_size=1).filter(lambda name: name not in ("a", "time"))


@given(st.dictionaries(names, values))
def test_any_fields_are_one_line_in_both_formats(fields: dict[str, Any]) -> None:
    shown = hide_secrets(None, "info", {"message": "hello"} | fields)
    assert "\n" not in json.dumps(shown)
    line = plain(None, "info", dict(shown))
    assert line.startswith("hello")
    assert len(line.splitlines()) == 1


class Full(io.StringIO):
    """A stream on a full disk."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, f"No space left on device for {len(text)} characters")


def test_a_full_disk_is_no_fault_of_who_logs() -> None:
    set_up(stream=Full())
    get_logger(__name__).info("lost")
