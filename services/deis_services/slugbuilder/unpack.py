"""Archives from outside, unpacked so that nothing lands or leads outside the folder.

Our own filter: `tarfile.data_filter` is not in the Python 3.11.2 of Debian 12. What a link may
be: `../` only in front, and what it then names must lie inside. So each link resolves to a
place inside when it is made, and stays so, because real folders are never replaced by links.
"""

import os
import shutil
import tarfile
from pathlib import Path, PurePosixPath

from deis_services.slugbuilder.errors import BuildError

MAX_FILES = 300_000
MAX_BYTES = 4 * 1024 * 1024 * 1024


def unpack(archive: Path, into: Path, *, strict: bool = True) -> None:
    """Unpack a gzip tar. Raises BuildError for links or paths leading out, and for too much.

    With `strict` off what leads out is left away in silence: our own cache, filled by buildpacks.
    """
    root = into.resolve()
    files = size = 0
    try:
        with tarfile.open(archive, "r|gz") as tar:
            for member in tar:
                files, size = files + 1, size + member.size
                if files > MAX_FILES or size > MAX_BYTES:
                    raise BuildError("The archive holds too much")
                try:
                    _member(tar, member, root)
                except BuildError:
                    if strict:
                        raise
    except (tarfile.TarError, EOFError, OSError) as fault:
        raise BuildError(f"The archive cannot be unpacked: {fault}") from fault


def _member(tar: tarfile.TarFile, member: tarfile.TarInfo, root: Path) -> None:
    parts = PurePosixPath(member.name).parts
    if PurePosixPath(member.name).is_absolute() or ".." in parts:
        raise BuildError(f"The archive holds a path leading out: {member.name}")
    if not parts:
        return
    path = root.joinpath(*parts)
    _inside(path.parent, root, member.name)
    if member.isdir():
        _folder(path, root, member)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir() and not path.is_symlink():
        raise BuildError(f"The archive replaces a folder: {member.name}")
    path.unlink(missing_ok=True)
    if member.isreg():
        _file(tar, member, path)
    elif member.issym():
        _check_link(path, member.linkname, root)
        os.symlink(member.linkname, path)
    elif member.islnk():
        _hard_link(path, member, root)
    else:
        raise BuildError(f"The archive holds a device or pipe: {member.name}")


def _folder(path: Path, root: Path, member: tarfile.TarInfo) -> None:
    if path.is_symlink():
        raise BuildError(f"The archive holds a folder over a link: {member.name}")
    path.mkdir(parents=True, exist_ok=True)
    if path != root:
        path.chmod(member.mode & 0o755 | 0o700)


def _file(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    source = tar.extractfile(member)
    if source is None:
        raise BuildError(f"The archive cannot be unpacked: {member.name} has no content")
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, 0o600), "wb") as out:
        shutil.copyfileobj(source, out, 256 * 1024)
        os.fchmod(out.fileno(), member.mode & 0o755 | 0o600)
    os.utime(path, (member.mtime, member.mtime))


def _check_link(path: Path, target: str, root: Path) -> None:
    parts = PurePosixPath(target).parts
    ups = 0
    while ups < len(parts) and parts[ups] == "..":
        ups += 1
    depth = len(path.parent.resolve().relative_to(root).parts)
    if PurePosixPath(target).is_absolute() or ups > depth or ".." in parts[ups:]:
        raise BuildError(f"The archive holds a link leading out: {path.name} -> {target}")


def _hard_link(path: Path, member: tarfile.TarInfo, root: Path) -> None:
    names = PurePosixPath(member.linkname)
    source = root.joinpath(*names.parts)
    if names.is_absolute() or ".." in names.parts:
        raise BuildError(f"The archive holds a link leading out: {member.name}")
    _inside(source.parent, root, member.name)
    if source.is_symlink() or not source.is_file():
        raise BuildError(f"The archive holds a link to nothing: {member.name}")
    shutil.copy2(source, path)


def _inside(folder: Path, root: Path, name: str) -> None:
    real = folder.resolve()
    if real != root and root not in real.parents:
        raise BuildError(f"The archive holds a path leading out: {name}")
