"""Requests as they are sent, and what becomes of faults, pauses and pages."""

import socket
from typing import Any

import pytest

from deis_bus.errors import Refused, Transient
from deis_platform.kubernetes import (
    Conflict,
    Forbidden,
    Kubernetes,
    Meta,
    NotFound,
    View,
    client,
    kinds,
    transport,
)
from deis_platform.kubernetes.access import Access
from deis_platform.kubernetes.tokens import fixed
from deis_platform.kubernetes.transport import open_transport
from tests.unit.deis_platform.kubernetes.fake import (
    READY,
    Fake,
    Step,
    answer,
    cut,
    lines,
    listing,
    obj,
    refusal,
    told,
)

MAP = kinds.CONFIG_MAP


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(transport, "MIN_PAUSE", 0.001)


async def test_reading(fake: Fake, api: Kubernetes) -> None:
    fake.will(answer(obj("a", 7, data={"x": "1"})), answer(obj("a", 7)))
    assert (await api.get(MAP, "a", "blog", view=dict))["data"] == {"x": "1"}
    view = await api.get(MAP, "a", "blog", view=View, subresource="status")
    assert view.metadata.key == "blog/a"
    assert [asked.path for asked in fake.asked] == [
        "/api/v1/namespaces/blog/configmaps/a",
        "/api/v1/namespaces/blog/configmaps/a/status",
    ]
    assert {asked.token for asked in fake.asked} == {"secret-token"}


class Metadata(View, frozen=True):
    """Metadata in another shape."""

    metadata: Meta = Meta()


class Data(View, frozen=True):
    """More than the metadata."""

    data: dict[str, str] = {}


@pytest.mark.parametrize(
    ("view", "partial"), [(dict, False), (Data, False), (View, True), (Metadata, True)]
)
async def test_who_looks_at_the_metadata_alone_is_sent_no_more(
    fake: Fake, api: Kubernetes, view: type[Any], partial: bool
) -> None:
    fake.will(answer(obj("a", 7)), answer({"metadata": {}, "items": []}))
    await api.get(MAP, "a", "blog", view=view)
    await api.list(MAP, "blog", view=view)
    one, several = (asked.headers["Accept"] for asked in fake.asked)
    version = "g=meta.k8s.io;v=v1, application/json"
    if partial:
        assert one == f"application/json;as=PartialObjectMetadata;{version}"
        assert several == f"application/json;as=PartialObjectMetadataList;{version}"
    else:
        assert one == several == "application/json"


@pytest.mark.parametrize("name", ["", ".", "..", "../../secrets/x", "%2e%2e"])
async def test_a_name_that_leads_elsewhere_is_not_asked_for(
    fake: Fake, api: Kubernetes, name: str
) -> None:
    """A DELETE without a name would be one of all objects."""
    for refused in (
        api.delete(MAP, name, "blog"),
        api.delete(MAP, "a", name),
        api.get(MAP, name, "blog", view=dict),
        api.patch(MAP, name, "blog", {}),
        api.apply(obj(name, 1)),
        api.attach(name, "blog", container="c", tty=False),
        anext(api.logs(name, "blog")),
    ):
        with pytest.raises(Refused, match="no name"):
            await refused
    assert fake.asked == []


async def test_a_name_is_quoted(fake: Fake, api: Kubernetes) -> None:
    fake.will(refusal(404))
    with pytest.raises(NotFound):
        await api.get(MAP, "x?y=1&z#", "blog", view=dict)
    assert (fake.asked[0].path, fake.asked[0].query) == (
        "/api/v1/namespaces/blog/configmaps/x?y=1&z#",
        {},
    )


async def test_writing(fake: Fake, api: Kubernetes) -> None:
    fake.will(*(answer(obj("a", version)) for version in range(4)))
    await api.apply(obj("a", 1))
    await api.create(obj("a", 1), manager="other")
    await api.patch(MAP, "a", "blog", [{"op": "remove", "path": "/data/x"}], type="json")
    assert await api.delete(MAP, "a", "blog", grace=0, uid="u")
    sent = [(one.method, one.path.rpartition("/")[2], one.query) for one in fake.asked]
    assert sent == [
        ("PATCH", "a", {"fieldManager": "deis", "force": "true"}),
        ("POST", "configmaps", {"fieldManager": "other"}),
        ("PATCH", "a", {"fieldManager": "deis"}),
        ("DELETE", "a", {}),
    ]
    contents = [one.headers.get("Content-Type") for one in fake.asked]
    assert contents[0] == "application/apply-patch+yaml"
    assert contents[1:3] == ["application/json", "application/json-patch+json"]
    assert fake.asked[3].body == {
        "propagationPolicy": "Background",
        "gracePeriodSeconds": 0,
        "preconditions": {"uid": "u"},
    }


async def test_a_conflict_is_tried_again(fake: Fake, api: Kubernetes) -> None:
    fake.will(*[refusal(409, "Conflict")] * 3, answer(obj("a", 2)))
    assert await api.apply(obj("a", 1) | {"metadata": {"name": "a", "namespace": "blog"}})
    assert len(fake.asked) == 4


async def test_a_conflict_that_does_not_settle(fake: Fake, api: Kubernetes) -> None:
    fake.will(*[refusal(409, "Conflict")] * client.ATTEMPTS)
    with pytest.raises(Conflict):
        await api.patch(MAP, "a", "blog", {"data": {}})
    assert len(fake.asked) == client.ATTEMPTS


OWNED = told(409, "Conflict") | {"details": {"causes": [{"reason": "FieldManagerConflict"}]}}


@pytest.mark.parametrize(
    ("answered", "versioned"),
    [(refusal(409, "AlreadyExists"), False), (answer(OWNED, 409), False), (refusal(409), True)],
)
async def test_conflicts_for_the_caller(
    fake: Fake, api: Kubernetes, answered: Step, versioned: bool
) -> None:
    """What exists or belongs to another stays so, and whoever names a version wants to know."""
    fake.will(answered)
    wanted = obj("a", 1)
    if not versioned:
        del wanted["metadata"]["resourceVersion"]
    with pytest.raises(Conflict):
        await api.apply(wanted)
    assert len(fake.asked) == 1


async def test_deleting_what_is_not_there(fake: Fake, api: Kubernetes) -> None:
    fake.will(refusal(404), refusal(409, "Conflict"), refusal(409, "Conflict"))
    fake.will(*[refusal(403)] * 2)
    assert not await api.delete(MAP, "a", "blog")
    assert not await api.delete(MAP, "a", "blog", uid="another")
    with pytest.raises(Conflict):
        await api.delete(MAP, "a", "blog")
    with pytest.raises(Forbidden):
        await api.delete(MAP, "a", "blog")


async def test_pages(fake: Fake, api: Kubernetes) -> None:
    fake.will(
        listing(obj("a", 1), obj("b", 2), version=5, more="next"), listing(obj("c", 3), version=5)
    )
    found = await api.list(MAP, view=View, labels="heritage=deis", fields="metadata.name!=x")
    assert [view.metadata.name for view in found.items] == ["a", "b", "c"]
    assert found.version == "5"
    selected = {
        "labelSelector": "heritage=deis",
        "fieldSelector": "metadata.name!=x",
        "limit": str(client.PAGE),
    }
    assert [asked.query for asked in fake.asked] == [selected, selected | {"continue": "next"}]


async def test_pages_that_became_too_old_are_read_in_one(fake: Fake, api: Kubernetes) -> None:
    fake.will(
        listing(obj("a", 1), more="n"), refusal(410, "Expired"), listing(obj("b", 2), version=9)
    )
    found = await api.list(MAP, "blog", view=dict)
    assert [item["metadata"]["name"] for item in found.items] == ["b"]
    assert "limit" not in fake.asked[-1].query


async def test_a_list_that_is_never_young_enough_ends(fake: Fake, api: Kubernetes) -> None:
    fake.will(*[refusal(410, "Expired")] * 2)
    with pytest.raises(Transient):
        await api.list(MAP, view=dict)
    assert len(fake.asked) == 2


async def test_no_item_at_all(fake: Fake, api: Kubernetes) -> None:
    fake.will(answer({"metadata": {"resourceVersion": "4"}, "items": None}))
    assert (await api.list(MAP, view=View)).version == "4"


async def test_busy_is_tried_again_after_the_pause(fake: Fake, api: Kubernetes) -> None:
    fake.will(
        refusal(429, Retry_After="0"), refusal(503, Retry_After="0"), answer(obj("a", 1)),
        refusal(429, Retry_After="0"), answer(obj("a", 1)),
    )  # fmt: skip
    await api.get(MAP, "a", "blog", view=dict)
    assert len(fake.asked) == 3
    await api.create(obj("a", 1))
    assert len(fake.asked) == 5


async def test_a_pause_that_is_too_long_is_for_the_caller(fake: Fake, api: Kubernetes) -> None:
    fake.will(refusal(429, message="slow down", Retry_After="3600"))
    with pytest.raises(Transient, match="slow down"):
        await api.get(MAP, "a", "blog", view=dict)
    assert len(fake.asked) == 1


async def test_a_creation_that_may_have_happened_is_not_repeated(
    fake: Fake, api: Kubernetes
) -> None:
    fake.will(refusal(500, Retry_After="0"))
    with pytest.raises(Transient):
        await api.create(obj("a", 1))
    assert len(fake.asked) == 1


@pytest.mark.parametrize("code", [401, 429, 500, 503])
async def test_what_may_go_over(fake: Fake, api: Kubernetes, code: int) -> None:
    fake.will(refusal(code, message="because"))
    with pytest.raises(Transient, match="because"):
        await api.patch(MAP, "a", "blog", {})
    assert len(fake.asked) == 1


async def test_a_refusal_that_breaks_off_is_still_that_refusal(fake: Fake, api: Kubernetes) -> None:
    """A proxy's page, or half a body: the status says enough."""
    fake.will(answer("x" * (transport.MAX_REFUSAL + 1), 404), *[answer("<html>", 403)] * 2)
    with pytest.raises(NotFound):
        await api.get(MAP, "a", "blog", view=dict)
    with pytest.raises(Forbidden):
        await api.get(MAP, "a", "blog", view=dict)


async def test_a_redirect_is_refused(fake: Fake, api: Kubernetes) -> None:
    """The token goes nowhere else."""
    fake.will(answer({}, 302, Location="/elsewhere"))
    with pytest.raises(Refused):
        await api.get(MAP, "a", "blog", view=dict)
    assert len(fake.asked) == 1


async def test_hanging_ends(fake: Fake, api: Kubernetes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "CALL_SECONDS", 0.1)
    fake.will(fake.hang, lines({}, then=fake.hang))
    for _ in range(2):  # before the head of the answer, and within its body
        with pytest.raises(Transient, match="no answer in time"):
            await api.get(MAP, "a", "blog", view=dict)
    await fake.until(lambda: fake.open == 0)


async def test_a_connection_that_ends(fake: Fake, api: Kubernetes) -> None:
    fake.will(cut, lines({}, then=cut))
    for _ in range(2):
        with pytest.raises(Transient):
            await api.patch(MAP, "a", "blog", {})


async def test_nobody_there() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and not listening
        way = Access(f"http://127.0.0.1:{taken.getsockname()[1]}", None, fixed(""))
        async with open_transport(way) as gone:
            api = Kubernetes(gone, "deis")
            with pytest.raises(Transient, match="away"):
                await api.get(MAP, "a", "blog", view=dict)
            with pytest.raises(Transient, match="away"):
                await api.attach("a", "blog", container="c", tty=False)
            assert not await api.ready()


async def test_half_an_answer_is_transient(fake: Fake, api: Kubernetes) -> None:
    fake.will(lines(rest=b'{"metadata": {"na'))
    with pytest.raises(Transient, match="cannot be read"):
        await api.get(MAP, "a", "blog", view=dict)


async def test_a_body_without_end_is_refused(
    fake: Fake, api: Kubernetes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "MAX_BODY", 1000)
    fake.will(answer("x" * 1001))
    with pytest.raises(Transient, match="too long"):
        await api.get(MAP, "a", "blog", view=dict)


async def test_ready_means_an_answer(fake: Fake, api: Kubernetes) -> None:
    fake.will(answer("ok"), *[refusal(403)] * 3, refusal(500), path=READY)
    assert [await api.ready() for _ in range(3)] == [True, True, False]


async def test_who_has_just_started_knows_nobodys_rights_yet(fake: Fake, api: Kubernetes) -> None:
    fake.ready = 500
    fake.will(refusal(403, message="may not"))
    with pytest.raises(Transient, match=r"is starting: .*may not"):
        await api.get(MAP, "a", "blog", view=dict)
    fake.ready = 200
    fake.will(refusal(403), answer(obj("a", 1)))
    assert (await api.get(MAP, "a", "blog", view=dict))["metadata"]["name"] == "a"
    fake.ready = 403  # who may not ask that either
    fake.will(*[refusal(403)] * 2)
    with pytest.raises(Forbidden):
        await api.get(MAP, "a", "blog", view=dict)
    fake.will(cut, cut, refusal(403, message="may not"))  # away just now, to both attempts
    with pytest.raises(Transient, match="is away"):
        await api.get(MAP, "a", "blog", view=dict)
    with pytest.raises(Transient, match=r"is starting: .*may not"):
        await api.get(MAP, "a", "blog", view=dict)
    fake.ready = 500  # a quota is no matter of rights
    fake.will(refusal(403, message="exceeded quota: q"))
    with pytest.raises(Forbidden):
        await api.create(obj("a", 1))
