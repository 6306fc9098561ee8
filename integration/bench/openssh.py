"""git-receive-pack behind OpenSSH, where the machine has sshd: what a push costs without us."""

import asyncio
import getpass
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from deis_platform.embedded.ports import free_port
from integration.person import Person

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:" + os.environ.get("PATH", ""))
PRIVILEGED = Path("/run/sshd")
CONFIG = """Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
"""


@asynccontextmanager
async def openssh(folder: Path, person: Person) -> AsyncIterator[str]:
    """The remote of a bare repository that this person may push to; empty without sshd."""
    if SSHD is None:
        yield ""
        return
    made = _privileged_folder()
    port = free_port()
    await person.types(
        "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "host_key")
    )
    shutil.copy(person.home / ".ssh" / "id_ed25519.pub", folder / "authorized_keys")
    (folder / "sshd_config").write_text(CONFIG.format(port=port, folder=folder))
    await person.types("git", "init", "-q", "--bare", str(folder / "openssh.git"))
    process = await asyncio.create_subprocess_exec(
        SSHD, "-D", "-e", "-f", str(folder / "sshd_config"), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        await _listening(port)
        yield f"ssh://{getpass.getuser()}@127.0.0.1:{port}{folder}/openssh.git"
    finally:
        process.terminate()
        await process.wait()
        if made:
            PRIVILEGED.rmdir()


def _privileged_folder() -> bool:
    """As root sshd insists on a folder that its service makes; whether it had to be made here."""
    if os.geteuid() != 0 or PRIVILEGED.is_dir():
        return False
    PRIVILEGED.mkdir(mode=0o755)
    return True


async def _listening(port: int) -> None:
    for _ in range(200):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.02)
            continue
        writer.close()
        return
    raise RuntimeError("sshd does not listen")
