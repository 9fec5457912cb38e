"""Sources are built without a compiler: one that needs it is refused at once, and what would do instead is named."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from local.machine import this_platform
from shared.domain.errors import BuildFailed
from shared.images.packages.pip import PackageInstaller
from shared.images.packages.sandbox import NoSandbox
from tests.images.indexes import PURE
from tests.images.making import Log, assembled, make_builder, source

CALL = "import os, shlex, subprocess\n"


@pytest.fixture
def installer(tmp_path, index) -> PackageInstaller:
    return PackageInstaller(this_platform(), "3.13", tmp_path / "downloads", indexes=(index.url,))


@pytest.fixture
def trusting(installer) -> PackageInstaller:
    """One in which the code of packages can leave marks in folders of a test."""
    return replace(installer, sources=NoSandbox())


@pytest.fixture
def refusal(installer, tmp_path) -> Callable[[str], BuildFailed]:
    return lambda requirement: refusal_of(installer, requirement, tmp_path / "tree")


def refusal_of(installer: PackageInstaller, requirement: str, tree: Path) -> BuildFailed:
    with pytest.raises(BuildFailed) as failed:
        installer.install(installer.lock((requirement,)), tree)
    return failed.value


def marked(path: Path) -> str:
    """Code that says that it was run."""
    return f"open({str(path)!r}, 'w').close()\n"


@pytest.mark.parametrize("wanted", ["cython", "meson-python", "maturin", "scikit-build-core", "setuptools-rust", "pybind11"])
def test_a_source_whose_build_asks_for_what_compiles_is_refused_before_it_is_built(index, trusting, tmp_path, wanted):
    index.add_wheel(wanted, "3.0")
    index.add("native", marked(tmp_path / "built") + PURE, requires=(f"{wanted}>=1",))
    refused = refusal_of(trusting, "native==1.0", tmp_path / "tree")
    assert refused.code == "NoWheel"
    assert f"native==1.0 has no wheel for {this_platform()} with Python 3.13, and its source holds more" in refused.message
    assert not (tmp_path / "built").exists()


@pytest.mark.parametrize(
    "call",
    [
        "subprocess.run(['gcc', '-c', 'x.c'], check=True)",
        "subprocess.run(['c++', '--version'], check=True)",
        "subprocess.run([*shlex.split(os.environ['CC']), 'x.c'], check=True)",
        "subprocess.run([*shlex.split(os.environ['LDSHARED']), 'x.o'], check=True)",
        "subprocess.run('cmake .. && make', shell=True, check=True)",
        "subprocess.run(['cargo', 'build'], check=True)",
        "subprocess.run(['gfortran', 'x.f'], check=True)",
    ],
)
def test_a_build_that_starts_a_compiler_is_refused_as_one_that_needs_it(index, refusal, call):
    index.add("native", f"{CALL}{call}\n{PURE}")
    refused = refusal("native")
    assert refused.code == "NoWheel"
    assert "its source holds more than Python" in refused.message


def test_a_build_that_can_do_without_its_compiler_is_installed(index, installer, tmp_path):
    index.add("speedy", f"{CALL}assert subprocess.run(['cc', 'x.c']).returncode != 0\n{PURE}")
    installer.install(installer.lock(("speedy",)), tmp_path / "tree")
    assert (tmp_path / "tree" / "speedy.py").exists()


def test_what_is_run_to_learn_what_a_package_needs_finds_no_compiler_either(index, refusal):
    index.add("native", f"{CALL}subprocess.run(['cc', 'x.c'], check=True)\n", more="dynamic=['dependencies']\n")
    assert refusal("native").code == "NoWheel"


@pytest.mark.parametrize(
    ("others", "told"),
    [
        ({"0.8": "py3-none-any", "1.1": "py3-none-any", "2.0": "py3-none-any"}, "nearest version that has one is 1.1:"),
        ({"0.7": "py3-none-any", "0.8": "py3-none-any"}, "nearest version that has one is 0.8:"),
        ({"1.1": "cp39-cp39-win_amd64", "1.2": "cp313-none-any"}, "nearest version that has one is 1.2:"),
        ({"1.1": "cp39-cp39-win_amd64"}, "No version of it in the package index has one: name another package."),
        ({}, "No version of it in the package index has one: name another package."),
    ],
)
def test_the_nearest_version_that_has_a_wheel_is_named(index, refusal, others, told):
    index.add("native", f"{CALL}subprocess.run(['cc', 'x.c'], check=True)\n")
    for version, tag in others.items():
        index.add_wheel("native", version, tag)
    assert told in refusal("native==1.0").message


def test_a_version_with_wheels_for_other_platforms_only_is_refused_with_the_nearest(index, refusal):
    for version, tag in (("1.0", "cp313-cp313-win_amd64"), ("1.4", "py3-none-any")):
        index.add_wheel("windowed", version, tag)
    assert "nearest version that has one is 1.4:" in refusal("windowed==1.0").message


def test_what_is_built_is_said_before_it_is_built(index, trusting, tmp_path):
    built = tmp_path / "built"
    index.add("pure", marked(built) + PURE)
    said: list[tuple[str, bool]] = []
    trusting.install(trusting.lock(("pure",)), tmp_path / "tree", lambda line: said.append((line, built.exists())))
    assert said == [(f"no wheel for {this_platform()}, so built from their sources: pure==1.0", False)]
    assert built.exists()


async def test_the_build_log_says_what_is_resolved_and_what_is_built(index, sources, tmp_path):
    for name in ("pure", "setuptools"):
        index.add(name, PURE)
    (tmp_path / "downloads").mkdir()
    builder = make_builder(tmp_path / "builder", sources, tmp_path / "downloads", indexes=(index.url,))
    log = Log()
    await assembled(builder, source(sources, requirements="pure\nsetuptools\n"), log)
    begun = [next(line for line in log.lines if line.startswith(sign)) for sign in ("resolving", "installing", "no wheel")]
    assert begun == [
        "resolving 2 requirements",
        "installing 2 packages that no layer is there of",
        f"no wheel for {this_platform()}, so built from their sources: pure==1.0, setuptools==1.0",
    ]
