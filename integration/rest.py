"""The API by HTTP, for tests that ask often: a start of the client costs them half a second each."""

import json
from types import TracebackType
from typing import Any, Protocol, Self

import aiohttp

from integration.person import Person


class Reached(Protocol):
    """What is asked of a platform to reach it."""

    @property
    def port(self) -> int:
        """Port of the router."""
        ...

    def host(self, app: str) -> str:
        """The name of an application's page, and of the API as `deis`."""
        ...


class Rest:
    """Asks as a person who has logged in; anything but a 2xx is an AssertionError."""

    def __init__(self, platform: Reached, person: Person) -> None:
        profile = json.loads((person.home / ".deis" / "client.json").read_text())
        host = f"{platform.host('deis')}:{platform.port}"
        self._base = f"http://{person.router}:{platform.port}/v2"
        self._headers = {"Authorization": f"token {profile['token']}", "Host": host}

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(headers=self._headers)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def get(self, path: str) -> Any:
        """The decoded answer."""
        return await self._ask("GET", path)

    async def post(self, path: str, **body: object) -> Any:
        """The decoded answer; None for an empty one. Waits until the operation has ended."""
        return await self._ask("POST", path, body)

    async def raw(self, path: str) -> tuple[int, str]:
        """Status and text of a GET, whatever they are."""
        async with self._session.get(self._base + path) as answer:
            return answer.status, await answer.text()

    async def _ask(self, method: str, path: str, body: object = None) -> Any:
        async with self._session.request(method, self._base + path, json=body) as answer:
            text = await answer.text()
            assert answer.status < 300, f"{method} {path}: {answer.status} {text}"
            return json.loads(text) if text else None
