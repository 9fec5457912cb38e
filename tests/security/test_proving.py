"""The sandbox is believed when a hostile program tried it in vain; else no code of packages runs."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from local.machine import this_platform
from shared.domain.building import NOT_BUILT_HERE
from shared.domain.errors import BuildFailed
from shared.images.packages.pip import PackageInstaller
from shared.images.packages.proving import ProvenSandbox, lacking
from shared.images.packages.sandbox import Bubblewrap, NoSandbox
from tests.images.indexes import PURE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is made of Linux namespaces")


def test_a_hostile_program_can_do_nothing_in_the_sandbox(who):
    code = (
        "from shared.images.packages.proving import lacking\n"
        "from shared.images.packages.sandbox import Bubblewrap\n"
        "print(*lacking(Bubblewrap()), sep=', ')"
    )
    ran = who.run(code)
    assert (ran.stdout, ran.stderr) == ("\n", "")


def test_the_hostile_program_is_one_without_the_sandbox():
    assert {part.partition(" ")[0] for part in lacking(NoSandbox())} >= {
        "environments",
        "files",
        "caches",
        "ports",
        "sockets",
    }
    assert "other processes can be signalled" in lacking(NoSandbox())


def test_another_system_than_linux_has_none():
    assert lacking(Bubblewrap(), "darwin") == ["the namespaces of Linux"]


def test_a_sandbox_that_did_not_hold_is_tried_again_and_one_that_held_is_not():
    tried: list[str] = []

    class Recovering(Bubblewrap):
        def command(self, program: Any, *, work: Path, readable: Any) -> list[str]:
            tried.append("")
            return ["false"] if len(tried) == 1 else super().command(program, work=work, readable=readable)

    sandbox = ProvenSandbox(Recovering())
    assert [bool(sandbox.lacking()) for _ in range(3)] == [True, False, False]
    assert len(tried) == 2


class Lacking(Bubblewrap):
    """A sandbox on a host that grants no namespaces."""

    def command(self, program: Any, *, work: Path, readable: Any) -> list[str]:
        return ["false"]


class Leaking(Bubblewrap):
    """A sandbox that shows what it should not."""

    def command(self, program: Any, *, work: Path, readable: Any) -> list[str]:
        return super().command(program, work=work.parent, readable=[*readable, Path("/proc")])


@pytest.mark.parametrize(
    ("sandbox", "says"),
    [
        (Lacking(), r"the sandbox does not start \(exit code 1\)"),
        (Leaking(), "environments of other processes can be read, files of the app can be read"),
        (NoSandbox(), "ports of this machine can be reached"),
    ],
)
def test_where_the_sandbox_does_not_hold_sources_are_refused_saying_what_is_lacking_and_what_to_do(
    tmp_path, sandbox, says, index
):
    marked = tmp_path / "marked"
    index.add("pure", f"open({str(marked)!r}, 'w').close()\n" + PURE)
    installer = PackageInstaller(
        this_platform(), "3.13", tmp_path / "downloads", sources=ProvenSandbox(sandbox), indexes=(index.url,)
    )
    lock = replace(installer, sources=NoSandbox()).lock(("pure",))
    for attempt in (lambda: installer.lock(("pure",)), lambda: installer.install(lock, tmp_path / "tree")):
        with pytest.raises(BuildFailed, match=says) as failed:
            attempt()
        assert failed.value.code == NOT_BUILT_HERE
        for remedy in ("a version that has a wheel", "SLIPWAY_REGISTRY_RESOURCE_ID", "SLIPWAY_SOURCE_PACKAGES=trust"):
            assert remedy in failed.value.message
    assert not marked.exists()


def test_the_package_that_every_image_of_the_client_needs_is_built_in_the_sandbox(tmp_path, package_cache):
    installer = PackageInstaller(this_platform(), "3.13", package_cache)
    told: list[str] = []
    installer.install(installer.lock(("liac-arff==2.5.0",)), tmp_path / "tree", told.append)
    assert told == [f"no wheel for {this_platform()}, so built from their sources: liac-arff==2.5.0"]
    assert (tmp_path / "tree" / "arff.py").exists()


def test_the_package_that_every_image_of_the_client_needs_is_refused_where_the_sandbox_does_not_hold(package_cache):
    installer = PackageInstaller(this_platform(), "3.13", package_cache, sources=ProvenSandbox(Lacking()))
    with pytest.raises(BuildFailed, match=r"liac-arff.* has no wheel .* the sandbox does not start") as failed:
        installer.lock(("liac-arff==2.5.0",))
    assert failed.value.code == NOT_BUILT_HERE
