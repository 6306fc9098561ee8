"""Names for applications whose creator gave none (api.md 6.1)."""

from collections.abc import Iterator

from deis_platform.names import app_name

ATTEMPTS = 20


def made_up() -> Iterator[str]:
    """A few names to try, one after the other."""
    for _ in range(ATTEMPTS):
        yield app_name()
