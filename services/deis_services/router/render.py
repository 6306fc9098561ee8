"""The structural configuration of nginx as text. Pure: a `Layout` in, files out.

It changes only with addresses, the port range and limits; routes never appear in it.
"""

from importlib.resources import files

import jinja2
import msgspec

from deis_services.router.wire import BUCKETS

GROUP = 100
"""Ports in an upstream group: nginx looks for a peer, and for a group, one after the other."""
PAGES = {
    "unknown": ("Nothing here", "No application answers to this name."),
    "maintenance": ("Site Maintenance", "We are working on this site and will be back soon."),
    "down": ("Not running", "No instance of this application is ready. Try again in a moment."),
}
RETRIES = (("second", "third"), ("second_late", "third"), ("third", ""), ("third_late", ""))


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """What nginx is told at start."""

    http: str
    """`host:port` of the plain listener."""
    https: str = ""
    """`host:port` of the TLS listener; empty for none."""
    api: str
    """`host:port` of the gateway."""
    ports: range
    """Ports that an instance can have on 127.0.0.1."""
    user: str = ""
    """User and group of the workers; empty where nginx is not started as root."""
    workers: int = 1
    files: int = 4096
    """Open files a worker may have."""
    idle_seconds: int = 1300
    """Silence after which a connection is given up, WebSockets included."""
    shutdown_seconds: int = 5
    """How long an ending worker finishes what it has begun."""
    body_bytes: int = 1024**3
    """Size of a request's body; 0: any."""
    table_mb: int = 64
    side_mb: int = 32

    @property
    def connections(self) -> int:
        """Connections of a worker; a request takes two of them, and two files."""
        return max(256, self.files - 64)

    @property
    def secure_port(self) -> str:
        """What stands behind the host in a redirect to HTTPS."""
        port = self.https.rpartition(":")[2]
        return "" if port in ("", "443") else f":{port}"


class Listener(msgspec.Struct, frozen=True):
    """A public address."""

    address: str
    tls: bool
    group: str
    target: str


def configuration(layout: Layout, generation: str, *, open_for_requests: bool) -> dict[str, str]:
    """File name to text. Closed, nginx has its table and the admin socket but no public port.

    `generation` is what the admin socket answers once this configuration is in force.
    """
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_template),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - configuration text; nothing in it comes from users
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    page = environment.get_template("page.html.j2")
    text = environment.get_template("nginx.conf.j2").render(
        layout=layout,
        generation=generation,
        buckets=BUCKETS,
        share=f"{100 / BUCKETS:.2f}",
        groups=groups(layout.ports),
        listeners=listeners(layout) if open_for_requests else (),
        retries=RETRIES,
        pages={name: page.render(title=t, text=p).strip() for name, (t, p) in PAGES.items()},
    )
    return {"nginx.conf": text, "router.js": _template("router.js")}


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


def _template(name: str) -> str:
    return files("deis_services.router").joinpath("templates", name).read_text(encoding="utf-8")
