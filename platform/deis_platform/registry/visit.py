"""Requests about one repository, with the login that the registry asks for.

A registry that wants a login names, in its answer 401, who gives tokens (Bearer), or takes the
password itself (Basic). The password goes there and nowhere else.
"""

import re
from collections.abc import Mapping

import msgspec
from yarl import URL

from deis_bus.errors import Refused
from deis_platform.registry import challenge, faults, manifests
from deis_platform.registry.challenge import Challenge
from deis_platform.registry.login import Login, login_for
from deis_platform.registry.reference import Reference
from deis_platform.registry.transport import Answer, Transport, allowed

_TOKEN = re.compile("[!-~]{1,16384}")


class _Token(msgspec.Struct, frozen=True):
    """Registries give it under either name."""

    token: str | None = None
    access_token: str | None = None


class Visit:
    """One image at one registry."""

    def __init__(
        self, transport: Transport, reference: Reference, credentials: Mapping[str, str]
    ) -> None:
        """Raises Refused for half a login."""
        self._transport = transport
        self._reference = reference
        self._login: Login = login_for(reference.authority, credentials)
        where = reference.authority
        self._plain = transport.is_insecure(where.host, where.port)
        self._base = URL.build(
            scheme="http" if self._plain else "https", host=where.host, port=where.port or None
        )
        self._authorization: Login = ""

    async def ask(self, method: str, kind: str, version: str) -> Answer:
        """One of the `manifests` or `blobs` of the repository, status 200; 405 where the registry
        knows no HEAD. Raises Refused, Transient."""
        answer = await self._ask(method, kind, version)
        # What a redirect leads to has no say in where the password goes.
        if answer.status == 401 and not answer.redirected:
            self._authorization = await self._authorize(answer)
            answer = await self._ask(method, kind, version)
        if answer.status == 200 or (method == "HEAD" and answer.status == 405):
            return answer
        raise self._fault(answer.status)

    async def _ask(self, method: str, kind: str, version: str) -> Answer:
        # Each part has passed a pattern that leaves nothing to quote.
        path = f"/v2/{self._reference.repository}/{kind}/{version}"
        headers = {"Accept": manifests.ACCEPT if kind == "manifests" else "*/*"}
        if self._authorization:
            headers["Authorization"] = self._authorization
        url = self._base.with_path(path)
        return await self._transport.ask(method, url, headers, plain=self._plain)

    async def _authorize(self, answer: Answer) -> Login:
        """What to answer a challenge. Raises Refused when there is nothing."""
        found = challenge.chosen(answer.headers.getall("WWW-Authenticate", ()))
        if found is not None and found.scheme == "bearer":
            return f"Bearer {await self._token(found)}"
        if found is None or not self._login:
            raise self._fault(401)
        return self._login

    async def _token(self, found: Challenge) -> str:
        answer = await self._transport.ask(
            "GET",
            self._realm(found),
            {"Authorization": self._login} if self._login else {},
            redirects=0,
        )
        if answer.status in (400, 401, 403):  # some say 400 of a wrong password
            raise self._fault(403 if answer.status == 403 else 401)
        if answer.status == 429:
            raise self._fault(429)
        if answer.status != 200:
            raise self._nonsense(f"its token service answers {answer.status}")
        try:
            told = manifests.decoded(answer.body, _Token)
        except manifests.Unusable:
            raise self._nonsense("its token service gives no token") from None
        token = told.token or told.access_token or ""
        if not _TOKEN.fullmatch(token):
            raise self._nonsense("its token service gives no token")
        return token

    def _realm(self, found: Challenge) -> URL:
        """Where to get a token. Raises Refused for what is no URL, or one without HTTPS."""
        told = found.parameters
        asked = {"scope": told.get("scope") or f"repository:{self._reference.repository}:pull"}
        if "service" in told:
            asked["service"] = told["service"]
        try:
            url = URL(told["realm"]).with_user(None).with_fragment(None)
            if allowed(url, plain=self._plain):
                return url.update_query(asked)
        except ValueError:
            pass
        raise self._nonsense("it names a token service without HTTPS")

    def _nonsense(self, why: str) -> Refused:
        return faults.nonsense(str(self._reference.authority), why)

    def _fault(self, status: int) -> Refused:
        """What a status that is no success means for the image."""
        reference = self._reference
        if status in (401, 403):
            # Who has a token gave the right password; registries answer 401 all the same.
            wrong = status == 401 and not self._authorization.startswith("Bearer ")
            return faults.denied(reference.image, login=bool(self._login), wrong=wrong)
        if status == 404:
            return faults.absent(reference.image)
        if status == 429:
            return faults.limited(str(reference.authority))
        return self._nonsense(f"it answers {status}")
