"""Removing what others made: folders nested deeper than Python recurses, and than a path is long."""

import contextlib
import os
import secrets
import stat
from collections import deque
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
OPEN = 0o700


def remove_tree(path: Path) -> None:
    """Remove a file, link or folder with all that is in it; what is not there is no fault.

    Each folder within is first moved up beside the others, so nothing here is deep. No link is
    followed, also where one is put in a folder's place meanwhile. What cannot be removed stays
    in silence, as with `shutil.rmtree(ignore_errors=True)`.
    """
    with contextlib.suppress(OSError):
        if not stat.S_ISDIR(path.lstat().st_mode):
            path.unlink()
            return
        _unlock(str(path), None)
        root = os.open(path, _FOLDER)
        try:
            _empty(root)
        finally:
            os.close(root)
        path.rmdir()


def _empty(root: int) -> None:
    unique = secrets.token_hex(8)
    waiting = deque(os.listdir(root))
    moved = 0
    while waiting:
        name = waiting.popleft()
        with contextlib.suppress(OSError):
            if not _is_folder(name, root):
                os.unlink(name, dir_fd=root)
                continue
            _unlock(name, root)
            folder = os.open(name, _FOLDER, dir_fd=root)
            try:
                for inner in os.listdir(folder):
                    place = f"{unique}-{moved}"
                    if _lift(inner, folder, place, root):
                        waiting.append(place)
                        moved += 1
            finally:
                os.close(folder)
            os.rmdir(name, dir_fd=root)


def _lift(name: str, folder: int, place: str, root: int) -> bool:
    """Remove a file; move a folder up to `place`. Whether it was a folder that is up there now."""
    with contextlib.suppress(OSError):
        if _is_folder(name, folder):
            _unlock(name, folder)
            os.rename(name, place, src_dir_fd=folder, dst_dir_fd=root)
            return True
        os.unlink(name, dir_fd=folder)
    return False


def _is_folder(name: str, parent: int) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)


def _unlock(name: str, parent: int | None) -> None:
    """An ordinary user can do nothing in a folder that is closed to him, though it is his."""
    if os.geteuid() != 0:
        with contextlib.suppress(OSError):
            os.chmod(name, OPEN, dir_fd=parent)
