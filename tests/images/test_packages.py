"""Installing packages: what a build may know and how long it may take. Its index is on loopback."""

import asyncio
import hashlib
import io
import json
import os
import tarfile
from functools import partial
from pathlib import Path

import pytest

from shared.domain.errors import BuildFailed
from shared.images import packages
from shared.images.packages import PackageInstaller
from shared.settings import this_platform
from tests.images.sources import Sources
from tests.waiting import until

BACKEND = """
import json, os, time
from pathlib import Path
Path({told!r}).write_text(json.dumps([os.getpid(), dict(os.environ)]))
time.sleep(600)
"""


@pytest.fixture
def slow_package(tmp_path, monkeypatch):
    """An index with one source package, whose build tells who runs it and then never ends."""
    told = tmp_path / "told.json"
    project = (
        "[build-system]\nrequires=[]\nbuild-backend='back'\nbackend-path=['.']\n[project]\nname='slow'\nversion='1.0'\n"
    )
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        files = {"pyproject.toml": project, "back.py": BACKEND.format(told=str(told))}
        files["PKG-INFO"] = "Metadata-Version: 2.1\nName: slow\nVersion: 1.0\n"
        for name, text in files.items():
            info = tarfile.TarInfo(f"slow-1.0/{name}")
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    with Sources() as index:
        index.put("slow-1.0.tar.gz", packed.getvalue())
        link = f"/slow-1.0.tar.gz#sha256={hashlib.sha256(packed.getvalue()).hexdigest()}"
        index.put("simple/slow/", f'<a href="{link}">slow-1.0.tar.gz</a>'.encode())
        monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://{index.origin}/simple")
        yield told


async def test_a_build_that_takes_too_long_ends_with_all_it_started(slow_package: Path, tmp_path, monkeypatch):
    monkeypatch.setattr(packages, "_INSTALL_SECONDS", 5)
    monkeypatch.setenv("AzureWebJobsStorage", "AccountKey=SECRET")
    monkeypatch.setenv("IDENTITY_ENDPOINT", "http://127.0.0.1:1")
    installer = PackageInstaller(this_platform(), "3.13", tmp_path / "downloads")
    lock = installer.lock(("slow",))
    with pytest.raises(BuildFailed, match="within 5 s"):
        installer.install(lock, tmp_path / "tree")
    builder, told = json.loads(await asyncio.to_thread(slow_package.read_text))
    assert not {"AzureWebJobsStorage", "IDENTITY_ENDPOINT"} & told.keys()
    await until(partial(_ended, builder))


async def _ended(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False
