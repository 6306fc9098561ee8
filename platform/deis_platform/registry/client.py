"""What an image is: HEAD for the digest, then manifest and configuration unless they are known.

All of it is checked against its digests, so what was learned once of a digest stays true; the
registry is still asked each time whether the name is there, and whether we may have it.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Mapping

import msgspec

from deis_platform.groups import RegistrySettings
from deis_platform.registry import faults, manifests
from deis_platform.registry.manifests import ImageFacts, Unusable
from deis_platform.registry.reference import Reference, is_digest, parse
from deis_platform.registry.transport import (
    DEFAULTS,
    Answer,
    Limits,
    Transport,
    open_transport,
)
from deis_platform.registry.visit import Visit

KNOWN = 512
MAX_FACTS_BYTES = 4096
"""Larger ones are not kept; an image may have a start command of megabytes."""
AT_ONCE = 16
"""Inspections; each may hold a body of 4 MB. More of them wait, within their time limit."""


class Registry:
    """Any registry that an image's name leads to. Made by `open_registry`."""

    def __init__(self, transport: Transport, architecture: str) -> None:
        self._transport = transport
        self._architecture = architecture
        self._known: dict[tuple[str, str, str], ImageFacts] = {}
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def inspect(self, image: str, credentials: Mapping[str, str]) -> ImageFacts:
        """Digest, ports and start command of an image.

        `credentials` is the app's registry configuration: username, password, hostname, or
        nothing. Raises Refused 400 with a sentence for the user; its kind is `invalid`,
        `reserved`, `absent`, `denied`, `limited`, `unusable`, `platform` (for other processors
        than this one's), `nonsense` or `unreachable`.
        Raises Transient when the registry is away.
        """
        reference = parse(image)
        visit = Visit(self._transport, reference, credentials)
        try:
            async with asyncio.timeout(self._transport.limits.inspection), self._turns:
                return await self._inspect(reference, visit)
        except TimeoutError:
            raise faults.away(str(reference.authority)) from None
        except Unusable as fault:
            raise faults.unusable(image, str(fault), fault.kind) from None

    async def _inspect(self, reference: Reference, visit: Visit) -> ImageFacts:
        digest = _digest_in(await visit.ask("HEAD", "manifests", reference.version), reference)
        key = (str(reference.authority), reference.repository, digest)
        if found := self._known.pop(key, None):
            self._known[key] = found  # the last one used is the last one forgotten
            return found
        found = await self._read(visit, digest or reference.version)
        self._keep((*key[:2], found.digest), found)
        return found

    async def _read(self, visit: Visit, version: str) -> ImageFacts:
        body = await _content(visit, "manifests", version)
        digest = version if is_digest(version) else manifests.digest_of(body)
        image = manifests.manifest(body)
        if image.manifests is not None:
            chosen = manifests.for_platform(image, self._architecture)
            image = manifests.manifest(await _content(visit, "manifests", chosen))
        return manifests.facts(digest, await _content(visit, "blobs", manifests.config_of(image)))

    def _keep(self, key: tuple[str, str, str], found: ImageFacts) -> None:
        if len(msgspec.json.encode(found)) > MAX_FACTS_BYTES:
            return
        self._known[key] = found
        while len(self._known) > KNOWN:
            del self._known[next(iter(self._known))]


@contextlib.asynccontextmanager
async def open_registry(
    settings: RegistrySettings, limits: Limits = DEFAULTS
) -> AsyncIterator[Registry]:
    """A client; nothing is asked yet. Raises SettingsError when the CA file cannot be read."""
    machine = os.uname().machine
    async with open_transport(settings, limits) as transport:
        yield Registry(transport, manifests.MACHINES.get(machine, machine))


def _digest_in(answer: Answer, reference: Reference) -> str:
    """What the name stands for; empty where the registry does not say (some know no HEAD)."""
    if reference.digest:
        return reference.digest
    told = answer.headers.get("Docker-Content-Digest", "")
    return told if answer.status == 200 and is_digest(told) else ""


async def _content(visit: Visit, kind: str, version: str) -> bytes:
    """Of a manifest or a blob, checked. Raises Unusable for what is something else."""
    answer = await visit.ask("GET", kind, version)
    if is_digest(version) and not manifests.is_content(answer.body, version):
        raise Unusable("the registry gives something else than the digest says")
    return answer.body
