"""Specs and cluster objects as tests need them."""

import datetime
from typing import Any

import msgspec

from deis_bus.contracts.runtime import AppRef, AppSpec, Artifact, Process
from deis_bus.routes import AppRoute
from deis_platform.runtime.kubernetes import views
from deis_platform.runtime.kubernetes.facts import Facts

NOW = datetime.datetime(2026, 11, 26, 12, 0, tzinfo=datetime.UTC)
APP = AppRef(app="blog", appuuid="1b671a64-40d5-491e-99b0-da01ff1f3341")
API = "198.51.100.10"
FACTS = Facts(stack_image="deis/stack:1", platform_namespace="deis", api=(API,))
SLUG = Artifact(slug="slugs/a/1.tgz", url="http://artifacts/slugs/a/1.tgz", token="t-slug")
IMAGE = Artifact(image="registry.example.com/blog:1")


def process(type_: str = "web", count: int = 1, **more: Any) -> Process:
    """A process type; `web` gets requests."""
    given: dict[str, Any] = {"command": "serve", "routable": type_ == "web"} | more
    return Process(type=type_, count=count, **given)


def spec(generation: int = 1, release: int = 2, *processes: Process, **more: Any) -> AppSpec:
    """An app of these processes, one `web` where none are given."""
    given: dict[str, Any] = {"artifact": SLUG, "environment": {"A": "1"}} | more
    return AppSpec(
        app=APP.app,
        appuuid=APP.appuuid,
        generation=generation,
        release=release,
        processes=processes or (process(),),
        **given,
    )


FIRST = spec(1, 2, process("web", 2), process("worker", 1))
ROUTE = AppRoute(app=APP.app, appuuid=APP.appuuid, hosts=("blog",))


def ago(seconds: float) -> str:
    """A time before NOW as the API server writes it."""
    return f"{NOW - datetime.timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"


def pod(name: str = "blog-web-1-a", **more: Any) -> views.Pod:
    """A pod that is ready, unless its `status`, `labels`, `meta` or `spec` say otherwise."""
    labels = {"app": "blog", "type": "web", "version": "v2", "heritage": "deis"}
    ready = {"name": "blog-web", "ready": True, "state": {"running": {"startedAt": ago(60)}}}
    status = {"phase": "Running", "startTime": ago(70), "containerStatuses": [ready]}
    return msgspec.convert(
        {
            "metadata": {
                "name": name,
                "namespace": "blog",
                "labels": labels | more.get("labels", {}),
                "creationTimestamp": ago(80),
                **more.get("meta", {}),
            },
            "spec": more.get("spec", {}),
            "status": status | more.get("status", {}),
        },
        views.Pod,
    )


def container(**status: Any) -> dict[str, Any]:
    """A pod's status with one container that is not ready."""
    return {"containerStatuses": [{"name": "blog-web", "ready": False} | status]}


def waiting(reason: str, message: str = "", **more: Any) -> dict[str, Any]:
    """A container that waits."""
    return container(state={"waiting": {"reason": reason, "message": message}}, **more)


def event(reason: str, message: str, seconds: float = 0, name: str = "blog-web-1-a") -> views.Event:
    """An event of a pod."""
    return msgspec.convert(
        {
            "involvedObject": {"name": name},
            "reason": reason,
            "message": message,
            "lastTimestamp": ago(seconds),
        },
        views.Event,
    )
