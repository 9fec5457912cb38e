"""What the tests of the scoring server share."""

import sysconfig
import textwrap
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.replicas import RUNTIME, Replica, Start, environment_for


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Start a scoring server for a driver's source; `files` are put beside the driver, settings into the environment."""
    started: list[Replica] = []

    def start_one(
        source: str, *, files: Mapping[str, str] | None = None, driver: str = "score.py", **settings: Any
    ) -> Replica:
        folder = tmp_path / f"app-{len(started)}"
        folder.mkdir()
        for name, text in {**(files or {}), driver: textwrap.dedent(source)}.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        replica = Replica(folder, environment_for(driver, tmp_path, settings), settings.pop("program", RUNTIME))
        started.append(replica)
        return replica

    yield start_one
    for replica in started:
        await replica.discard()


@pytest.fixture(scope="session")
def site() -> str:
    """A folder of installed packages, NumPy among them: the one that these tests run from."""
    return sysconfig.get_path("purelib")
