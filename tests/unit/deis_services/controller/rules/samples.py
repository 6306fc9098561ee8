"""Values the rules' tests start from."""

import datetime

from deis_services.controller.model import Build, Release

THEN = datetime.datetime(2024, 5, 6, 7, 8, 9, tzinfo=datetime.UTC)


def build(uuid: str = "b1", sha: str = "", dockerfile: str = "", **procfile: str) -> Build:
    """A build by ada; its keyword arguments are its Procfile."""
    return Build(
        uuid=uuid,
        app="a1",
        owner="ada",
        image="registry/example:latest",
        sha=sha,
        dockerfile=dockerfile,
        procfile=procfile,
        created=THEN,
        updated=THEN,
    )


def slug(uuid: str = "b1", **procfile: str) -> Build:
    """A build of a buildpack."""
    return build(uuid, "1234567890abcdef", **procfile)


def release(version: int, state: str = "succeeded") -> Release:
    """A release of that number."""
    return Release(
        uuid=f"r{version}",
        app="a1",
        owner="ada",
        version=version,
        summary="",
        state=state,
        config="c1",
        created=THEN,
        updated=THEN,
    )
