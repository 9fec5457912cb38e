"""Packages installed as an image has them, for the drivers of tests."""

import subprocess
import sys
from pathlib import Path

from uv import find_uv_bin


def install(folder: Path, *packages: str) -> Path:
    """The folder, with those packages and what they need in it."""
    command = [find_uv_bin(), "pip", "install", "--quiet", "--python", sys.executable, "--target", str(folder), *packages]
    subprocess.run(command, check=True)
    return folder
