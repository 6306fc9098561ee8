"""Applications on the cluster, pushed as a person would."""

from pathlib import Path

from integration.kubernetes.platform import ClusterPlatform
from integration.person import Person
from integration.sample_app import edition, keyed, registered, repository

__all__ = ["destroyed", "keyed", "pushed", "registered"]


async def pushed(platform: ClusterPlatform, home: Path, name: str, app: str) -> Person:
    """Somebody with an application whose first edition serves."""
    person = await registered(platform, home, name)
    await repository(person, edition(0), app)
    await person.types("git", "push", "deis", "main", says=f"{app}:v2 deployed")
    return person


async def destroyed(person: Person, app: str) -> None:
    """The end of an application, whatever became of it."""
    await person.types("deis", "destroy", "-a", app, f"--confirm={app}", code=None)
