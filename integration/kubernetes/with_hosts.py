"""`with_hosts.py FILE COMMAND…`: run a command that finds FILE where the system has /etc/hosts.

It stands for the DNS entries that an operator makes. The mount is seen by the command alone: it
is run inside `unshare --mount` (see `person`).
"""

import ctypes
import os
import sys

BIND = 4096


def main() -> None:
    """Never returns."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(sys.argv[1].encode(), b"/etc/hosts", None, BIND, None):
        sys.exit(f"cannot mount {sys.argv[1]}: {os.strerror(ctypes.get_errno())}")
    os.execvp(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
