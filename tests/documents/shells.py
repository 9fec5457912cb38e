"""Blocks given to a shell one after another, as a person pastes them: in one shell, whatever became of those before."""

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SHELLS = {"bash": ["bash", "--norc"], "zsh": ["zsh", "-f"], "dash": ["dash"]}


@dataclass(frozen=True)
class Said:
    """What came of one block."""

    status: int
    out: str
    error: str


def paste(
    texts: Sequence[str], folder: Path, results: Path, *, shell: str = "bash", path: str = "", seconds: float
) -> list[Said]:
    """Run them in that folder; what each said. Raises subprocess.TimeoutExpired when they do not end in time."""
    results.mkdir()
    script = results / "script"
    script.write_text("".join(_recorded(text, results / str(number)) for number, text in enumerate(texts)))
    environment = _a_persons(os.environ["PATH"] if not path else f"{path}:{os.environ['PATH']}")
    process = subprocess.Popen(
        [*SHELLS[shell], str(script)], cwd=folder, env=environment, stdin=subprocess.DEVNULL, start_new_session=True
    )
    try:
        process.wait(seconds)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return [_read(results / str(number)) for number in range(len(texts))]


def installed(shell: str) -> bool:
    return shutil.which(SHELLS[shell][0]) is not None


def _recorded(text: str, into: Path) -> str:
    return f"exec > {into}.out 2> {into}.error\n{text}\necho $? > {into}.status\n"


def _a_persons(path: str) -> dict[str, str]:
    """The environment without what the tests themselves were started with."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("SLIPWAY_", "MAKE", "MFLAGS", "PYTEST"))
    }
    return {**kept, "PATH": path}


def _read(place: Path) -> Said:
    return Said(
        int(Path(f"{place}.status").read_text()), Path(f"{place}.out").read_text(), Path(f"{place}.error").read_text()
    )
