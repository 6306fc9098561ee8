"""From objects of a cluster to entries of the route table (components.md 1.2, 1.7, 1.8). Pure."""

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping

from deis_bus.routes import Upstreams
from deis_services.router.annotations import app_settings, builder_settings
from deis_services.router.model import Route
from deis_services.router.policy import Builder
from deis_services.router.views import SecretView, ServiceView, SliceView

WEB_PORT = 80
GIT_PORT = 2222
CERTIFICATE_SUFFIX = "-cert"
SERVICE_NAME = "kubernetes.io/service-name"


def app_of(service: ServiceView) -> str:
    """The name of an application in the table and, up to `#`, in the access log.

    That is the label `app`, else the Service's name, after the namespace where they differ; the
    Service's own name follows where the label would stand for several.
    """
    meta = service.metadata
    title = meta.labels.get("app") or meta.name
    shown = title if title == meta.namespace else f"{meta.namespace}/{title}"
    return shown if title == meta.name else f"{shown}#{meta.name}"


def route_of(
    service: ServiceView, platform: str, certificates: Mapping[str, str]
) -> tuple[Route, list[str]]:
    """What a Service says of its traffic, and what is wrong in that.

    Services of the namespace `platform` come before all others, then the older ones.
    `certificates` has the fingerprints of the certificates that are there, by name.
    """
    meta = service.metadata
    settings, problems = app_settings(meta.annotations)
    if not settings.domains and not settings.graft_domain:
        problems = [*problems, "domains: there is none, so nobody is routed here"]
    if web_port(service) is None:
        problems = [*problems, f"the Service has no port {WEB_PORT}"]
    absent = {name for name in settings.certificates.values() if name not in certificates}
    problems += [f"certificates: there is no certificate {name}" for name in sorted(absent)]
    route = Route(
        app=app_of(service),
        appuuid=meta.namespace,
        hosts=settings.domains,
        maintenance=settings.maintenance,
        enforce_https=settings.enforce_https,
        allow=settings.allow,
        retry_writes=settings.retry_writes,
        certificates={
            domain: certificates[name]
            for domain, name in settings.certificates.items()
            if name in certificates
        },
        rank=f"{int(meta.namespace != platform)}{meta.creation_timestamp}{meta.uid}",
        profile=settings.profile,
        graft_domain=settings.graft_domain,
        graft_paths=settings.graft_paths,
    )
    return route, problems


def certificate_names(service: ServiceView) -> set[str]:
    """The certificates that a Service names."""
    return set(app_settings(service.metadata.annotations)[0].certificates.values())


def certificate_name(key: str) -> str:
    """`front` of the Secret `certificates/front-cert`; empty for a Secret of another form."""
    name = key.partition("/")[2]
    return name.removesuffix(CERTIFICATE_SUFFIX) if name.endswith(CERTIFICATE_SUFFIX) else ""


def web_port(service: ServiceView) -> str | None:
    """The name of the Service's port 80 (empty for one that has none), None where it has no such
    port."""
    return next((port.name for port in service.spec.ports if port.port == WEB_PORT), None)


def upstreams_of(service: ServiceView, slices: Iterable[SliceView]) -> Upstreams:
    """Where the ready instances of a Service are: not those that are about to end."""
    name = web_port(service)
    addresses = {
        f"{address}:{port.port}"
        for piece in slices
        if piece.address_type == "IPv4"
        for port in piece.ports
        if port.name == name and port.port
        for endpoint in piece.endpoints
        if endpoint.conditions.ready and not endpoint.conditions.terminating
        for address in endpoint.addresses
    }
    return Upstreams(
        app=app_of(service),
        appuuid=service.metadata.namespace,
        generation=0,
        addresses=tuple(sorted(addresses)),
    )


def service_key(piece: SliceView) -> str:
    """`namespace/name` of the Service that a slice belongs to."""
    meta = piece.metadata
    return f"{meta.namespace}/{meta.labels.get(SERVICE_NAME, '')}"


def builder_of(service: ServiceView | None) -> tuple[Builder | None, list[str]]:
    """Where git connections go, None: nowhere; and what is wrong."""
    if service is None:
        return None, []
    if service.spec.cluster_ip in ("", "None") or ":" in service.spec.cluster_ip:
        return None, ["the Service has no IPv4 address of its own"]
    address = f"{service.spec.cluster_ip}:{GIT_PORT}"
    return builder_settings(service.metadata.annotations, address)


def pair_of(secret: SecretView) -> tuple[str, str] | None:
    """Certificate and key of a Secret, None where one is missing or no text."""
    try:
        pair = text_of(secret, "tls.crt"), text_of(secret, "tls.key")
    except ValueError:
        return None
    return pair if all(pair) else None


def text_of(secret: SecretView, key: str) -> str:
    """A value of a Secret, empty where it is absent. Raises ValueError for what is no text.

    PEM is ASCII, but what tools write around it (a bag's friendly name) may be any UTF-8."""
    try:
        return base64.b64decode(secret.data.get(key, ""), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise ValueError(f"{key} is no text") from None


def fingerprint(pair: tuple[str, str]) -> str:
    """Of certificate and key together: either may be replaced alone. It tells nothing of them."""
    digest = hashlib.sha256()
    for text in pair:
        digest.update(hashlib.sha256(text.encode()).digest())
    return digest.hexdigest()
