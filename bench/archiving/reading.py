"""Reads one archive in a process of its own, which prints what became of it and the memory that it took."""

import json
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from shared.domain.errors import BuildFailed
from shared.images.content.archives import archive_kind, members
from shared.images.content.guard import Limits

_PIECE = 1024 * 1024


@dataclass(frozen=True)
class Read:
    """What became of an archive, the MiB that reading it took, and the seconds of processor time."""

    outcome: str
    grown: float
    seconds: float


def read_apart(file: Path) -> Read:
    """Read that archive in a process of its own."""
    done = subprocess.run([sys.executable, "-m", __name__, str(file)], capture_output=True, text=True, check=True)
    return Read(**json.loads(done.stdout))


def _peak() -> float:
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def _read(file: Path) -> str:
    try:
        with file.open("rb", buffering=0) as archive:
            kind = archive_kind(archive.read(512), "it")
            archive.seek(0)
            for member in members(archive, kind, "it", Limits()):
                for _ in iter(partial(member.content.read, _PIECE), b"") if member.content else ():
                    pass
    except BuildFailed as error:
        return error.message
    return "taken"


def _main() -> None:
    import time  # noqa: PLC0415  # beside what it measures

    before, began = _peak(), time.process_time()
    outcome = _read(Path(sys.argv[1]))
    print(json.dumps({"outcome": outcome, "grown": _peak() - before, "seconds": time.process_time() - began}))


if __name__ == "__main__":
    _main()
