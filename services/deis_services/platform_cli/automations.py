"""The automations of one platform: names, what they see, their passwords; kept in a file.

On one machine the file lies in the data folder, on Kubernetes it is a key of a Secret
(automations_secret.py), which the pod of NATS has mounted.
"""

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import msgspec

from deis_bus import users
from deis_bus.automation import Automation
from deis_platform.embedded.errors import ServerFailed


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """An automation and its password; that is empty where an outside NATS keeps it."""

    name: str
    app: str = ""
    appuuid: str = ""
    password: str = ""

    def automation(self) -> Automation:
        """As the bus knows it."""
        return Automation(name=self.name, app=self.app, appuuid=self.appuuid)

    def user(self) -> users.Automation:
        """As the server's configuration knows it."""
        return users.Automation(self.name, self.password)


FILE = "automations.json"
Entries = dict[str, Kept]
"""By name."""


class Register(Protocol):
    """Where automations are kept, and the way from there to the server."""

    async def read(self) -> Entries:
        """All of them. Raises ServerFailed for what is damaged."""
        ...

    async def change(self, edit: Callable[[Entries], None]) -> None:
        """What is there, changed by `edit`, which may be called again and must not wait."""
        ...

    async def tell(self) -> None:
        """Have our server take its users in as they are kept now; nothing for somebody else's."""
        ...


def encoded(entries: Iterable[Kept]) -> bytes:
    """What the file holds."""
    return msgspec.json.encode(list(entries))


def decoded(raw: bytes, place: str) -> Entries:
    """What a file holds, by name; `place` is for the words of the ServerFailed that a damaged one
    raises."""
    try:
        return {kept.name: kept for kept in msgspec.json.decode(raw, type=list[Kept])}
    except msgspec.DecodeError as fault:
        raise ServerFailed(f"{place} is damaged ({fault}): restore it or remove it") from None


class Book:
    """The file `secrets/automations.json` of a data folder; mode 0600, never half written."""

    def __init__(self, data: Path) -> None:
        self._path = data / "secrets" / FILE

    def read(self) -> Entries:
        """All of them, by name. Raises ServerFailed for a file that is damaged."""
        try:
            raw = self._path.read_bytes()
        except FileNotFoundError:
            return {}
        return decoded(raw, str(self._path))

    @contextmanager
    def changed(self) -> Iterator[Entries]:
        """What is there, to be changed; written at the end, by one process at a time.

        Takes moments: no waiting for anything inside. Nothing is written after an error.
        """
        lock = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            entries = self.read()
            yield entries
            self._write(entries.values())
        finally:
            os.close(lock)

    def _write(self, entries: Iterable[Kept]) -> None:
        draft = self._path.with_name(f".{self._path.name}.new")
        draft.unlink(missing_ok=True)
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(encoded(entries))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)
