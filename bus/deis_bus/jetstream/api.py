"""JetStream's own API: requests as JSON, answers as JSON or a mapped error."""

from collections.abc import Mapping
from typing import Any

import msgspec

from deis_bus.errors import BusError, Unavailable
from deis_bus.jetstream.link import Link
from deis_bus.streams import Bucket, Durable, Stream

API_SECONDS = 5.0
NANOS = 1_000_000_000
STREAM_NOT_FOUND = 10059
CONSUMER_NOT_FOUND = 10014
DELETE_FAILED = 10057
NO_MESSAGE = ("no message found", "stream store EOF")
"""How the server says that there was nothing to delete; it has no number of its own for it."""
NAME_IN_USE = 10058
WRONG_LAST_SEQUENCE = (10071, 10164)
HIDDEN_MARKERS_SECONDS = 60.0


class ApiError(BusError):
    """JetStream refused; `err_code` is its own number for why."""

    def __init__(self, code: int, err_code: int, description: str) -> None:
        super().__init__(description)
        self.code = code
        self.err_code = err_code


async def call(link: Link, name: str, question: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """One API request. Raises Unavailable, DeadlineExceeded or ApiError."""
    data = msgspec.json.encode(question) if question is not None else b""
    message = await link.request(f"$JS.API.{name}", data, None, API_SECONDS)
    return checked(message.data)


def checked(data: bytes) -> dict[str, Any]:
    """The decoded answer; raises ApiError, or Unavailable where trying again may help."""
    answer: dict[str, Any] = msgspec.json.decode(data)
    error = answer.get("error")
    if error:
        code, err_code = error.get("code", 0), error.get("err_code", 0)
        text = error.get("description", "refused")
        if err_code == STREAM_NOT_FOUND or (code >= 500 and err_code != DELETE_FAILED):
            # A stream that is not there is one that its owner has not made yet, and a server
            # whose disk is full, or that is starting, may be able to later.
            raise Unavailable(text)
        raise ApiError(code, err_code, text)
    return answer


async def ensure_stream(link: Link, config: dict[str, Any]) -> None:
    """Make the stream, or bring the one that is there up to date."""
    try:
        await call(link, f"STREAM.CREATE.{config['name']}", config)
    except ApiError as fault:
        if fault.err_code != NAME_IN_USE:
            raise
        await call(link, f"STREAM.UPDATE.{config['name']}", config)


async def ensure_durable(link: Link, durable: Durable) -> None:
    """Make the durable consumer, or bring its filters and limits up to date."""
    question = {"stream_name": durable.stream, "config": durable_config(durable), "action": ""}
    await call(link, f"CONSUMER.CREATE.{durable.stream}.{durable.name}", question)


def stream_config(stream: Stream) -> dict[str, Any]:
    """The configuration of a stream as JetStream spells it; times are nanoseconds."""
    return {
        "name": stream.name,
        "subjects": list(stream.subjects),
        "retention": "workqueue" if stream.until_acked else "limits",
        "storage": "file",
        "discard": "old",
        "max_age": int(stream.max_age_seconds * NANOS),
        "max_bytes": stream.max_bytes,
        "max_msgs": -1,
        "max_consumers": -1,
        "duplicate_window": int(stream.duplicate_window_seconds * NANOS),
        "num_replicas": 1,
        "allow_direct": True,
    }


def bucket_config(bucket: Bucket) -> dict[str, Any]:
    """A key-value bucket is a stream that keeps the last message of each subject."""
    config: dict[str, Any] = {
        "name": f"KV_{bucket.name}",
        "subjects": [f"$KV.{bucket.name}.>"],
        "retention": "limits",
        "storage": "file",
        "discard": "new",
        "max_msgs_per_subject": 1,
        "max_age": int(bucket.ttl_seconds * NANOS),
        "max_bytes": -1,
        "max_msgs": -1,
        "max_consumers": -1,
        "num_replicas": 1,
        "allow_direct": True,
        "allow_rollup_hdrs": True,
        "deny_delete": True,
    }
    if bucket.ttl_seconds:
        window = min(120.0, bucket.ttl_seconds)
        config["duplicate_window"] = int(window * NANOS)
        config["allow_msg_ttl"] = True
        config["subject_delete_marker_ttl"] = int(HIDDEN_MARKERS_SECONDS * NANOS)
    return config


def durable_config(durable: Durable) -> dict[str, Any]:
    """The configuration of a durable pull consumer; it redelivers until somebody ends it."""
    return {
        "name": durable.name,
        "durable_name": durable.name,
        "ack_policy": "explicit",
        "ack_wait": int(durable.ack_wait_seconds * NANOS),
        "max_ack_pending": durable.max_in_flight,
        "max_deliver": -1,
        "replay_policy": "instant",
        **_filters(durable.filters),
        **_start(durable.start, "new" if durable.new_only else "all"),
    }


def reader_config(name: str, filters: tuple[str, ...], start: int, last: bool) -> dict[str, Any]:
    """A consumer for one reader: in memory, without acks, gone soon after its reader."""
    return {
        "name": name,
        "ack_policy": "none",
        "max_deliver": -1,
        "replay_policy": "instant",
        "mem_storage": True,
        "num_replicas": 1,
        "inactive_threshold": 30 * NANOS,
        **_filters(filters),
        **({"deliver_policy": "last_per_subject"} if last else _start(start, "all")),
    }


def _start(start: int, otherwise: str) -> dict[str, Any]:
    if start > 1:
        return {"deliver_policy": "by_start_sequence", "opt_start_seq": start}
    return {"deliver_policy": otherwise}


def _filters(filters: tuple[str, ...]) -> dict[str, Any]:
    if len(filters) == 1:
        return {"filter_subject": filters[0]}
    return {"filter_subjects": list(filters)} if filters else {}
