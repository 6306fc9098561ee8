"""Where this platform keeps its automations: its data folder, or a Secret on Kubernetes."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from deis_platform.embedded.errors import ServerFailed
from deis_platform.groups import KubernetesSettings
from deis_platform.settings import load
from deis_services.platform_cli import bus_users
from deis_services.platform_cli.automations import Book, Entries, Register
from deis_services.platform_cli.reach import Reach


class InFolder:
    """The file of a data folder, and the embedded NATS beside it."""

    def __init__(self, found: Reach) -> None:
        self._found = found
        self._book = Book(found.data)

    async def read(self) -> Entries:
        """All of them. Raises ServerFailed for a damaged file."""
        return self._book.read()

    async def change(self, edit: Callable[[Entries], None]) -> None:
        """What is there, changed by `edit`."""
        with self._book.changed() as entries:
            edit(entries)

    async def tell(self) -> None:
        """Have the server read its configuration, written anew."""
        if self._found.embedded_nats:
            await bus_users.reload(self._found.data)


@asynccontextmanager
async def register(found: Reach) -> AsyncIterator[Register]:
    """Raises ServerFailed where there is none, or no way to it."""
    if not found.options.automations_secret:
        if not (found.data / "secrets").is_dir():
            raise ServerFailed(f"{found.data} is no platform's data folder: name one with --data")
        yield InFolder(found)
        return
    # Loaded where there is a cluster: aiohttp takes its time.
    from deis_platform.kubernetes import NoCluster, open_kubernetes
    from deis_services.platform_cli.automations_secret import InSecret

    try:
        async with open_kubernetes(load(KubernetesSettings, found.environ)) as api:
            yield InSecret(api, found.options.automations_secret, found.options.nats_pods)
    except NoCluster as fault:
        raise ServerFailed(str(fault)) from None
