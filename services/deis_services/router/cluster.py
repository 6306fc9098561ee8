"""Routes from the objects of a cluster: mirrors note what changed, one part writes it down.

Level-triggered: a change of an object only marks its Service; the entries are made of what all
objects say at that moment, and only those that differ are taken in.
"""

import asyncio
from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec
import structlog

from deis_bus.ports import Entry
from deis_platform.kubernetes import Kubernetes, Mirror, View, kinds
from deis_platform.races import unless
from deis_platform.runner import Part
from deis_services.router import rules
from deis_services.router.annotations import router_settings
from deis_services.router.certs import BadPair, CertificateFolder, checked_parameters
from deis_services.router.live import LiveTable
from deis_services.router.model import BUILDER_KEY, DHPARAM_KEY, PLATFORM_KEY, TUNING_KEY
from deis_services.router.policy import Tuning
from deis_services.router.views import SecretView, ServiceView, SliceView

log = structlog.get_logger(__name__)

V = TypeVar("V", bound=View)

ROUTABLE = "router.deis.io/routable=true"
ROUTER = "deis-router"
BUILDER = "deis-builder"
PLATFORM_SECRET = "deis-router-platform-cert"  # noqa: S105 - a name
DHPARAM_SECRET = "deis-router-dhparam"  # noqa: S105 - a name
TURN = 50
"""Services between two pauses, so that requests of the admin socket and names get their turn."""
PROBLEMS = 10
"""Told of one object."""


class Cluster:
    """Takes the objects of a cluster into the table; `present` is set once all were read."""

    name = "cluster"

    def __init__(
        self,
        api: Kubernetes,
        live: LiveTable,
        folder: CertificateFolder,
        present: asyncio.Event,
        certificates: str,
    ) -> None:
        """`certificates` is the namespace whose Secrets are certificates of applications."""
        self._live = live
        self._folder = folder
        self._present = present
        self._wake = asyncio.Event()
        self._due: set[str] = set()
        """Services whose entries have to be made again."""
        self._due_secrets: set[str] = set()
        self._singles_due = True
        self._slices: dict[str, dict[str, SliceView]] = {}
        self._apps: dict[str, str] = {}
        """Service to the name of its application."""
        self._users: dict[str, set[str]] = {}
        """Name of a certificate to the Services that name it."""
        self._named: dict[str, set[str]] = {}
        self._fingerprints: dict[str, str] = {}
        self._sent: dict[str, bytes] = {}
        self._told: dict[str, tuple[str, ...]] = {}
        self._own = api.namespace
        self._services = Mirror(
            api, kinds.SERVICE, ServiceView, labels=ROUTABLE, heard=self._heard_service
        )
        self._endpoints = Mirror(
            api, kinds.ENDPOINT_SLICE, SliceView, labels=rules.SERVICE_NAME, heard=self._heard_slice
        )
        self._secrets = Mirror(
            api, kinds.SECRET, SecretView, namespace=certificates, heard=self._heard_secret
        )
        self._router = self._single(api, kinds.DEPLOYMENT, View, ROUTER)
        self._builder = self._single(api, kinds.SERVICE, ServiceView, BUILDER)
        self._platform = self._single(api, kinds.SECRET, SecretView, PLATFORM_SECRET)
        self._dhparam = self._single(api, kinds.SECRET, SecretView, DHPARAM_SECRET)

    def parts(self) -> tuple[Part, ...]:
        """This part and its mirrors."""
        return (self, *self._mirrors())

    async def run(self, stop: asyncio.Event) -> None:
        """Write changes down until stopped."""
        await unless(stop, self._always())

    async def _always(self) -> None:
        for mirror in self._mirrors():
            await mirror.synced.wait()
        await self._settle()
        self._live.forget(self._live.present_complete())
        self._present.set()
        log.info("route table complete", services=len(self._services.items))
        while True:
            await self._wake.wait()
            await self._settle()

    def _mirrors(self) -> tuple[Mirror[Any], ...]:
        return (
            self._services,
            self._endpoints,
            self._secrets,
            self._router,
            self._builder,
            self._platform,
            self._dhparam,
        )

    def _single(self, api: Kubernetes, kind: kinds.Kind, view: type[V], name: str) -> Mirror[V]:
        """One object of our own namespace."""
        field = f"metadata.name={name}"
        return Mirror(api, kind, view, namespace=self._own, fields=field, heard=self._heard_single)

    def _heard_single(self, _key: str, _old: V | None, _new: V | None) -> None:
        self._singles_due = True
        self._wake.set()

    def _heard_service(self, key: str, _old: ServiceView | None, _new: ServiceView | None) -> None:
        self._due.add(key)
        self._wake.set()

    def _heard_slice(self, key: str, old: SliceView | None, new: SliceView | None) -> None:
        if old is not None:
            held = self._slices.get(rules.service_key(old), {})
            held.pop(key, None)
            self._mark_slices(rules.service_key(old))
        if new is not None:
            self._slices.setdefault(rules.service_key(new), {})[key] = new
            self._mark_slices(rules.service_key(new))

    def _mark_slices(self, service: str) -> None:
        if not self._slices.get(service):
            self._slices.pop(service, None)
        if service in self._services.items:
            self._due.add(service)
            self._wake.set()

    def _heard_secret(self, key: str, _old: SecretView | None, _new: SecretView | None) -> None:
        self._due_secrets.add(key)
        self._wake.set()

    async def _settle(self) -> None:
        """Make the entries of everything that is due."""
        self._wake.clear()
        if self._singles_due:
            self._singles_due = False
            await self._settle_singles()
        due, self._due_secrets = self._due_secrets, set()
        for key in sorted(due):
            await self._settle_secret(key)
        keys, self._due = self._due, set()
        # Who was written last owns an address, so the freshest word on it comes last.
        for number, key in enumerate(sorted(keys, key=self._freshness), 1):
            self._settle_service(key)
            if number % TURN == 0:
                await asyncio.sleep(0)
        self._tell("grafts", self._live.table.unmet_grafts())

    def _freshness(self, key: str) -> tuple[int, str]:
        versions = (s.metadata.resource_version for s in self._slices.get(key, {}).values())
        return max((int(v) for v in versions if v.isdigit()), default=0), key

    def _settle_service(self, key: str) -> None:
        service = self._services.items.get(key)
        app = rules.app_of(service) if service else ""
        before = self._apps.pop(key, "")
        if before and before != app:
            self._send(f"app.{before}", None)
            self._send(f"up.{before}", None)
        if service is None:
            self._use(key, set())
            self._told.pop(key, None)
            return
        self._apps[key] = app
        self._use(key, rules.certificate_names(service))
        route, problems = rules.route_of(service, self._own, self._fingerprints)
        upstreams = rules.upstreams_of(service, self._slices.get(key, {}).values())
        self._send(f"up.{app}", msgspec.json.encode(upstreams))
        self._send(f"app.{app}", msgspec.json.encode(route))
        self._tell(key, problems)

    def _use(self, key: str, names: set[str]) -> None:
        """Note which certificates a Service names."""
        for name in self._named.pop(key, set()) - names:
            self._users[name].discard(key)
            if not self._users[name]:
                del self._users[name]
        for name in names:
            self._users.setdefault(name, set()).add(key)
        if names:
            self._named[key] = names

    async def _settle_secret(self, key: str) -> None:
        name = rules.certificate_name(key)
        if not name:
            return
        secret = self._secrets.items.get(key)
        found = await self._checked(key, secret)
        if self._fingerprints.get(name, "") != found:
            self._fingerprints.pop(name, None)
            if found:
                self._fingerprints[name] = found
            self._due.update(self._users.get(name, ()))

    async def _checked(self, key: str, secret: SecretView | None) -> str:
        """Check a pair and keep it; gives its fingerprint, empty where it is of no use."""
        if secret is None:
            self._told.pop(key, None)
            return ""
        pair = rules.pair_of(secret)
        if pair is None:
            self._tell(key, ("tls.crt or tls.key is missing or no text",))
            return ""
        found = rules.fingerprint(pair)
        if self._folder.get(found) is None:
            try:  # keys take milliseconds to parse
                await asyncio.to_thread(self._folder.put, found, *pair)
            except (BadPair, OSError) as fault:
                self._tell(key, (str(fault),))
                return ""
        self._tell(key, ())
        self._live.certify(found, usable=True)
        return found

    async def _settle_singles(self) -> None:
        own = next(iter(self._router.items.values()), None)
        tuning, problems = router_settings(own.metadata.annotations if own else {})
        self._tell(f"deployment {ROUTER}", problems)
        self._send(TUNING_KEY, None if tuning == Tuning() else msgspec.json.encode(tuning))
        builder, problems = rules.builder_of(next(iter(self._builder.items.values()), None))
        self._tell(f"service {BUILDER}", problems)
        self._send(BUILDER_KEY, msgspec.json.encode(builder) if builder else None)
        secret = next(iter(self._platform.items.values()), None)
        found = await self._checked(f"secret {PLATFORM_SECRET}", secret)
        self._send(PLATFORM_KEY, msgspec.json.encode(found) if found else None)
        text = self._parameters(next(iter(self._dhparam.items.values()), None))
        self._send(DHPARAM_KEY, msgspec.json.encode(text) if text else None)

    def _parameters(self, secret: SecretView | None) -> str:
        """The parameters of Diffie-Hellman, empty where there are none, or none that one can use."""
        text, problems = "", list[str]()
        try:
            text = checked_parameters(rules.text_of(secret, "dhparam")) if secret else ""
        except ValueError as fault:
            problems.append(f"dhparam: {fault}")
        self._tell(f"secret {DHPARAM_SECRET}", problems)
        return text

    def _send(self, key: str, data: bytes | None) -> None:
        """Take an entry in, if it differs from the last one."""
        if self._sent.get(key) == data:
            return
        if data is None:
            del self._sent[key]
        else:
            self._sent[key] = data
        self._live.take(Entry(key, data, self._live.revision + 1))

    def _tell(self, what: str, problems: Iterable[str]) -> None:
        """Log what is wrong with an object, once."""
        found = tuple(problems)
        if found == self._told.get(what, ()):
            return
        self._told.pop(what, None)
        if found:
            self._told[what] = found
            log.warning("not as it should be", of=what, problems=list(found[:PROBLEMS]))
        else:
            log.info("as it should be again", of=what)
