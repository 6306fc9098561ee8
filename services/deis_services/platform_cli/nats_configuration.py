"""`deis-platform nats-configuration`: what NATS of the chart reads.

The same users and rights as on one machine, made from the same data, with TLS and on every address.
It is run before the server, in its pod, so that rights and server are of one version; with
`--follow` it goes on beside the server, which takes automations in as they come and go.
"""

import argparse
import contextlib
import json
import os
import signal
import time
from pathlib import Path

from deis_bus.users import SERVICES, Automation, authorization
from deis_platform.embedded import orphans
from deis_platform.embedded.errors import ServerFailed
from deis_platform.embedded.nats import MEMORY_BYTES, PAYLOAD_BYTES, PENDING_BYTES
from deis_platform.settings import size
from deis_services.platform_cli.automations import FILE, decoded
from deis_services.platform_cli.screen import complain

LOOK_SECONDS = 0.5

TEMPLATE = """\
server_name: deis-nats
listen: {listen}
http: {monitor}
max_payload: {payload}
max_pending: {pending}
max_control_line: 16KB
lame_duck_duration: 30s
lame_duck_grace_period: 1s
tls {{
  cert_file: {certificate}
  key_file: {key}
  timeout: 5
}}
jetstream {{
  store_dir: {store}
  max_file_store: {store_bytes}
  max_memory_store: {memory}
}}
{users}"""


def run(asked: argparse.Namespace) -> int:
    """Write the file, mode 0600; the exit code: 1 where a password is missing, 2 for a wrong size.
    With `--follow` it does not come back."""
    try:
        store_bytes = size(asked.store_limit)
    except ValueError as fault:
        complain(f"--store-limit: {fault}")
        return 2
    try:
        # Read once: a service that runs on has the password of its start.
        words = {name: Path(asked.passwords, name).read_text("utf-8").strip() for name in SERVICES}
        kept = kept_now(asked)
        write(Path(asked.output), configuration(asked, store_bytes, words, automations(kept)))
        if asked.follow:
            follow(asked, store_bytes, words, kept)
    except OSError as fault:
        complain(f"{fault.filename}: {fault.strerror}")
        return 1
    return 0


def follow(asked: argparse.Namespace, store_bytes: int, words: dict[str, str], kept: bytes) -> None:
    """Whenever automations have changed, have the server of this configuration read it again; it
    may be in a container of its own, but among the processes that are seen from here."""
    tell(asked)  # of what came while this container was started again
    while True:
        time.sleep(LOOK_SECONDS)
        # Nothing counts when it is seen twice: files of a Secret are exchanged below us.
        if (now := kept_now(asked) or kept_now(asked)) == kept:
            continue
        kept = now
        write(Path(asked.output), configuration(asked, store_bytes, words, automations(kept)))
        tell(asked)


def tell(asked: argparse.Namespace) -> None:
    """Have a running server of this configuration read it."""
    for pid in orphans.started_with("--config", asked.output):
        with contextlib.suppress(ProcessLookupError):  # the next one reads it at its start
            os.kill(pid, signal.SIGHUP)


def kept_now(asked: argparse.Namespace) -> bytes:
    """The file of automations as it is now; empty where there is none."""
    try:
        return Path(asked.automations, FILE).read_bytes() if asked.automations else b""
    except FileNotFoundError:
        return b""


def automations(kept: bytes) -> list[Automation]:
    """The users in that file. A damaged one is told and counts as empty: services have to run."""
    try:
        return [one.user() for one in decoded(kept or b"[]", FILE).values()]
    except ServerFailed as fault:
        complain(str(fault))
        return []


def configuration(
    asked: argparse.Namespace,
    store_bytes: int,
    words: dict[str, str],
    outside: list[Automation],
) -> str:
    """The server's configuration. `words` are passwords by service; `tls` names a folder with a
    certificate and its key as Kubernetes calls them."""
    return TEMPLATE.format(
        listen=json.dumps(asked.listen),
        monitor=json.dumps(asked.monitor),
        payload=PAYLOAD_BYTES,
        pending=PENDING_BYTES,
        certificate=json.dumps(f"{asked.tls}/tls.crt"),
        key=json.dumps(f"{asked.tls}/tls.key"),
        store=json.dumps(asked.store),
        store_bytes=store_bytes,
        memory=MEMORY_BYTES,
        users=authorization(words, outside, pods=True),
    )


def write(path: Path, text: str) -> None:
    """A new file that nobody else reads, in the place of an old one: no reader sees half of it."""
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)
