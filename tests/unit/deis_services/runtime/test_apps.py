"""Which specs are refused before anything starts."""

import msgspec
import pytest

from deis_bus.contracts.runtime import AppSpec, Artifact, Process
from deis_bus.errors import Refused
from deis_services.runtime.apps import check

GOOD = AppSpec(
    app="blog",
    appuuid="1b671a64-40d5-491e-99b0-da01ff1f3341",
    generation=1,
    release=2,
    artifact=Artifact(slug="slugs/x/1-1.tgz"),
    environment={},
    processes=(Process(type="web", count=1),),
)


def test_a_good_one_passes() -> None:
    check(GOOD)
    check(msgspec.structs.replace(GOOD, artifact=Artifact(image="busybox"), processes=()))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"app": "Blog"}, "not an application"),
        ({"app": "blog.*"}, "not an application"),
        ({"appuuid": "../../etc"}, "not an application"),
        ({"appuuid": ""}, "not an application"),
        ({"artifact": Artifact()}, "either a slug or an image"),
        ({"artifact": Artifact(slug="a", image="b")}, "either a slug or an image"),
        ({"processes": (Process(type="we b", count=1),)}, "not a process type"),
        ({"processes": (Process(type="web", count=-1),)}, "must not be negative"),
        ({"processes": (Process(type="web", count=501),)}, "at most 500"),
    ],
)
def test_a_wrong_one_is_refused(fields: dict[str, object], words: str) -> None:
    with pytest.raises(Refused, match=words) as refused:
        check(msgspec.structs.replace(GOOD, **fields))
    assert refused.value.code == 400
