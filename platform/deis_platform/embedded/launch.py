"""Becomes a server: run as `python -I -S -E launch.py SIGNAL UID GID PARENT PROGRAM ARGUMENT…`.

Drops to the user (UID -1: stays), asks the kernel for SIGNAL when the parent dies, then executes
the program. A program of its own, because code between fork and exec must not run in a process
with threads. The wish is forgotten when the user changes, so it comes after.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Never returns; exit code 70 when the parent is gone already."""
    number, uid, gid, parent = (int(text) for text in sys.argv[1:5])
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:  # it died before the kernel knew the wish
        os._exit(70)
    os.execv(sys.argv[5], sys.argv[5:])  # noqa: S606 - an argument list, no shell


if __name__ == "__main__":
    main()
