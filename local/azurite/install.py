"""Install Azurite from its lock file, once a lock; needs no network when that is done.

python -m local.azurite.install
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
SCRIPT = HERE / "node_modules" / "azurite" / "dist" / "src" / "azurite.js"
_STAMP = HERE / "node_modules" / ".slipway-lock"


def ensure_installed() -> None:
    """Install what the lock file names, unless that is what is there; raises CalledProcessError."""
    lock = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()
    if _STAMP.exists() and _STAMP.read_text() == lock:
        return
    subprocess.run([executable("npm"), "ci", "--no-progress"], cwd=HERE, env=environment(), check=True, stdout=sys.stderr)
    _STAMP.write_text(lock)


def executable(name: str) -> str:
    """A program of the Python environment that runs this."""
    return str(Path(sys.executable).parent / name)


def environment() -> dict[str, str]:
    """This environment, with its own node first on the path."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}


if __name__ == "__main__":
    ensure_installed()
