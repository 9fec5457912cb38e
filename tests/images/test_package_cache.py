"""What is kept of packages is digested whenever it is used: nobody who can write there can change what is installed."""

from pathlib import Path

import pytest

from local.machine import this_platform
from shared.images.packages.pip import PackageInstaller
from tests.images.indexes import PURE


def kept(folder: Path, name: str) -> Path:
    (file,) = folder.rglob(name)
    return file


@pytest.mark.parametrize("form", ["wheel", "source"])
def test_a_poisoned_cache_is_found_named_and_fetched_again_whoever_poisoned_it(index, tmp_path, form):
    if form == "wheel":
        lock, name = index.add_wheel("victim"), "victim-1.0-py3-none-any.whl"
    else:
        index.add("victim", PURE)
        lock, name = "", "victim-1.0.tar.gz"
    installer = PackageInstaller(this_platform(), "3.13", tmp_path / "downloads", indexes=(index.url,))
    lock = lock or installer.lock(("victim",))
    installer.install(lock, tmp_path / "first")
    file = kept(tmp_path / "downloads", name)
    good = file.read_bytes()
    file.write_bytes(b"poisoned")
    told: list[str] = []
    installer.install(lock, tmp_path / "again", told.append)
    assert told[0] == f"{name} in the cache of packages was not what its SHA-256 says: it is fetched again"
    assert (tmp_path / "again" / "victim.py").exists()
    assert kept(tmp_path / "downloads", name).read_bytes() == good
    told.clear()
    installer.install(lock, tmp_path / "last", told.append)
    assert not any("cache" in line for line in told)
