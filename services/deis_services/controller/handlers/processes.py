"""Process counts, instances, one-off commands and logs (api.md 10 to 12)."""

from typing import Any

import msgspec

from deis_bus.contracts.http import ApiAnswer
from deis_bus.contracts.logs import FOLLOW, TAIL, Follow, Tail
from deis_bus.contracts.runtime import AppRef, Instance, RunTask
from deis_bus.errors import BusError, Refused, Transient
from deis_bus.events.apps import AppRun
from deis_bus.rpc import call
from deis_platform.names import run_name
from deis_services.controller import presenters, specs, store
from deis_services.controller.handlers.releases import newest
from deis_services.controller.handlers.submitting import submit
from deis_services.controller.problem import detail
from deis_services.controller.request import Handler, Request, answer
from deis_services.controller.rules.fields import Form

HIDDEN_STATES = ("down", "crashed")
MAX_LOG_LINES = 1_000
MAX_COMMAND = 100_000
"""Bytes; Linux starts no program with an argument over 128 KB."""
NO_BUILD = "No build associated with this release to run this command"


async def scale(request: Request) -> ApiAnswer:
    """Other counts; which types there are is judged at its turn."""
    return await submit(request, "scale", {"counts": request.body})


async def restart(request: Request) -> ApiAnswer:
    """Everything, a type, or one instance."""
    path = request.call.path
    process_type = path.get("type") or path.get("typed") or ""
    instance = _full_name(request.app.id, path.get("pod", ""))
    return await submit(request, "restart", {"type": process_type, "instance": instance})


def _full_name(app: str, pod: str) -> str:
    """A name with exactly two hyphens lacks the application's (api.md 10.3)."""
    return f"{app}-{pod}" if pod.count("-") == 2 else pod


async def newest_version(request: Request) -> int:
    """Whose instances are shown."""
    return (await newest(request)).version


async def list_pods(request: Request, version: int) -> ApiAnswer:
    """Instances of the newest successful release; ended ones and one-off commands are hidden."""
    app, path = request.app, request.call.path
    wanted_type = path.get("type") or path.get("typed") or ""
    wanted = _full_name(app.id, path.get("pod", ""))
    try:
        found = await request.deps.runtime.instances(AppRef(app=app.id, appuuid=app.uuid))
    except Transient as fault:
        raise detail(503, f"(list pods): {fault}") from fault
    shown = [
        presenters.pod(pod)
        for pod in found
        if _shows(pod, version) and wanted_type in ("", pod.type) and wanted in ("", pod.name)
    ]
    return answer(200, {"results": shown, "count": len(shown)})


def _shows(pod: Instance, version: int) -> bool:
    return pod.release == version and pod.type != "run" and pod.state not in HIDDEN_STATES


class _Terminal(msgspec.Struct, frozen=True):
    tty: bool
    columns: int
    rows: int


async def prepare_run(request: Request) -> RunTask:
    """What the runtime is asked: the current release, a new name, the whole command as one text."""
    body, app = request.body, request.app
    if not body.get("command"):
        raise detail(400, "command is a required field")
    form = Form(body)
    command = form.text("command", strip=False, limit=MAX_COMMAND)
    terminal = _terminal(form)
    form.done()
    release = await newest(request)
    build = await store.build(request.tx, release.build)
    if build is None:
        raise detail(400, NO_BUILD)
    config = await store.config(request.tx, request.deps.keyring, release.config)
    return specs.run_task(
        request.deps,
        app,
        release,
        build,
        config,
        instance=run_name(app.id),
        command=command,
        stream=request.call.stream,
        tty=terminal.tty,
        columns=terminal.columns,
        rows=terminal.rows,
    )


def _terminal(form: Form) -> _Terminal:
    return _Terminal(form.boolean("tty"), _size(form, "columns", 80), _size(form, "rows", 24))


def _size(form: Form, name: str, default: int) -> int:
    value: Any = form.body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1000:
        form.wrong(name, "Must be a number from 1 to 1000.")
        return default
    return value


async def run(request: Request, task: RunTask) -> ApiAnswer:
    """Start it; the gateway reads its byte stream and makes the original's answer."""
    deps, app = request.deps, request.app
    try:
        await deps.runtime.run(task)
    except (Refused, Transient) as fault:
        raise detail(503, f"{task.instance} (run): {fault}") from fault
    async with deps.db.transaction() as tx:
        request.tx = tx
        if await store.lock_app(tx, app.uuid):
            await request.announce(AppRun(instance=task.instance), app)
    # The command itself may hold secrets, so the log tells only that there was one.
    request.lines.append((app, f"{request.user.username} runs a command on {task.instance}"))
    return answer(200, {"instance": task.instance})


async def nothing(request: Request) -> None:
    """Authorization was all the rows were needed for."""


async def logs(request: Request, _: None) -> ApiAnswer:
    """The newest lines; with `follow` and a byte stream then every new one."""
    app, query = request.app, request.call.query
    asked = query.get("log_lines", "")
    lines = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 10 else 0
    wanted = Tail(
        app=app.id,
        appuuid=app.uuid,
        lines=min(lines or 100, MAX_LOG_LINES),
        process_type=query.get("process_type", ""),
        instance=query.get("instance", ""),
    )
    try:
        if request.call.stream and query.get("follow", "").lower() in ("1", "true", "yes"):
            follow = Follow(**msgspec.structs.asdict(wanted), stream=request.call.stream)
            await call(request.deps.bus, FOLLOW, follow)
            return answer(200)
        text = (await call(request.deps.bus, TAIL, wanted)).text
    except BusError:
        return ApiAnswer(status=503, text=f"Error accessing logs for {app.id}")
    return ApiAnswer(status=200, text=text) if text else answer(204)


HANDLERS = {
    "apps.scale": Handler(scale),
    "pods.restart": Handler(restart),
    "pods.restart.type": Handler(restart),
    "pods.restart.pod": Handler(restart),
    "pods.list": Handler(newest_version, after=list_pods),
    "pods.list.type": Handler(newest_version, after=list_pods),
    "pods.list.pod": Handler(newest_version, after=list_pods),
    "apps.run": Handler(prepare_run, after=run),
    "apps.logs": Handler(nothing, after=logs),
}
