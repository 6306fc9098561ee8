"""Becomes a process of an application: run as `python -I -S -E launcher.py NUMBERS… PROGRAM …`.

    UID GID       the user to become; -1 stays
    DATA          bytes of memory of its own that each process may have; 0: no limit
    PROCESSES     processes that the user may have; 0: no limit
    TERMINAL      1: standard input becomes the controlling terminal
    ENVIRONMENT   file descriptor: files to write our number to, one a line, then NUL, then the
                  entries of the environment with NUL between them
    STATUS        file descriptor: closed once the program runs, else it says why it does not
    FOLDER        where it works

A program of its own, because code between fork and exec must not run in a process with threads;
and the environment comes through a descriptor, because LD_PRELOAD and its like in a user's
environment must not reach this program while it still is root.
"""

import fcntl
import os
import resource
import sys
import termios

FAILED = 71
PR_SET_NO_NEW_PRIVS = 38


def main(words: list[str]) -> None:
    """Never returns; exit code 71 with a sentence on STATUS when the program cannot run."""
    uid, gid, data, processes, terminal, environment, status = map(int, words[:7])
    folder, program = words[7], words[8:]
    os.set_inheritable(status, False)
    try:
        files, entries = read(environment)
        for path in files:
            with open(path, "w") as file:
                file.write(str(os.getpid()))
        if terminal:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        limit(data, processes if uid >= 0 else 0)
        become(uid, gid)
        os.umask(0o022)
        os.chdir(folder)
        os.execve(program[0], program, dict(line.split(b"=", 1) for line in entries))  # noqa: S606
    except (OSError, ValueError) as fault:
        text = (
            f"{getattr(fault, 'filename', None) or program[0]}: {getattr(fault, 'strerror', fault)}"
        )
        os.write(status, text.encode())
        os._exit(FAILED)


def read(descriptor: int) -> tuple[list[str], list[bytes]]:
    """Files to write our number to, and the environment's entries."""
    with os.fdopen(descriptor, "rb") as file:
        files, *entries = file.read().split(b"\0")
    return os.fsdecode(files).splitlines(), [entry for entry in entries if entry]


def limit(data: int, processes: int) -> None:
    """What the kernel bounds per process (memory) and per user (number of processes)."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if data:
        resource.setrlimit(resource.RLIMIT_DATA, (data, data))
    if processes:
        resource.setrlimit(resource.RLIMIT_NPROC, (processes, processes))


def become(uid: int, gid: int) -> None:
    """Another user for good, who gains no rights by setuid programs either."""
    if uid < 0:
        return
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    no_new_rights()


def no_new_rights() -> None:
    """Linux: `su`, `sudo` and other setuid programs do nothing for this process."""
    if sys.platform == "linux":
        import ctypes  # costs a millisecond, and only root's children need it

        ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


if __name__ == "__main__":
    main(sys.argv[1:])
