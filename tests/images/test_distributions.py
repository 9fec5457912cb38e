"""Distributions: reading locks, and which files belong to which distribution of a tree that uv really installed."""

import shutil
from pathlib import Path

import pytest

from local.machine import this_platform
from shared.domain.errors import BuildFailed
from shared.images.packages.distributions import locked, overlaps, split
from shared.images.packages.pip import PackageInstaller

LOCK = """\
# a comment
flask==3.0.0 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
    # via nobody
Ruamel.Yaml[jinja2]==0.18.6 ; python_version > '3.8' \\
    --hash=sha256:cc
six==1.17.0
"""


def test_a_lock_is_read_in_its_order_each_package_with_its_own_lines():
    flask, ruamel, six = locked(LOCK)
    assert (flask.name, flask.version, flask.hashes) == ("flask", "3.0.0", ("sha256:aa", "sha256:bb"))
    assert flask.text == "flask==3.0.0 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n"
    assert (ruamel.name, ruamel.hashes) == ("ruamel-yaml", ("sha256:cc",))
    assert (str(six), six.hashes, six.text) == ("six==1.17.0", (), "six==1.17.0\n")
    assert locked(flask.text + six.text) == (flask, six)


@pytest.fixture(scope="module")
def installed(tmp_path_factory, package_cache) -> Path:
    tree = tmp_path_factory.mktemp("installed")
    installer = PackageInstaller(this_platform(), "3.13", package_cache)
    installer.install(installer.lock(("flask==3.0.0", "blinker==1.9.0", "python-dateutil==2.9.0")), tree)
    return tree


@pytest.fixture
def tree(tmp_path, installed) -> Path:
    """A copy of what was installed, to be changed by a test."""
    return shutil.copytree(installed, tmp_path / "tree")


def test_every_file_belongs_to_the_distribution_that_brought_it(tree):
    owned = split(tree)
    assert {Path("bin/flask"), Path("flask/__init__.py"), Path("flask-3.0.0.dist-info/RECORD")} <= set(owned["flask"])
    assert Path("dateutil/__init__.py") in owned["python-dateutil"]
    everything = [file for files in owned.values() for file in files]
    of_the_installer = (".lock", "uv_cache.json")
    files = [file for file in tree.rglob("*") if file.is_file() and file.name not in of_the_installer]
    installed = {file.relative_to(tree) for file in files}
    assert installed == set(everything)
    assert len(everything) == len(installed)
    assert all(list(files) == sorted(files) for files in owned.values())
    assert not overlaps(owned)


def test_what_no_layer_gets_belongs_to_nobody(tree):
    compiled = Path("flask/__pycache__/app.cpython-313.pyc")
    (tree / compiled).parent.mkdir()
    (tree / compiled).touch()
    with (tree / "flask-3.0.0.dist-info" / "RECORD").open("a") as record:
        record.write(f"{compiled},,\nflask/not-there.py,,\n")
    assert not {compiled, Path("flask/not-there.py")} & set(split(tree)["flask"])


def test_files_that_two_distributions_claim_are_told_with_both(tree):
    with (tree / "blinker-1.9.0.dist-info" / "RECORD").open("a") as record:
        record.write("flask/app.py,,\n")
    assert overlaps(split(tree)) == {Path("flask/app.py"): ("blinker", "flask")}


@pytest.mark.parametrize("outside", ["../outside", "/etc/hostname", "link/outside"])
def test_a_record_that_claims_a_file_outside_is_refused(tree, outside):
    (tree.parent / "outside").touch()
    (tree / "link").symlink_to(tree.parent)
    with (tree / "flask-3.0.0.dist-info" / "RECORD").open("a") as record:
        record.write(f"{outside},,\n")
    with pytest.raises(BuildFailed, match=f"flask-3.0.0 claims the file '{outside}', outside") as refused:
        split(tree)
    assert refused.value.code == "BadPackage"


@pytest.mark.parametrize("name", ["flask/.wh.app.py", ".wh..wh..opq"])
def test_a_distribution_that_would_delete_files_of_an_image_is_refused(tree, name):
    (tree / name).touch()
    with (tree / "flask-3.0.0.dist-info" / "RECORD").open("a") as record:
        record.write(f"{name},,\n")
    with pytest.raises(BuildFailed, match=f"flask-3.0.0 brings '{name}'") as refused:
        split(tree)
    assert refused.value.code == "BadPackage"
