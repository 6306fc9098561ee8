"""The table as nginx serves it: entries in, pieces to the admin socket, the revision in force."""

import asyncio
from collections.abc import Iterable

import structlog
from msgspec.structs import replace

from deis_bus.ports import Entry
from deis_services.router import wire
from deis_services.router.admin import AdminFailed, AdminSocket
from deis_services.router.certs import CertificateFolder
from deis_services.router.model import RouteTable
from deis_services.router.policy import Profile
from deis_services.router.render import Layout
from deis_services.router.saved import Journal

log = structlog.get_logger(__name__)

RIPE_SECONDS = 4.0
"""Twice as long as nginx takes to ask a shard again."""


class LiveTable:
    """What was taken in, what of it is in force, and what the bucket's present holds.

    `changed` is set while something waits to be written, `moved` when `applied` has moved,
    `lacking` when a certificate may have to be fetched, `reshaped` when nginx' configuration may
    have to change.
    """

    def __init__(
        self,
        table: RouteTable,
        journal: Journal,
        certificates: CertificateFolder,
        platform_pem: str,
    ) -> None:
        self.table = table
        self.changed = asyncio.Event()
        self.moved = asyncio.Event()
        self.lacking = asyncio.Event()
        self.reshaped = asyncio.Event()
        self.restored = False
        """Whether there was a last good table."""
        self.applied = 0
        """Every change up to this revision of bucket ROUTES is in force."""
        self._revision = 0
        self._journal = journal
        self._certificates = certificates
        self._platform_pem = platform_pem
        self._platform_written: str | None = None
        self._seen: set[str] = set()
        self._lock = asyncio.Lock()
        self._admin: AdminSocket | None = None

    def restore(self) -> None:
        """Begin with the last good table and the certificates that are on disk."""
        for entry in self._journal.open():
            self.restored = True
            self.table.put(entry.key, entry.data)
            self._revision = max(self._revision, entry.revision)
        wanted = self.table.fingerprints()
        self._certificates.keep_only(wanted)
        for fingerprint in wanted:
            self.table.certify(fingerprint, self._certificates.get(fingerprint) is not None)
        self._tell()

    def close(self) -> None:
        """Close the journal."""
        self._journal.close()

    def layout(self, base: Layout) -> Layout:
        """What nginx should be told: on Kubernetes the table says more than the environment."""
        if not base.names:
            return base
        table = self.table
        return replace(
            base,
            structure=table.tuning.structure,
            builder=table.builder,
            profiles=table.profiles.wanted(),
            dhparam=table.dhparam,
        )

    def know_profiles(self, profiles: dict[int, Profile]) -> None:
        """nginx has locations for these: their applications are written anew."""
        self.table.know_profiles(profiles)
        self.changed.set()

    @property
    def revision(self) -> int:
        """The last revision that was taken in."""
        return self._revision

    def take(self, entry: Entry) -> None:
        """One entry of the watch. An older revision than the last one begins the present anew."""
        if entry.revision <= self._revision:
            self._seen.clear()
        self._revision = entry.revision
        self._keep(entry)
        if entry.data is None:
            self._seen.discard(entry.key)
        else:
            self._seen.add(entry.key)

    def present_complete(self) -> set[str]:
        """The present was told whole: gives the keys that we hold and it does not."""
        if not self._seen:
            # An empty bucket, perhaps a new one: its revisions begin again.
            self._revision = 0
            self.changed.set()
        missing, self._seen = self.table.keys() - self._seen, set()
        return missing

    def forget(self, keys: Iterable[str]) -> None:
        """Those keys are gone, unless the watch has told them since."""
        for key in set(keys) - self._seen:
            self._keep(Entry(key, None, self._revision))

    def certify(self, fingerprint: str, usable: bool) -> None:
        """A certificate came, or was found unusable."""
        self.table.certify(fingerprint, usable)
        self.changed.set()

    async def load(self, admin: AdminSocket) -> None:
        """Write everything into an nginx that holds nothing yet. Raises AdminFailed."""
        async with self._lock:
            revision = self._revision
            self.table.touched()
            self._platform_written = None
            await admin.apply(self._platform())
            await admin.apply(self._piece(self.table.hosts()))
            self._admin = admin
            self._grow()
            self._in_force(revision)

    def detach(self) -> None:
        """nginx is gone: changes wait until the next one is loaded."""
        self._admin = None

    async def flush(self) -> None:
        """Write what changed, if there is an nginx. Raises AdminFailed; the changes stay due."""
        async with self._lock:
            self.changed.clear()
            if self._admin is None:
                return
            hosts, revision = self.table.touched(), self._revision
            try:
                if self._platform_written != self.table.platform_certificate():
                    await self._admin.apply(self._platform())
                if hosts:
                    await self._admin.apply(self._piece(hosts))
            except AdminFailed:
                self.table.touch(hosts)
                raise
            self._grow()
            self._in_force(revision)

    def _grow(self) -> None:
        """New addresses are asked directly until nginx' groups have surely heard of them."""
        if newborn := self.table.instances.newborn():
            asyncio.get_running_loop().call_later(RIPE_SECONDS, self._ripen, newborn)

    def _ripen(self, targets: list[str]) -> None:
        self.table.ripen(targets)
        self.changed.set()

    def _keep(self, entry: Entry) -> None:
        try:
            self._journal.append([entry])
        except OSError as fault:
            # Serving goes on: a full disk must not stop routes from changing.
            log.warning("route not saved", key=entry.key, fault=str(fault))
        self.table.put(entry.key, entry.data)
        self._tell()
        self.changed.set()
        self.reshaped.set()
        if self.table.missing():
            self.lacking.set()

    def _in_force(self, revision: int) -> None:
        if revision != self.applied:
            self.applied = revision
            self.moved.set()

    def _tell(self) -> None:
        for problem in self.table.problems():
            log.warning("route entry", problem=problem)

    def _platform(self) -> wire.Piece:
        fingerprint = self.table.platform_certificate()
        pem = self._certificates.get(fingerprint) if fingerprint else None
        self._platform_written = fingerprint
        lines = [wire.api_line(self.table.api)] if self.table.api else []
        return wire.Piece(pem={"*": pem or self._platform_pem}, lines=lines)

    def _piece(self, hosts: Iterable[str]) -> wire.Piece:
        allow: dict[str, str] = {}
        pem: dict[str, str | None] = {}
        lines = []
        for host in hosts:
            site = self.table.site(host)
            lines.append(wire.line(host, site, named=self.table.named))
            own = site.fingerprint if site else ""
            pem[host] = self._certificates.get(own) if own else None
            if site is not None and site.allow is not None and site.app not in allow:
                allow[site.app], bad = wire.allowed(site.allow)
                if bad:
                    log.warning("allow-list", app=site.app, not_networks=bad[:10])
        return wire.Piece(allow=allow, pem=pem, lines=lines)
