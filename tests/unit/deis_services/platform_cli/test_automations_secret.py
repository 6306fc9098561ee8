"""Automations in a Secret, where the API server does not do what is asked at once."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest

from deis_bus.errors import Transient
from deis_platform.embedded.errors import ServerFailed
from deis_services.platform_cli.automations import FILE, Entries, Kept, encoded
from deis_services.platform_cli.automations_secret import ATTEMPTS, NUDGE, InSecret
from tests.unit.deis_platform.kubernetes.fake import (
    Fake,
    answer,
    door,
    fake_server,
    listing,
    refusal,
)

BOT = Kept(name="bot", app="blog", appuuid="u1", password="secret")
HERALD = Kept(name="herald", password="word")
PODS = "app=deis-nats"


@pytest.fixture
async def fake() -> AsyncIterator[Fake]:
    async with fake_server() as server:
        yield server


@pytest.fixture
async def kept_in(fake: Fake) -> AsyncIterator[InSecret]:
    async with door(fake) as api:
        yield InSecret(api, "automations", PODS)


def secret(version: str, raw: bytes) -> dict[str, Any]:
    """As the API server shows it."""
    return {
        "metadata": {"name": "automations", "resourceVersion": version},
        "data": {FILE: base64.b64encode(raw).decode()},
    }


def held(body: dict[str, Any]) -> bytes:
    """What was written."""
    return base64.b64decode(body["data"][FILE])


def enter(entries: Entries) -> None:
    """A change."""
    entries["bot"] = BOT


async def test_the_first_one_makes_the_secret(fake: Fake, kept_in: InSecret) -> None:
    fake.will(refusal(404), refusal(404), answer({}, 201))
    assert await kept_in.read() == {}
    await kept_in.change(enter)
    made = fake.asked[-1]
    assert (made.method, made.path) == ("POST", "/api/v1/namespaces/deis/secrets")
    assert held(made.body) == encoded([BOT])


async def test_who_comes_second_begins_with_what_the_first_left(
    fake: Fake, kept_in: InSecret
) -> None:
    fake.will(
        refusal(404),
        refusal(409, "AlreadyExists"),
        answer(secret("7", encoded([HERALD]))),
        refusal(409, "Conflict"),
        answer(secret("8", encoded([HERALD]))),
        answer({}),
    )
    await kept_in.change(enter)
    written = fake.asked[-1]
    assert written.method == "PATCH"
    assert written.body["metadata"] == {"resourceVersion": "8"}
    assert held(written.body) == encoded([HERALD, BOT])


async def test_a_change_that_never_gets_its_turn_is_told(fake: Fake, kept_in: InSecret) -> None:
    for _ in range(ATTEMPTS):
        fake.will(answer(secret("7", b"[]")), refusal(409, "Conflict"))
    with pytest.raises(Transient, match="automations is changed by others"):
        await kept_in.change(enter)


@pytest.mark.parametrize("raw", [b'[{"name": "bo', b'{"bot": 1}'])
async def test_a_damaged_secret_is_told_and_left_alone(
    fake: Fake, kept_in: InSecret, raw: bytes
) -> None:
    fake.will(answer(secret("7", raw)))
    with pytest.raises(ServerFailed, match="Secret automations is damaged"):
        await kept_in.change(enter)
    assert [asked.method for asked in fake.asked] == ["GET"]


async def test_every_pod_of_our_own_server_is_told(fake: Fake, kept_in: InSecret) -> None:
    pods = [{"metadata": {"name": name, "namespace": "deis"}} for name in ("nats-0", "nats-1")]
    fake.will(listing(*pods), refusal(404), answer({}))
    await kept_in.tell()
    assert fake.asked[0].query["labelSelector"] == PODS
    told = fake.asked[1:]
    assert [asked.path.rpartition("/")[2] for asked in told] == ["nats-0", "nats-1"]
    assert all(NUDGE in asked.body["metadata"]["annotations"] for asked in told)


async def test_somebody_else_s_server_is_told_nothing(fake: Fake) -> None:
    async with door(fake) as api:
        await InSecret(api, "automations", "").tell()
    assert fake.asked == []
