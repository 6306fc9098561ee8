"""The structural configuration of nginx as text. Pure: a `Layout` in, files out.

It changes only with addresses, the port range, limits and what annotations say of the router;
routes never appear in it.
"""

import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from importlib.resources import files
from typing import Any

import jinja2
import msgspec

from deis_services.router.policy import Builder, Profile, Structure, buffers
from deis_services.router.pools import GROUP, SHARDS
from deis_services.router.wire import BUCKETS

PAGES = {
    "unknown": ("Nothing here", "No application answers to this name."),
    "maintenance": ("Site Maintenance", "We are working on this site and will be back soon."),
    "down": ("Not running", "No instance of this application is ready. Try again in a moment."),
}
LOG_FIELDS = (
    "[$time_iso8601]",
    "$app_name",
    "$remote_addr",
    "$remote_user",
    "$status",
    '"$request"',
    "$bytes_sent",
    '"$http_referer"',
    '"$http_user_agent"',
    '"$host"',
    "$upstream_addr",
    "$http_host",
    "$upstream_response_time",
    "$request_time",
)
"""Of the access log (components.md 1.13), with ` - ` between them."""
NOBODY = "router-default-vhost"
TRUSTED = ("10.0.0.0/8",)
"""From whom the PROXY protocol is believed where nothing is said."""


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """What nginx is told at start."""

    http: str
    """`host:port` of the plain listener."""
    https: str = ""
    """`host:port` of the TLS listener; empty for none."""
    api: str = ""
    """`host:port` of the gateway; empty where the API is an application among the others."""
    ports: range = range(0)
    """Ports that an instance can have on 127.0.0.1."""
    names: str = ""
    """`host:port` of the name server that tells pods; empty where instances are ports."""
    user: str = ""
    """User and group of the workers; empty where nginx is not started as root."""
    workers: int = 1
    """0: one for each processor."""
    files: int = 4096
    """Open files a worker may have."""
    connect_ms: int = 1000
    idle_seconds: int = 1300
    """Silence after which a connection is given up, WebSockets included."""
    shutdown_seconds: int = 5
    """How long an ending nginx finishes what it has begun."""
    linger_seconds: int = 5
    """How long a worker does, whose configuration was replaced."""
    body_bytes: int = 1024**3
    """Size of a request's body; 0: any."""
    table_mb: int = 64
    side_mb: int = 32
    health: str = ""
    """`host:port` for health and statistics; empty for none."""
    git: str = ""
    """`host:port` whose connections go to the builder; empty for none."""
    access_log: str = ""
    """A file; empty for none."""
    error_stream: bool = False
    """Whether errors are told on stderr too."""
    public_http: int = 0
    """The port under which the world reaches `http`; 0: its own."""
    public_https: int = 0
    structure: Structure = Structure(gzip=False)
    profiles: dict[int, Profile] = {}
    builder: Builder | None = None
    dhparam: str = ""
    """PEM text."""

    @property
    def connections(self) -> int:
        """Connections of a worker; a request takes two of them, and two files."""
        most = max(256, self.files - 64)
        return min(self.structure.connections or most, most)

    @property
    def secure_port(self) -> str:
        """What stands behind the host in a redirect to HTTPS."""
        port = str(self.public_https or self.https.rpartition(":")[2])
        return "" if port in ("", "443") else f":{port}"

    @property
    def idle_ms(self) -> int:
        """The same in milliseconds, with what the router's annotations say."""
        return self.structure.idle_ms or self.idle_seconds * 1000

    @property
    def seen_ports(self) -> list[tuple[str, int]]:
        """Own ports and those under which the world knows them."""
        pairs = ((self.http, self.public_http), (self.https, self.public_https))
        return [(own.rpartition(":")[2], known) for own, known in pairs if known]


class Listener(msgspec.Struct, frozen=True):
    """A public address."""

    address: str
    tls: bool
    group: str
    target: str


class Location(msgspec.Struct, frozen=True, kw_only=True):
    """A place in the configuration that passes requests on: for all, or for one profile."""

    prefix: str
    """Of the names of its own second and third attempts."""
    profile: Profile
    buffers: tuple[int, int, int]


def configuration(layout: Layout, generation: str, *, open_for_requests: bool) -> dict[str, str]:
    """File name to text. Closed, nginx has its table and the admin socket but no public port.

    `generation` is what the admin socket answers once this configuration is in force.
    """
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_template),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - configuration text; what users write is typed (values.py)
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    page = environment.get_template("page.html.j2")
    structure = layout.structure
    text = environment.get_template("nginx.conf.j2").render(
        layout=layout,
        structure=structure,
        generation=generation,
        buckets=BUCKETS,
        share=f"{100 / BUCKETS:.2f}",
        groups=groups(layout.ports),
        shards=range(SHARDS) if layout.names else (),
        listeners=listeners(layout) if open_for_requests else (),
        open=open_for_requests,
        everybody=Location(prefix="", profile=Profile(), buffers=buffers(Profile(), structure)),
        profiles=[
            Location(prefix=f"p{number}_", profile=profile, buffers=buffers(profile, structure))
            for number, profile in layout.profiles.items()
        ],
        log_format=" - ".join(LOG_FIELDS),
        nobody=structure.fallback_app or NOBODY,
        trusted=structure.real_ip or (TRUSTED if structure.proxy_protocol else ()),
        dhparam=_dhparam(layout),
        pages={name: page.render(title=t, text=p).strip() for name, (t, p) in PAGES.items()},
    )
    texts = {"nginx.conf": text, "router.js": _template("router.js")}
    return texts | ({_dhparam(layout): layout.dhparam} if layout.dhparam else {})


def covers(held: Layout, wanted: Layout) -> bool:
    """Whether an nginx with `held` does all that is wanted: profiles too many do no harm."""
    return held.profiles.items() >= wanted.profiles.items() and held == msgspec.structs.replace(
        wanted, profiles=held.profiles
    )


def steps(held: Layout, wanted: Layout) -> Iterator[tuple[str, Callable[[Layout], Layout]]]:
    """From one layout to the other setting by setting, each with its name: where nginx refuses the
    whole, the one that it refuses is left out."""
    for name in ("builder", "dhparam"):
        if getattr(held, name) != getattr(wanted, name):
            yield name, partial(_with, **{name: getattr(wanted, name)})
    for name in Structure.__struct_fields__:
        if getattr(held.structure, name) != (value := getattr(wanted.structure, name)):
            yield name, partial(_tuned, name=name, value=value)
    for number, profile in wanted.profiles.items():
        yield f"profile {profile}", partial(_profiled, number=number, profile=profile)


def _with(layout: Layout, **fields: Any) -> Layout:
    return msgspec.structs.replace(layout, **fields)


def _tuned(layout: Layout, name: str, value: Any) -> Layout:
    return _with(layout, structure=msgspec.structs.replace(layout.structure, **{name: value}))


def _profiled(layout: Layout, number: int, profile: Profile) -> Layout:
    return _with(layout, profiles=layout.profiles | {number: profile})


def groups(ports: range) -> list[tuple[str, list[int]]]:
    """The upstream groups: `g200` holds ports 20000 to 20099."""
    held: dict[str, list[int]] = {}
    for port in ports:
        held.setdefault(f"g{port // GROUP}", []).append(port)
    return list(held.items())


def listeners(layout: Layout) -> list[Listener]:
    """The public addresses."""
    plain = [Listener(layout.http, tls=False, group="group", target="target")]
    if not layout.https:
        return plain
    return [*plain, Listener(layout.https, tls=True, group="group_tls", target="target_tls")]


def _dhparam(layout: Layout) -> str:
    """A name of its own for each text: the file of a running nginx is never written over."""
    digest = hashlib.sha256(layout.dhparam.encode()).hexdigest()[:16]
    return f"dhparam-{digest}.pem" if layout.dhparam else ""


def _template(name: str) -> str:
    return files("deis_services.router").joinpath("templates", name).read_text(encoding="utf-8")
