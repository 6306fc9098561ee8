"""Examples of events: a plausible value per field name, checked by the tests with the codec (pure)."""

from typing import Any

from deis_bus.events import Event

_BUILD = "6c5ee2a4-0f4b-4c55-9a9e-0a3a4f7a1d11"
_VALUES: dict[str, Any] = {
    "added": ["GREETING"],
    "app": "blog",
    "artifact": f"slugs/2f1b7f0e-6f0c-4f0f-9a55-4a3a3c5b7d21/{_BUILD}-1.tgz",
    "attempt": 1,
    "build": _BUILD,
    "component": "logger",
    "counts": {"web": 3},
    "domain": "blog.example.com",
    "durable": "logger",
    "exit_code": 1,
    "fingerprint": "SHA256:3Yp7yq3aQ0pZl0Zq7cVwP7k1c2c0h7mKq4m6b1XoZxQ",
    "instance": "blog-web-1948205634-x7k2p",
    "kind": "buildpack",
    "number": 7,
    "operation": "b3d0f5c6-3a0e-4a5b-8a1e-2f3c4d5e6f70",
    "owner": "ada",
    "process_type": "web",
    "procfile": {"web": "./server"},
    "push": _BUILD,
    "reason": "the worker was lost",
    "ref": "refs/heads/main",
    "seconds": 1.25,
    "sha": "9c1185a5c5e9fc54612808977ee8f548b2258d31",
    "slug_bytes": 20480,
    "stages": {"fetch": 0.1, "compile": 0.8},
    "state": "succeeded",
    "subject": "deis.event.blog.app.destroyed",
    "summary": "ada deployed 9c1185a",
    "username": "ada",
    "version": 3,
    "worker": "builder-1",
}
_BY_TYPE: dict[str, dict[str, Any]] = {
    "component.crashed": {"instance": "deis-logger-5d1c", "restarts": 2, "reason": "OOMKilled"},
    "component.outdated": {"version": "0.1.0", "latest": "0.2.0"},
    "component.started": {"instance": "logger-5d1c", "version": "0.1.0"},
    "component.missing": {"instance": "logger-5d1c"},
    "component.returned": {"instance": "logger-5d1c"},
    "component.updated": {"version": "0.2.0"},
    "instance.changed": {"state": "up", "reason": ""},
    "operation.queued": {"kind": "scale"},
    "operation.done": {"kind": "scale"},
}


def payload(kind: type[Event]) -> dict[str, Any]:
    """An example payload: the fields that must be there, and those that have a sample.

    Raises KeyError for a field that must be there and has none: give it one above.
    """
    values = _VALUES | _BY_TYPE.get(kind.TYPE, {})
    required = kind.__struct_fields__[: len(kind.__struct_fields__) - len(kind.__struct_defaults__)]
    return {
        name: values[name] for name in kind.__struct_fields__ if name in values or name in required
    }


def headers(kind: type[Event]) -> dict[str, str]:
    """An example of the envelope around it."""
    return {
        "ce-specversion": "1.0",
        "ce-id": "1b671a64-40d5-491e-99b0-da01ff1f3341",
        "ce-type": kind.TYPE,
        "ce-source": "controller",
        "ce-time": "2026-11-26T12:00:00.000000Z",
        "ce-subject": "blog",
        "ce-appuuid": "2f1b7f0e-6f0c-4f0f-9a55-4a3a3c5b7d21",
        "ce-schemaversion": str(kind.VERSION),
        "content-type": "application/json",
    }
