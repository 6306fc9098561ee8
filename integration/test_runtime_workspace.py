"""Slugs and images as folders: fetched once, whole or not at all, never anything that leads out."""

import asyncio
import os
import tarfile
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deis_bus.contracts.runtime import Artifact
from deis_bus.errors import Refused, Transient
from deis_services.runtime import images, slugs
from deis_services.runtime.workspace import Workspace
from integration.task_rig import INSTANCE, UUID, Machine, machine

pytestmark = pytest.mark.server
SLUG: dict[str, str | bytes] = {"Procfile": "web: true\n", "bin/run": "#!/bin/sh\necho ran\n"}


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Machine]:
    async with machine(tmp_path) as made:
        yield made


def leftovers(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.endswith(slugs.PART)]


async def test_a_slug_is_fetched_once(here: Machine) -> None:
    artifact = here.artifact(SLUG)
    one, two = await asyncio.gather(
        *(here.workspace.prepare("blog", UUID, artifact) for _ in range(2))
    )
    assert one == two
    del here.store.held[artifact.slug]
    assert await here.workspace.prepare("blog", UUID, artifact) == one
    assert (one.folder / "bin" / "run").read_text() == "#!/bin/sh\necho ran\n"
    assert await here.output("$HOME/bin/run", prepared=one) == (0, "ran\n")
    assert not leftovers(here.folder)


async def test_a_slug_that_is_gone_is_refused(here: Machine) -> None:
    artifact = here.artifact(SLUG)
    here.store.held.clear()
    with pytest.raises(Refused, match="no longer in the object store"):
        await here.workspace.prepare("blog", UUID, artifact)


async def test_a_token_of_another_application_opens_nothing(here: Machine) -> None:
    artifact = here.artifact(SLUG)
    here.store.tokens["token"] = "slugs/other"
    with pytest.raises(Refused, match="may not be fetched"):
        await here.workspace.prepare("blog", UUID, artifact)


async def test_artifacts_may_be_away_for_a_moment(here: Machine) -> None:
    artifact = here.artifact(SLUG)
    here.store.away = 3
    assert (await here.workspace.prepare("blog", UUID, artifact)).folder.is_dir()


async def test_artifacts_that_stays_away_is_transient(
    here: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slugs, "FETCH_SECONDS", 0.3)
    artifact = here.artifact(SLUG)
    here.store.away = 1000
    with pytest.raises(Transient, match="503"):
        await here.workspace.prepare("blog", UUID, artifact)
    nobody = Artifact(slug=artifact.slug, url="http://127.0.0.1:1/x", token="t")
    with pytest.raises(Transient, match="artifacts is away"):
        await here.workspace.prepare("blog", UUID, nobody)
    assert not leftovers(here.folder)


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../accounts.json", "bin/../../x"])
async def test_a_slug_with_a_link_leading_out_is_refused(here: Machine, target: str) -> None:
    artifact = here.artifact({**SLUG, "leak": f"->{target}"})
    with pytest.raises(Refused, match="The slug holds a link leading out: leak") as caught:
        await here.workspace.prepare("blog", UUID, artifact)
    assert caught.value.code == 400
    assert not list((here.workspace.folder / "apps" / UUID).iterdir())


async def test_a_slug_with_a_path_leading_out_is_refused(here: Machine) -> None:
    with pytest.raises(Refused, match="path leading out"):
        await here.workspace.prepare("blog", UUID, here.artifact({"../../escaped": "x"}))
    assert not list(here.folder.rglob("escaped"))


async def test_a_slug_that_is_none_is_refused(here: Machine) -> None:
    with pytest.raises(Refused, match="not a gzip tar archive"):
        await here.workspace.prepare("blog", UUID, here.artifact(b"no archive"))


async def test_a_slug_over_the_limit_is_refused(here: Machine, tmp_path: Path) -> None:
    small = Workspace(tmp_path / "small", images.load(""), slug_limit_bytes=1000)
    artifact = here.artifact({"big": os.urandom(5000)})
    with pytest.raises(Refused, match="larger than 1000 bytes"):
        await small.prepare("blog", UUID, artifact)
    await small.forget(UUID)


async def test_a_bomb_of_headers_costs_only_its_own_process(here: Machine) -> None:
    member = tarfile.TarInfo("pax")
    member.type, member.size = tarfile.XHDTYPE, 3 << 30
    packer = zlib.compressobj(1, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    head = packer.compress(member.tobuf(tarfile.USTAR_FORMAT)) + packer.flush(zlib.Z_FULL_FLUSH)
    piece = packer.compress(bytes(64 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    artifact = here.artifact(head + piece * 48)
    with pytest.raises(Refused, match="headers are too large"):
        await here.workspace.prepare("blog", UUID, artifact)
    assert not leftovers(here.folder)


async def test_a_runtime_killed_while_it_unpacked_leaves_no_half_slug(here: Machine) -> None:
    artifact = here.artifact(SLUG)
    place = (await here.workspace.prepare("blog", UUID, artifact)).folder
    half = place.with_name(f".{place.name}.abcd{slugs.PART}")
    place.rename(half)
    again = Workspace(here.workspace.folder, images.load(""))
    await again.clean()
    assert not half.exists()
    prepared = await again.prepare("blog", UUID, artifact)
    assert (prepared.folder / "Procfile").exists()


async def test_after_a_restart_of_the_machine_slugs_are_fetched_anew(here: Machine) -> None:
    place = (await here.prepared(SLUG)).folder
    (here.workspace.folder / "boot").write_text("another boot")
    await here.workspace.clean()
    assert not place.exists()


async def test_older_slugs_and_folders_of_instances_go(here: Machine) -> None:
    first = here.artifact(SLUG, "first")
    second = here.artifact({**SLUG, "more": "x"}, "second")
    old = await here.workspace.prepare("blog", UUID, first)
    new = await here.workspace.prepare("blog", UUID, second)
    await here.workspace.keep_only(UUID, {second.slug})
    assert (old.folder.exists(), new.folder.exists()) == (False, True)
    home = Path(here.command(new, "true").environment["HOME"])
    assert home.is_dir()
    await here.workspace.done(UUID, INSTANCE)
    assert not home.exists()
    assert new.folder.exists()


async def test_the_slug_of_what_runs_stays(here: Machine) -> None:
    old = await here.workspace.prepare("blog", UUID, here.artifact(SLUG, "old"))
    running = await here.start("read x; cat Procfile", prepared=old, stdin=True)
    await here.workspace.keep_only(UUID, {"slugs/new.tgz"})
    assert running.stdin is not None
    assert running.stdout is not None
    running.stdin.write(b"\n")
    assert await running.stdout.read() == b"web: true\n"
    await running.bury()
    await here.workspace.done(UUID, INSTANCE)
    await here.workspace.keep_only(UUID, {"slugs/new.tgz"})
    assert not list((here.workspace.folder / "apps" / UUID).iterdir())


async def test_a_forgotten_application_leaves_nothing(here: Machine) -> None:
    prepared = await here.prepared(SLUG)
    home = Path(here.command(prepared, "true").environment["HOME"])
    assert here.workspace.known() == {UUID}
    await here.workspace.forget(UUID)
    await here.workspace.forget(UUID)
    assert here.workspace.known() == set()
    assert not home.exists()
    assert not prepared.folder.exists()


async def test_an_identity_is_no_path(here: Machine) -> None:
    for appuuid in ("../x", "", "a/b", "."):
        with pytest.raises(Refused):
            await here.workspace.prepare("blog", appuuid, here.artifact(SLUG))


async def test_types_without_a_command_are_the_slugs_own(here: Machine) -> None:
    prepared = await here.prepared({"Procfile": "web: echo from the Procfile $PORT\n"})
    assert await here.output("", prepared=prepared) == (0, "from the Procfile 5001\n")


async def test_release_variables_and_profile_scripts_reach_the_process(here: Machine) -> None:
    prepared = await here.prepared(
        {
            ".release": '{"config_vars": {"GREETING": "pack", "WHO": "pack"}}',
            ".profile.d/a.sh": 'export TEXT="$GREETING $WHO in $(basename $HOME)"\n',
        }
    )
    told = await here.output('echo "$TEXT"', {"WHO": "config"}, prepared=prepared)
    assert told == (0, "pack config in home\n")


async def test_an_image_runs_from_its_folder(tmp_path: Path) -> None:
    (tmp_path / "hello").mkdir(mode=0o755)
    (tmp_path / "hello" / "text").write_text("hello\n")
    (tmp_path / "images.yaml").write_text(
        "images: {example/hello: {folder: hello, command: 'cat text; echo $PORT', port: 80}}\n"
        "refused: {example/private: 'denied: no'}\n"
    )
    async with machine(tmp_path, str(tmp_path / "images.yaml")) as here:
        prepared = await here.workspace.prepare("blog", UUID, Artifact(image="example/hello"))
        assert prepared.port == 80
        assert await here.output("", prepared=prepared) == (0, "hello\n5001\n")
        assert await here.output("pwd", prepared=prepared) == (0, f"{tmp_path}/hello\n")
        for name in ("example/private", "example/none"):
            with pytest.raises(Refused):
                await here.workspace.prepare("blog", UUID, Artifact(image=name))
        (tmp_path / "hello" / "text").unlink()
        (tmp_path / "hello").rmdir()
        with pytest.raises(Refused, match="has no folder"):
            await here.workspace.prepare("blog", UUID, Artifact(image="example/hello"))


@pytest.mark.root
async def test_what_fled_under_a_user_of_ours_ends_at_the_next_start(here: Machine) -> None:
    prepared = await here.prepared(SLUG)
    child = await here.start("sleep 300", prepared=prepared)
    again = Workspace(here.workspace.folder, images.load(""))
    await again.clean()
    assert await child.wait() == 128 + 9
    await child.bury()
