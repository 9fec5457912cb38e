"""A program between this app and an installer or a sandbox: it bounds what that may take, and ends all that it has started.

It is run by its path, with nothing of the app to import: `warden.py APP SECONDS MEMORY FILE_SIZE OPEN_FILES COMMAND…`. What
runs in a sandbox has no way to signal it.
"""

import ctypes
import os
import resource
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path


def ward(app: str, seconds: str, memory: str, file_size: str, open_files: str, *command: str) -> int:
    """The work of the process between this app and what it runs: to bound it, and to end all that it has started.

    What loses its parent below this process becomes its child, so that nothing gets away. It ends as well when the app does.
    """
    limits = {resource.RLIMIT_FSIZE: int(file_size), resource.RLIMIT_NOFILE: int(open_files), resource.RLIMIT_CORE: 0}
    if sys.platform == "linux":
        prctl = ctypes.CDLL(None).prctl
        prctl(1, ctypes.c_ulong(signal.SIGTERM))  # PR_SET_PDEATHSIG
        prctl(36, ctypes.c_ulong(1))  # PR_SET_CHILD_SUBREAPER
        if os.getppid() != int(app):  # it ended before it would have been told
            return 143
        limits[resource.RLIMIT_AS] = int(memory)
    for kind, most in limits.items():
        hard = resource.getrlimit(kind)[1]
        limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (limit, limit))
    for ending, code in ((signal.SIGTERM, 143), (signal.SIGALRM, 124)):
        signal.signal(ending, lambda *_, code=code: sys.exit(code))
    signal.setitimer(signal.ITIMER_REAL, float(seconds))
    running = subprocess.Popen(command, process_group=0)  # noqa: S603  # as above
    try:
        code = running.wait()
        return code if code >= 0 else 128 - code
    finally:
        _end_all(running.pid)


def _end_all(first: int) -> None:
    """End all processes below this one."""
    for ending in (signal.SIGTERM, signal.SIGALRM):
        signal.signal(ending, signal.SIG_IGN)
    with suppress(ProcessLookupError):
        os.killpg(first, signal.SIGKILL)
    with suppress(ChildProcessError):
        while True:
            for process in children(os.getpid()):
                os.kill(process, signal.SIGKILL)
            os.waitpid(-1, 0)


def children(*parents: int) -> list[int]:
    """The processes that have one of those parents, ended ones that nobody has waited for included."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(status.read_text().rpartition(")")[2].split()[1]) in parents:
                found.append(int(status.parent.name))
    return found


if __name__ == "__main__":
    sys.exit(ward(*sys.argv[1:]))
