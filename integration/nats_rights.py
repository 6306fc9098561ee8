"""A subject of every family of the bus, and who may publish and subscribe to it (DESIGN 4)."""

from deis_bus import users
from deis_bus.streams import BUCKETS, STREAMS

BOT = "automation-bot"
EVERYBODY = frozenset({*users.SERVICES, BOT})
SERVICES = EVERYBODY - {BOT}
G, C, B, R, X, L, S, M, P = (
    *("gateway", "controller", "builder", "runtime", "router", "logger", "shipper", "manager"),
    users.OPERATOR,
)
NEXT = "$JS.API.CONSUMER.MSG.NEXT"
CREATE = "$JS.API.CONSUMER.CREATE"
DELETE = "$JS.API.CONSUMER.DELETE"
INFO = "$JS.API.STREAM.INFO"

PUBLISH: dict[str, set[str]] = {
    "deis.event.blog.app.created": {C, P},
    "deis.report.blog.build.done": {B, R, M, P},
    "deis.rpc.controller.apps.list": {G, B, P},
    "deis.rpc.controller.certificate.read": {G, B, X, P},
    "deis.rpc.controller.apps.alive": {G, B, R, L, P},
    "deis.rpc.runtime.app.apply": {C, B, P},
    "deis.rpc.logger.logs.tail": {C, P},
    "deis.rpc.logger.logs.heard": {C, P, S},
    "deis.rpc.gateway.x.y": {P},
    "deis.rpc.builder.x.y": {P},
    "deis.rpc.router.x.y": {P},
    "deis.rpc.shipper.x.y": {P},
    "deis.rpc.manager.x.y": {P},
    "deis.rpc.manager.components.list": {C, P},
    "deis.log.blog": {C, B, R, S},
    "deis.buildlog.blog.b1": {B},
    "deis.stream.s1.opener": {G, B, R, L},
    "deis.dead.event.blog.app.created": {B, R, L},
    "deis.dead.report.blog.build.done": {C},
    "$KV.routes.app.blog": {C},
    "$KV.routes.up.blog": {R},
    "$KV.routers.r1": {X},
    "$KV.other.x": set(),
    f"{INFO}.EVENTS": {G, C, P},
    f"{INFO}.REPORTS": {C, P},
    f"{INFO}.BUILDLOGS": {G, B, C},
    f"{INFO}.DEAD": {C, M, P},
    f"{INFO}.KV_routes": {C, R, X},
    f"{INFO}.KV_routers": {C, R, X, P},
    **{
        f"$JS.API.STREAM.{verb}.{name}": {C}
        for verb in ("CREATE", "UPDATE")
        for name in (*(s.name for s in STREAMS), *(f"KV_{b.name}" for b in BUCKETS))
    },
    "$JS.API.STREAM.CREATE.OTHER": set(),
    "$JS.API.STREAM.DELETE.EVENTS": set(),
    "$JS.API.STREAM.PURGE.EVENTS": set(),
    "$JS.API.STREAM.NAMES": set(),
    "$JS.API.STREAM.MSG.DELETE.EVENTS": set(),
    "$JS.API.STREAM.MSG.DELETE.DEAD": {P},
    "$JS.API.STREAM.MSG.DELETE.BUILDLOGS": {C},
    "$JS.API.STREAM.MSG.GET.EVENTS": set(),
    "$JS.API.DIRECT.GET.KV_routes.$KV.routes.app.blog": {C, R, X},
    "$JS.API.DIRECT.GET.KV_routers.$KV.routers.r1": {R, X, P},
    "$JS.API.DIRECT.GET.EVENTS": set(),
    "$JS.API.CONSUMER.NAMES.EVENTS": {P},
    "$JS.API.INFO": set(),
    **{f"{verb}.EVENTS.reader-1": {G, P} for verb in (CREATE, NEXT, DELETE)},
    **{f"{verb}.BUILDLOGS.reader-1": {G, B, C} for verb in (CREATE, NEXT, DELETE)},
    **{f"{verb}.DEAD.reader-1": {M, P} for verb in (CREATE, NEXT, DELETE)},
    **{f"{verb}.KV_routes.reader-1": {C, R, X} for verb in (CREATE, NEXT, DELETE)},
    **{f"{verb}.KV_routers.reader-1": {R, X, P} for verb in (CREATE, NEXT, DELETE)},
    **{f"{verb}.REPORTS.reader-1": set[str]() for verb in (CREATE, NEXT, DELETE)},
    **{f"{CREATE}.EVENTS.{name}": {name} for name in (B, R, L)},
    **{f"{NEXT}.EVENTS.{name}": {name} for name in (B, R, L)},
    **{f"{DELETE}.EVENTS.{name}": set[str]() for name in (B, R, L)},
    **{f"$JS.ACK.EVENTS.{name}.1.2.3.4.5": {name} for name in (B, R, L, BOT)},
    **{f"$JS.ACK.hub.acct.EVENTS.{name}.1.2.3.4.5": {name} for name in (B, R, L, BOT)},
    f"{CREATE}.EVENTS.{BOT}": {P},
    f"{NEXT}.EVENTS.{BOT}": {BOT, P},
    f"{DELETE}.EVENTS.{BOT}": {P},
    f"{CREATE}.REPORTS.controller": {C},
    f"{NEXT}.REPORTS.controller": {C},
    f"{DELETE}.REPORTS.controller": set(),
    "$JS.ACK.REPORTS.controller.1.2.3.4.5": {C},
    "$JS.ACK.hub.acct.REPORTS.controller.1.2.3.4.5": {C},
    **{f"$SRV.{verb}": {M, P} for verb in users.MICRO},
    **{f"$SRV.{verb}.router": {P} for verb in users.MICRO},
    f"_INBOX_{G}.x.y": {G, C},
    f"_INBOX_{C}.x.y": {C, R, L, M},
    f"_INBOX_{B}.x.y": {B, C, R},
    **{f"_INBOX_{name}.x.y": {name, C} for name in (R, X, L)},
    f"_INBOX_{S}.x.y": {S, L},
    **{f"_INBOX_{name}.x.y": set(SERVICES) for name in (M, P)},
    f"_INBOX_{BOT}.x.y": set(),
    "_INBOX.x.y": set(),
    "$SYS.REQ.SERVER.PING": set(),
    "anything": set(),
}
"""A subject of every family, and who may publish to it. A service may address the inboxes of those
who may ask it, which it cannot guess: so it answers."""

SUBSCRIBE: dict[str, set[str]] = {
    "deis.event.>": {G, B, P},
    "deis.event.*.operation.done": {G, B, P},
    "deis.report.>": set(),
    **{f"deis.rpc.{name}.x.y": {name} for name in SERVICES - {P}},
    f"deis.rpc.{P}.x.y": set(),
    "deis.rpc.>": set(),
    "deis.log.*": {L},
    "deis.buildlog.>": set(),
    "deis.stream.s1.opener": {G, B, R, L},
    "deis.dead.>": set(),
    "$KV.routes.>": set(),
    "$KV.routers.>": set(),
    **{f"$SRV.{verb}{end}": set(SERVICES) for verb in users.MICRO for end in ("",)},
    **{f"$SRV.{verb}.{name}": {name} for verb in users.MICRO for name in SERVICES},
    **{f"$SRV.{verb}.{name}.i1": {name} for verb in users.MICRO for name in SERVICES},
    **{f"_INBOX_{name}.x.y": {name} for name in EVERYBODY},
    "_INBOX.>": set(),
    "$JS.API.>": set(),
    "$JS.ACK.>": set(),
    "$SYS.>": set(),
    "deis.>": set(),
    ">": set(),
}
"""The same for subscriptions."""
