"""`deis-platform nats-configuration`: what NATS of the chart reads at its start.

The same users and rights as on one machine, made from the same data, with TLS and on every address.
It is run before the server, in its pod, so that rights and server are of one version.
"""

import argparse
import json
import os
from pathlib import Path

from deis_bus.users import SERVICES, authorization
from deis_platform.embedded.nats import MEMORY_BYTES, PAYLOAD_BYTES, PENDING_BYTES
from deis_platform.settings import size
from deis_services.platform_cli.screen import complain

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
    """Write the file, mode 0600; the exit code: 1 where a password is missing, 2 for a wrong size."""
    try:
        text = configuration(asked, size(asked.store_limit))
        write(Path(asked.output), text)
    except ValueError as fault:
        complain(f"--store-limit: {fault}")
        return 2
    except OSError as fault:
        complain(f"{fault.filename}: {fault.strerror}")
        return 1
    return 0


def configuration(asked: argparse.Namespace, store_bytes: int) -> str:
    """The server's configuration. `passwords` holds a file for each user, `tls` a certificate and
    its key as Kubernetes names them. Raises OSError for a missing password."""
    words = {name: Path(asked.passwords, name).read_text("utf-8").strip() for name in SERVICES}
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
        users=authorization(words, pods=True),
    )


def write(path: Path, text: str) -> None:
    """A new file that nobody else reads; a container that is started again replaces it."""
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
