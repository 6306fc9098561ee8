"""Applications on the cluster, pushed as a person would."""

from pathlib import Path

from integration.kubernetes.platform import ClusterPlatform
from integration.person import Person
from integration.sample_app import PASSWORD, edition, repository


async def registered(platform: ClusterPlatform, home: Path, name: str) -> Person:
    """Somebody with an account and an SSH key."""
    person = platform.person(home)
    await person.types(
        *("deis", "register", platform.api),
        *(f"--username={name}", f"--password={PASSWORD}", f"--email={name}@example.com"),
    )
    await keyed(person, name)
    return person


async def keyed(person: Person, name: str) -> None:
    """An SSH key for somebody who is logged in."""
    (person.home / ".ssh").mkdir(mode=0o700)
    key = str(person.home / ".ssh" / "id_ed25519")
    await person.types(
        "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"{name}@laptop", "-f", key
    )
    await person.types("deis", "keys:add", f"{key}.pub")


async def pushed(platform: ClusterPlatform, home: Path, name: str, app: str) -> Person:
    """Somebody with an application whose first edition serves."""
    person = await registered(platform, home, name)
    await repository(person, edition(0), app)
    await person.types("git", "push", "deis", "main", says=f"{app}:v2 deployed")
    return person


async def destroyed(person: Person, app: str) -> None:
    """The end of an application, whatever became of it."""
    await person.types("deis", "destroy", "-a", app, f"--confirm={app}", code=None)
