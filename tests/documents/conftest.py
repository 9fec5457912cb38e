"""A fresh copy of the repository, and the stack that `make up` runs in it."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.azurite.server import free_ports
from tests.documents.blocks import REPOSITORY

INSTALLED = (".venv", "local/azurite/node_modules")


def fresh_copy(folder: Path) -> Path:
    """The repository's files without what Git ignores, and what is installed beside them."""
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    for name in listed.split("\0"):
        if (REPOSITORY / name).is_file() and name:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, folder / name)
    for name in INSTALLED:
        (folder / name).symlink_to((REPOSITORY / name).resolve(), target_is_directory=True)
    return folder


@pytest.fixture(scope="session")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh copy in which nothing runs."""
    return fresh_copy(tmp_path_factory.mktemp("stopped"))


@pytest.fixture(scope="session")
def up(tmp_path_factory: pytest.TempPathFactory, layer_cache: Path) -> Iterator[Path]:
    """A fresh copy in which `make up` runs, on a home of its own and a port that was free."""
    folder = fresh_copy(tmp_path_factory.mktemp("up"))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLIPWAY_", "MAKE", "MFLAGS"))}
    environment = {**kept, "SLIPWAY_SCRATCH": str(layer_cache), "PORT": str(free_ports(1)[0])}
    with (folder / "up.log").open("w") as log:
        process = subprocess.Popen(
            ["make", "up"],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    try:
        _wait_for(folder / ".slipway" / "local.json", process)
        yield folder
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(timeout=60)


def _wait_for(description: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 180
    while not description.exists():
        assert process.poll() is None, (description.parents[1] / "up.log").read_text()
        assert time.monotonic() < deadline, (description.parents[1] / "up.log").read_text()
        time.sleep(0.1)
