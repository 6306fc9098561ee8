"""Somebody who reads the pages on Kubernetes and types what they say."""

import os
import socket
import subprocess
import sysconfig
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from deis_bus.users import SERVICES
from deis_platform.embedded.ports import free_port
from deis_services.platform_cli import certificate
from integration.cluster.node import Node
from integration.kubernetes import pages
from integration.kubernetes.installed import CHART, DOMAIN, merged
from integration.kubernetes.waiting import until
from integration.person import Person
from integration.sample_app import PASSWORD
from integration.servers import until as soon

NOT_TYPED = {
    "make images PREFIX=registry.example.com/deis PUSH=1": "test_images.py has images of this tree",
}
"""Commands of the pages that nobody types here, and why."""
ACCOUNT = "ada"
ANSWERS = {
    "deis register http://deis.example.com": (
        *(f"--username={ACCOUNT}", f"--password={PASSWORD}", "--email=ada@example.com"),
    ),
}
"""What the reader is asked for by a command."""
KEYS = ("reader", "readers-word")
SHOWN_SECONDS = 60.0
"""How long a cluster may take until it shows what the page shows."""


class Reader:
    """Has a terminal with `kubectl`, `helm` and `deis`, a clone of the chart, and a few files."""

    def __init__(self, person: Person, node: Node, names: Mapping[str, str]) -> None:
        self.person = person
        self.names = {**names, "example.com": DOMAIN}
        """What stands in the pages, and what it is here."""
        folder = person.folder = person.home / "clone"
        (folder / "charts").mkdir(parents=True)
        (folder / "charts" / "workflow").symlink_to(CHART)
        person.environ["KUBECONFIG"] = str(node.kubeconfig)
        person.environ["PATH"] = f"{node.binaries}{os.pathsep}{person.environ['PATH']}"
        self._own_files(folder)

    async def reads(
        self, name: str, after: Mapping[str, Callable[[], Awaitable[None]]] | None = None
    ) -> None:
        """Type every command of a page, in its order; after some, look at what came of them.

        Raises CommandFailed where one fails, AssertionError where one shows something else.
        """
        checks = dict(after or {})
        for command in pages.page(name).commands:
            if command.text not in NOT_TYPED:
                await self.types(command)
            if check := checks.pop(command.text, None):
                await check()
        assert not checks, f"{name} has no such command"

    async def types(self, command: pages.Command) -> None:
        """One command. One whose output is shown is typed until it shows that: it only looks."""
        words = [here(word, self.names) for word in command.words()] + [
            *ANSWERS.get(command.text, ())
        ]
        if command.shown is None:
            printed = await self.person.types(*words)
            if command.output():
                (self.person.folder / command.output()).write_text(printed.output)
            return
        said = ""

        async def shows() -> bool:
            nonlocal said
            said = (await self.person.types(*words, code=None)).output
            return command.prints(said)

        try:
            await soon(shows, "", SHOWN_SECONDS)
        except AssertionError:
            page = "\n".join(command.shown)
            raise AssertionError(f"$ {command.text}\n{said}\nbut the page shows\n{page}") from None

    def writes(self, name: str, page: str, more: Mapping[str, Any] | None = None) -> None:
        """A file of values as a page has it, and with some more."""
        values = merged(values_of(page, name, self.names), dict(more or {}))
        (self.person.folder / name).write_text(yaml.safe_dump(values))

    def _own_files(self, folder: Path) -> None:
        """What the pages say that the reader has."""
        key, secret = KEYS
        for name, text in {
            "access-key.txt": key,
            "secret-key.txt": secret,
            "password.txt": "it's a word",
            **{f"users/{user}": f"{user}-word" for user in SERVICES},
        }.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text)
        (folder / "tls").mkdir()
        (folder / "store").mkdir()
        certificate.ensure(folder / "tls.crt", folder / "tls.key", DOMAIN)
        for name, source in {
            "ca.crt": "tls.crt",
            "tls/tls.crt": "tls.crt",
            "tls/tls.key": "tls.key",
        }.items():
            (folder / name).write_bytes((folder / source).read_bytes())


def values_of(page: str, name: str, names: Mapping[str, str]) -> dict[str, Any]:
    """A file of values as a page has it, with the names of here."""
    found: dict[str, Any] = yaml.safe_load(here(pages.page(page).files[name], names))
    return found


def here(text: str, names: Mapping[str, str]) -> str:
    """The same with the names of here; longer ones first."""
    for name in sorted(names, key=len, reverse=True):
        text = text.replace(name, names[name])
    return text


@contextmanager
def bucket_server(folder: Path, address: str) -> Iterator[str]:
    """An S3 server of somebody else, whose buckets are folders; gives its URL."""
    port = free_port(address)
    argv = [
        *(str(Path(sysconfig.get_path("scripts")) / "rclone"), "serve", "s3", "--config", ""),
        *(
            "--addr",
            f"{address}:{port}",
            "--cache-dir",
            str(folder / "cache"),
            str(folder / "data"),
        ),
    ]
    (folder / "data").mkdir(parents=True)
    environment = {"PATH": os.defpath, "RCLONE_AUTH_KEY": f'"{",".join(KEYS)}"'}
    with subprocess.Popen(argv, env=environment, stderr=subprocess.DEVNULL) as server:
        try:
            until(lambda: _listens(address, port), "the S3 server")
            yield f"http://{address}:{port}"
        finally:
            server.kill()


def _listens(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), 3).close()
    except OSError:
        return False
    return True
