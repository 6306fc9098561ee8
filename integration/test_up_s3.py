"""`deis-platform up` with a bucket in place of its folder of objects."""

import json
import signal
from pathlib import Path

import pytest

from deis_bus.errors import Transient
from deis_platform.embedded.ports import free_port
from deis_platform.objects import open_objects
from integration.platform_cli_rig import typed
from integration.platform_up import platform_up
from integration.s3_servers import Rclone, RunningS3, s3_server
from integration.sample_app import NAME, commit, edition, registered, repository
from integration.servers import until

pytestmark = [pytest.mark.server, pytest.mark.timeout(200)]

PREFIX = "platforms/one"


async def keys(s3: RunningS3) -> list[str]:
    """Of the platform's objects; none of them has a name outside its prefix."""
    async with open_objects(s3.settings(PREFIX)) as store, open_objects(s3.settings()) as whole:
        found = [info.key for info in await store.list()]
        assert [f"{PREFIX}/{key}" for key in found] == [info.key for info in await whole.list()]
    return found


async def doctor(data: Path, environ: dict[str, str] | None = None) -> list[dict[str, str]]:
    """What it finds about the object store."""
    answer = await typed(data, "doctor", "-o", "json", environ=environ)
    findings: list[dict[str, str]] = json.loads(answer.text)
    return [finding for finding in findings if finding["component"] == "objects"]


async def reads(s3: RunningS3) -> bool:
    """Whether the server answers again."""
    try:
        return bool(await keys(s3))
    except Transient:
        return False


async def empty(s3: RunningS3) -> bool:
    """Whether no object is left."""
    return not await keys(s3)


async def test_from_push_to_page_on_a_bucket(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with (
        s3_server(Rclone, tmp_path) as s3,
        platform_up(data, environ=s3.environment(PREFIX)) as platform,
    ):
        person = await registered(platform, tmp_path / "home")
        await repository(person, edition(0))
        await person.types("git", "push", "deis", "main", says=f"{NAME}:v2 deployed")
        assert await person.sees(f"{NAME}.localhost", platform.port) == (200, "edition 0")
        families = {key.split("/")[0] for key in await keys(s3)}
        assert "slugs" in families <= {"sources", "slugs", "cache"}
        assert not list((data / "objects").rglob("*.tgz"))
        assert await doctor(data) == []

        s3.signal(signal.SIGSTOP)
        [finding] = await doctor(data)
        assert finding["evidence"].startswith(f"s3://deis/{PREFIX} at {s3.endpoint}: ")
        s3.signal(signal.SIGKILL)
        await commit(person, edition(1))
        await until(lambda: reads(s3), "the store is back")
        await person.types("git", "push", "deis", "main", says=f"{NAME}:v3 deployed")
        assert await person.sees(f"{NAME}.localhost", platform.port) == (200, "edition 1")

        await person.types("deis", "destroy", f"--confirm={NAME}")
        await until(lambda: empty(s3), "the bucket is empty of a destroyed application")
        told = platform.log() + (data / "ready.json").read_text()
        assert s3.owner.secret not in told
        assert s3.owner.key not in told


async def test_what_up_says_of_a_wrong_bucket_and_the_doctor_of_one_that_is_away(
    tmp_path: Path,
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("NOTTHISONE")
    away = {
        "DEIS_OBJECTS_URL": "s3://deis",
        "DEIS_S3_ENDPOINT": f"http://127.0.0.1:{free_port()}",
        "DEIS_S3_KEY_FILE": str(secret),
        "DEIS_S3_SECRET_FILE": str(secret),
    }
    for change, says in (
        ({"DEIS_OBJECTS_URL": "s3://deis/a//b"}, "DEIS_OBJECTS_URL: not a prefix"),
        ({"DEIS_S3_ENDPOINT": "http://me:NOTTHISONE@x"}, "DEIS_S3_ENDPOINT: expected http"),
        ({"DEIS_S3_KEY_FILE": ""}, "belong together"),
        ({"DEIS_S3_SECRET_FILE": f"{secret}s"}, f"{secret}s cannot be read"),
        ({"DEIS_S3_SECONDS": "0"}, "DEIS_S3_SECONDS: expected a number above 0"),
    ):
        answer = await typed(tmp_path / "data", "up", environ=away | change)
        assert answer.code == 1
        assert says in answer.text
        assert "NOTTHISONE" not in answer.text
        assert "Traceback" not in answer.text
    assert not (tmp_path / "data").exists()
    [finding] = await doctor(tmp_path / "data", away)
    assert "the object store is away: EndpointConnectionError" in finding["evidence"]
    assert finding["command"] == f"curl -sSI {away['DEIS_S3_ENDPOINT']}"
    assert await doctor(tmp_path / "data") == []
