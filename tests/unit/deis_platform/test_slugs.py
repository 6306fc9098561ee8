"""Slugs that may run, and those that are refused with a sentence (DESIGN 9)."""

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from deis_platform import slugs

Edit = Callable[[tarfile.TarInfo], None]


def entry(name: str, data: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    for field, value in fields.items():
        setattr(member, field, value)
    return member, data


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, type=kind, linkname=target)


def unpacked(folder: Path, *entries: tuple[tarfile.TarInfo, bytes], **bounds: int) -> Path:
    archive, place = folder / "slug.tgz", folder / "slug"
    with tarfile.open(archive, "w:gz") as tar:
        for member, data in entries:
            tar.addfile(member, io.BytesIO(data))
    slugs.extract(str(archive), str(place), **bounds)
    return place


def test_what_is_there_is_read_only(tmp_path: Path) -> None:
    place = unpacked(
        tmp_path,
        entry("./bin/run", b"#!", mode=0o755),
        entry("./data", b"x", mode=0o664),
        entry("./empty", type=tarfile.DIRTYPE, mode=0o777),
    )
    modes = {path.name: path.stat().st_mode & 0o7777 for path in place.rglob("*")}
    assert modes == {"bin": 0o555, "run": 0o555, "data": 0o444, "empty": 0o555}
    assert place.stat().st_mode & 0o7777 == 0o555


def test_links_inside_are_kept(tmp_path: Path) -> None:
    place = unpacked(
        tmp_path,
        entry("lib/real/file", b"x"),
        link("lib/now", "real"),
        link("lib/through", "real/../now/file"),
        link("later", "comes"),
        entry("comes", b"y"),
        link("same", "comes", tarfile.LNKTYPE),
    )
    assert (place / "lib/now/file").read_bytes() == b"x"
    assert (place / "lib/through").read_bytes() == b"x"
    assert (place / "later").read_bytes() == (place / "same").read_bytes() == b"y"


@pytest.mark.parametrize(
    "target", ["/etc/passwd", "../outside", "a/../../outside", "..", "deep/up/../../.."]
)
def test_a_link_leading_out_is_refused(tmp_path: Path, target: str) -> None:
    with pytest.raises(slugs.BadSlug, match="link leading out"):
        unpacked(tmp_path, entry("deep/file", b""), link("deep/up", "."), link("leak", target))


def test_links_that_lead_out_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(slugs.BadSlug, match="link leading out"):
        unpacked(tmp_path, entry("a/b/f", b""), link("short", "."), link("leak", "short/../x"))


@pytest.mark.parametrize("name", ["/etc/cron.d/x", "../x", "a/../../x"])
def test_a_path_leading_out_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(slugs.BadSlug, match="path leading out"):
        unpacked(tmp_path, entry(name, b"x"))
    assert not (tmp_path / "x").exists()


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    with pytest.raises(slugs.BadSlug):
        unpacked(tmp_path, link("d", "../outside"), entry("d/x", b"x"))
    assert not list((tmp_path / "outside").iterdir())


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_devices_and_pipes_are_refused(tmp_path: Path, kind: bytes) -> None:
    with pytest.raises(slugs.BadSlug, match="device or pipe"):
        unpacked(tmp_path, entry("dev", type=kind))


@pytest.mark.parametrize("mode", [0o4755, 0o2755])
def test_setuid_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(slugs.BadSlug, match="setuid"):
        unpacked(tmp_path, entry("su", b"x", mode=mode))


def test_a_hard_link_out_or_to_nothing_is_refused(tmp_path: Path) -> None:
    for target in ("../slug.tgz", "/etc/passwd", "nothing"):
        with pytest.raises(slugs.BadSlug):
            unpacked(tmp_path, link("x", target, tarfile.LNKTYPE))
        os.rmdir(tmp_path / "slug")


def test_too_many_and_too_large(tmp_path: Path) -> None:
    files = [entry(f"f{number}", b"12345") for number in range(4)]
    with pytest.raises(slugs.BadSlug, match="too much"):
        unpacked(tmp_path / ".", *files, max_files=3)


def test_too_large(tmp_path: Path) -> None:
    with pytest.raises(slugs.BadSlug, match="too much"):
        unpacked(tmp_path, entry("f", b"12345"), max_bytes=4)


@pytest.mark.parametrize("data", [b"", b"no archive", b"\x1f\x8b\x08\x00nothing that unpacks"])
def test_what_is_no_archive(tmp_path: Path, data: bytes) -> None:
    archive = tmp_path / "slug.tgz"
    archive.write_bytes(data)
    with pytest.raises(slugs.BadSlug, match="not a gzip tar archive"):
        slugs.extract(str(archive), str(tmp_path / "slug"))
