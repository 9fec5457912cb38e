"""One run of an installer, or of a sandbox with the code of a package in it: in bounds, and told nothing of this app.

On Linux all that it starts ends with it, also when this app is killed.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import NamedTuple

from shared.images.packages import warden

_KEPT_ENVIRONMENT = re.compile(r"PATH|LANG|LC_\w+|SSL_CERT_(FILE|DIR)|UV_(HTTP_TIMEOUT|SYSTEM_CERTS|INSECURE_HOST)")
TIME_IS_UP = 124


@dataclass(frozen=True)
class Bounds:
    """What one run of the installer may take, and each process that it starts: seconds, bytes, files.

    `memory` is address space: the installer itself was seen to need between 1 and 2 GiB of it on 64 cores.
    """

    resolve_seconds: float = 60
    install_seconds: float = 1200
    nearest_seconds: float = 10
    """To find a version that has a wheel, for the message that one has none."""
    memory: int = 4 * 1024**3
    file_size: int = 4 * 1024**3
    open_files: int = 4096
    grace_seconds: float = 15
    """How long after its time a run may take to end by itself."""

    def met(self, said: str) -> str:
        """The bound that a process met which said this; empty when it met none."""
        signs = {
            "MemoryError": f"{self.memory >> 20} MiB of memory",
            "File too large": f"{self.file_size >> 20} MiB in a file",
            "Too many open files": f"{self.open_files} open files",
        }
        return next((f"; it may have {bound}" for sign, bound in signs.items() if sign in said), "")


class Ran(NamedTuple):
    """How a run ended, what it gave, and what it said."""

    code: int
    output: str
    said: str


def run(
    command: Sequence[str],
    told: str,
    workspace: Path,
    seconds: float,
    bounds: Bounds,
    *,
    environment: Mapping[str, str],
) -> Ran:
    """One run of a command, within bounds, in that environment. What it is told on its standard input, it can read once.

    What it writes goes to files that have no names: a build may write more than fits this process.
    """
    limits = [str(limit) for limit in (os.getpid(), seconds, bounds.memory, bounds.file_size, bounds.open_files)]
    warded = [sys.executable, "-I", "-S", warden.__file__, *limits, *command]
    with TemporaryFile() as output, TemporaryFile() as said:
        with subprocess.Popen(  # noqa: S603  # arguments are ours; what is the user's was parsed
            warded,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=said,
            env=dict(environment),
            cwd=workspace,
            start_new_session=True,
        ) as running:
            try:
                running.communicate(told.encode(), seconds + bounds.grace_seconds)
            except subprocess.TimeoutExpired:  # the warden was stopped by what it guards
                _end_with_all_below(running.pid)
                return Ran(TIME_IS_UP, "", "")
        return Ran(running.returncode, _text(output.fileno(), 16 * 1024**2), _text(said.fileno(), 128 * 1024))


def _text(file: int, most: int) -> str:
    """What was written; of what is longer, the beginning and the end."""
    half, size = most // 2, os.fstat(file).st_size
    return (os.pread(file, half, 0) + os.pread(file, half, max(half, size - half))).decode(errors="replace")


def told_to_installer(workspace: Path) -> dict[str, str]:
    """The environment of the installer. The code of packages gets another one."""
    own = {"HOME": workspace / "home", "TMPDIR": workspace / "tmp"}
    for folder in own.values():
        folder.mkdir(exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if _KEPT_ENVIRONMENT.fullmatch(name)}
    return kept | {name: str(folder) for name, folder in own.items()} | {"UV_HTTP_RETRIES": "1"}  # a build is tried again


def _end_with_all_below(process: int) -> None:
    for child in warden.children(process):
        _end_with_all_below(child)
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
