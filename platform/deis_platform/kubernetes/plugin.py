"""Credential plugins of client-go: a program that prints a token, as managed clusters use them.

Rules: kubernetes.io, "client-go credential plugins". The token is used until shortly before the
time it names, or until it is refused. Certificates out of a plugin are not taken.
"""

import os
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from deis_platform.kubernetes.access import clean
from deis_platform.kubernetes.tokens import Credential, Token, Unreadable
from deis_platform.process import ProcessError, run

PLUGIN_SECONDS = 30.0
PLUGIN_BYTES = 1024 * 1024
EARLY_SECONDS = 30.0
"""So long before its end a token is read again."""


class Variable(msgspec.Struct, frozen=True):
    """Of the plugin's environment."""

    name: str
    value: str = ""


class Plugin(msgspec.Struct, frozen=True, rename="camel"):
    """The `exec` of a kubeconfig's user."""

    api_version: str
    command: str
    args: tuple[str, ...] = ()
    env: tuple[Variable, ...] = ()
    provide_cluster_info: bool = False

    def argv(self, folder: Path) -> list[str]:
        """A command with a slash counts from the kubeconfig's folder, others from PATH."""
        command = str(folder / self.command) if "/" in self.command else self.command
        return [command, *self.args]

    def environ(self, server: str) -> dict[str, str]:
        """Ours, the kubeconfig's, and what is asked of the plugin."""
        spec: dict[str, object] = {"interactive": False}
        if self.provide_cluster_info:
            spec["cluster"] = {"server": server}
        asked = {"apiVersion": self.api_version, "kind": "ExecCredential", "spec": spec}
        told = {one.name: one.value for one in self.env}
        return {**os.environ, **told, "KUBERNETES_EXEC_INFO": msgspec.json.encode(asked).decode()}


class _Status(msgspec.Struct, frozen=True, rename="camel"):
    token: str = ""
    expiration_timestamp: datetime | None = None


class _Answer(msgspec.Struct, frozen=True):
    status: _Status


def plugin_token(plugin: Plugin, server: str, folder: Path) -> Token:
    """A token that the plugin gives."""

    async def read() -> Credential:
        try:
            ran = await run(
                plugin.argv(folder),
                env=plugin.environ(server),
                seconds=PLUGIN_SECONDS,
                output_bytes=PLUGIN_BYTES,
                check=True,
            )
        except ProcessError as fault:
            raise Unreadable(f"the exec plugin failed: {fault}") from None
        return credential(ran.stdout, datetime.now(UTC))

    return Token(read)


def credential(printed: bytes, now: datetime) -> Credential:
    """What a plugin printed. Raises Unreadable, which shows nothing of it."""
    try:
        status = msgspec.json.decode(printed, type=_Answer).status
    except msgspec.MsgspecError:
        raise Unreadable("the exec plugin's answer is no ExecCredential") from None
    token, ends = clean(status.token), status.expiration_timestamp
    if ends is None:
        return Credential(token)
    # Go's times have a zone; without one it is taken for UTC.
    ends = ends if ends.tzinfo else ends.replace(tzinfo=UTC)
    return Credential(token, max((ends - now).total_seconds() - EARLY_SECONDS, 1.0))
