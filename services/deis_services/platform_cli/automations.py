"""The automations of one platform, in its data folder: names, what they see, their passwords."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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


class Book:
    """The file `secrets/automations.json` of a data folder; mode 0600, never half written."""

    def __init__(self, data: Path) -> None:
        self._path = data / "secrets" / "automations.json"

    def read(self) -> dict[str, Kept]:
        """All of them, by name. Raises ServerFailed for a file that is damaged."""
        try:
            raw = self._path.read_bytes()
        except FileNotFoundError:
            return {}
        try:
            return {kept.name: kept for kept in msgspec.json.decode(raw, type=list[Kept])}
        except msgspec.DecodeError as fault:
            raise ServerFailed(
                f"{self._path} is damaged ({fault}): restore it or remove it"
            ) from None

    @contextmanager
    def changed(self) -> Iterator[dict[str, Kept]]:
        """What is there, to be changed; written at the end, by one process at a time.

        Takes moments: no waiting for anything inside. Nothing is written after an error.
        """
        lock = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            entries = self.read()
            yield entries
            self._write(entries)
        finally:
            os.close(lock)

    def _write(self, entries: dict[str, Kept]) -> None:
        draft = self._path.with_name(f".{self._path.name}.new")
        draft.unlink(missing_ok=True)
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.encode(list(entries.values())))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)
