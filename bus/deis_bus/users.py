"""Users of the bus and what each may do, as data; the server's configuration from it (pure).

A service publishes and subscribes to what it works with and nothing else (DESIGN 4, Rights).
Everybody hears only inboxes of its own prefix, `_INBOX_<user>`; who is asked may publish to the
inboxes of who may ask it, whose names nobody can guess. Not by the server's `allow_responses`: a
reload, so each `automation add`, would forget the requests whose answers are still due.
"""

import json
from collections.abc import Iterable, Mapping

import msgspec

from deis_bus import subjects
from deis_bus.streams import BUCKETS, BUILDLOGS, DEAD, EVENTS, REPORTS, ROUTERS, ROUTES, STREAMS

OPERATOR = "platform"
"""Who `deis-platform` itself is on the bus."""

Rules = tuple[str, ...]


class Rights(msgspec.Struct, frozen=True):
    """Subjects that a user may publish and subscribe to, and which of them yet not."""

    publish: Rules = ()
    subscribe: Rules = ()
    deny: Rules = ()
    """Not to be published to, whatever `publish` says."""


class Automation(msgspec.Struct, frozen=True):
    """A user of somebody outside: name, password, and nothing but a consumer of its own."""

    name: str
    password: str


def consumer(name: str) -> str:
    """The durable consumer of an automation, which is also its user's name."""
    return f"automation-{name}"


def inbox(user: str) -> str:
    """The prefix of the inboxes that this user may hear."""
    return f"_INBOX_{user}"


def _consume(service: str, stream: str, family: str) -> Rules:
    """Rights to work off a durable consumer named after its service, and to bury."""
    return (
        f"$JS.API.CONSUMER.CREATE.{stream}.{service}",
        *_fetch(stream, service),
        subjects.dead(family),
    )


def _fetch(stream: str, durable: str) -> Rules:
    return (
        f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{durable}",
        f"$JS.ACK.{stream}.{durable}.>",
        f"$JS.ACK.*.*.{stream}.{durable}.>",
    )


def _read(stream: str) -> Rules:
    """Rights to read a stream through short-lived consumers; `_deny` keeps the others' away."""
    return (
        f"$JS.API.STREAM.INFO.{stream}",
        f"$JS.API.CONSUMER.CREATE.{stream}.*",
        f"$JS.API.CONSUMER.MSG.NEXT.{stream}.*",
        f"$JS.API.CONSUMER.DELETE.{stream}.*",
    )


def _deny(stream: str, durables: Iterable[str]) -> Rules:
    """A reader may make consumers of any name: not those that somebody works with."""
    return tuple(
        f"$JS.API.CONSUMER.{verb}.{stream}.{durable}"
        for durable in durables
        for verb in ("CREATE", "MSG.NEXT", "DELETE")
    )


def _look(bucket: str) -> Rules:
    """Rights to get from and to watch a bucket."""
    return (*_read(f"KV_{bucket}"), f"$JS.API.DIRECT.GET.KV_{bucket}.>")


def _make(names: Iterable[str]) -> Rules:
    """Rights to make streams and buckets and to change their limits."""
    return tuple(
        f"$JS.API.STREAM.{verb}.{name}" for name in names for verb in ("CREATE", "UPDATE", "INFO")
    )


RPC = "deis.rpc.{}.>"
MICRO = ("PING", "INFO", "STATS")
EVENT_WORKERS = ("builder", "logger", "runtime")
"""Services with a durable consumer on EVENTS."""

_SERVICES: dict[str, Rights] = {
    "gateway": Rights(
        publish=(
            RPC.format("controller"),
            subjects.STREAMS,
            *_read(EVENTS.name),
            *_read(BUILDLOGS.name),
        ),
        subscribe=(subjects.EVENTS, subjects.STREAMS),
    ),
    "controller": Rights(
        publish=(
            subjects.EVENTS,
            RPC.format("runtime"),
            RPC.format("logger"),
            subjects.rpc("manager", "components.list"),
            subjects.LOGS,
            f"$KV.{ROUTES.name}.app.*",
            *_look(ROUTES.name),
            *_make(stream.name for stream in STREAMS),
            *_make(f"KV_{bucket.name}" for bucket in BUCKETS),
            *_consume("controller", REPORTS.name, subjects.REPORTS),
            # Output of builds goes with its application.
            *_read(BUILDLOGS.name),
            f"$JS.API.STREAM.MSG.DELETE.{BUILDLOGS.name}",
        ),
    ),
    "builder": Rights(
        publish=(
            RPC.format("controller"),
            RPC.format("runtime"),
            subjects.REPORTS,
            subjects.BUILDLOGS,
            subjects.LOGS,
            subjects.STREAMS,
            *_read(BUILDLOGS.name),
            *_consume("builder", EVENTS.name, subjects.EVENTS),
        ),
        # A push session hears at once what happened to its application.
        subscribe=(subjects.EVENTS, subjects.STREAMS),
    ),
    "runtime": Rights(
        publish=(
            subjects.rpc("controller", "apps.alive"),
            subjects.REPORTS,
            subjects.LOGS,
            subjects.STREAMS,
            f"$KV.{ROUTES.name}.up.*",
            *_look(ROUTES.name),
            *_look(ROUTERS.name),
            *_consume("runtime", EVENTS.name, subjects.EVENTS),
        ),
        subscribe=(subjects.STREAMS,),
    ),
    "router": Rights(
        publish=(
            subjects.rpc("controller", "certificate.read"),
            f"$KV.{ROUTERS.name}.*",
            *_look(ROUTES.name),
            *_look(ROUTERS.name),
        ),
    ),
    "logger": Rights(
        publish=(
            subjects.rpc("controller", "apps.alive"),
            subjects.STREAMS,
            *_consume("logger", EVENTS.name, subjects.EVENTS),
        ),
        subscribe=(subjects.LOGS, subjects.STREAMS),
    ),
    "shipper": Rights(publish=(subjects.LOGS, subjects.rpc("logger", "logs.heard"))),
    "manager": Rights(
        publish=(
            subjects.REPORTS,
            *(f"$SRV.{verb}" for verb in MICRO),
            *_read(DEAD.name),
        ),
    ),
    OPERATOR: Rights(
        publish=(
            subjects.EVENTS,
            subjects.REPORTS,
            "deis.rpc.>",
            *(f"$SRV.{verb}.>" for verb in MICRO),
            *(f"$SRV.{verb}" for verb in MICRO),
            *_read(EVENTS.name),
            *_read(DEAD.name),
            f"$JS.API.CONSUMER.NAMES.{EVENTS.name}",
            f"$JS.API.STREAM.MSG.DELETE.{DEAD.name}",
            f"$JS.API.STREAM.INFO.{REPORTS.name}",
            *_look(ROUTERS.name),
        ),
        subscribe=(subjects.EVENTS,),
    ),
}
_IN_PODS: dict[str, Rights] = {
    # There the controller itself starts one-off commands and sees what happens to instances.
    "controller": Rights(
        publish=(subjects.REPORTS, subjects.STREAMS), subscribe=(subjects.STREAMS,)
    ),
}
"""What a service may do beside that on Kubernetes."""
SERVICES = tuple(_SERVICES)
"""Every user there is beside automations."""


def rights(user: str, automations: Iterable[str] = (), *, pods: bool = False) -> Rights:
    """What a service may do, on one machine or in pods; `automations` are the names whose
    consumers are not for readers."""
    own = _SERVICES[user]
    if pods:
        more = _IN_PODS.get(user, Rights())
        own = Rights((*own.publish, *more.publish), (*own.subscribe, *more.subscribe))
    served: Rules = ()
    durables: list[str] = []
    if user != OPERATOR:
        served = (RPC.format(user),)
    if set(_read(EVENTS.name)) <= set(own.publish):
        durables += EVENT_WORKERS
        if user != OPERATOR:
            durables += [consumer(name) for name in automations]
    return Rights(
        (*own.publish, f"{inbox(user)}.>", *_answer(user)),
        (*own.subscribe, *served, *_found(user), f"{inbox(user)}.>"),
        _deny(EVENTS.name, durables),
    )


def _answer(service: str) -> Rules:
    """Rights to answer: the inboxes of those who may ask this service, or who it is."""
    asked = ("deis.rpc.>", RPC.format(service)[:-1], "$SRV.")
    return tuple(
        f"{inbox(user)}.>"
        for user, own in _SERVICES.items()
        if user != service and any(subject.startswith(asked) for subject in own.publish)
    )


def _found(service: str) -> Rules:
    """Subjects on which a micro-service is asked who it is."""
    return tuple(
        f"$SRV.{verb}{end}" for verb in MICRO for end in ("", f".{service}", f".{service}.*")
    )


def automation_rights(name: str) -> Rights:
    """Fetch and ack its own consumer, hear its own inbox, no more."""
    user = consumer(name)
    return Rights(_fetch(EVENTS.name, user), (f"{inbox(user)}.>",))


def render_users(
    passwords: Mapping[str, str], automations: Iterable[Automation] = (), *, pods: bool = False
) -> list[dict[str, object]]:
    """The users of the server's configuration; raises KeyError for a name that is no service."""
    outside = list(automations)
    names = [automation.name for automation in outside]
    users = [_user(name, word, rights(name, names, pods=pods)) for name, word in passwords.items()]
    for automation in outside:
        user = consumer(automation.name)
        users.append(_user(user, automation.password, automation_rights(automation.name)))
    return users


def authorization(
    passwords: Mapping[str, str], automations: Iterable[Automation] = (), *, pods: bool = False
) -> str:
    """The `authorization` block; it holds passwords, so it belongs in a file of mode 0600.

    A running server takes a changed block in at SIGHUP: connections whose user is gone are closed,
    those whose rights changed stay open under their new rights.
    """
    users = render_users(passwords, automations, pods=pods)
    return "authorization: " + json.dumps({"users": users}, indent=1) + "\n"


def _user(name: str, password: str, allowed: Rights) -> dict[str, object]:
    permissions = {
        "publish": {"allow": list(allowed.publish), "deny": list(allowed.deny)},
        "subscribe": {"allow": list(allowed.subscribe)},
    }
    return {"user": name, "password": password, "permissions": permissions}
