"""Conda environments: what is taken from a file, and what is installed from a channel, for another platform than this."""

import hashlib
import json
import sys
from pathlib import Path

import pytest
from rattler import Channel

from shared.domain.errors import BuildFailed, Unavailable
from shared.images.packages import conda
from shared.images.packages.conda import CONDA, CondaInstaller, conda_entries, locked_packages
from shared.images.packages.environment import CondaEnvironment, parse_environment
from shared.images.packages.requirements import parse_requirements
from tests.images.channels import PLACEHOLDER, ChannelServer, Claimed, CondaChannel, Link

CONDA_FORGE = Channel("conda-forge").base_url
ALLOWED = ("conda-forge", "https://packages.example.com/team/")


def parsed(text: str, python: str = "3.13") -> CondaEnvironment:
    return parse_environment(text.encode(), ALLOWED, python)


def refused(text: str | bytes, code: str = "BadCondaEnvironment") -> str:
    with pytest.raises(BuildFailed) as raised:
        parse_environment(text if isinstance(text, bytes) else text.encode(), ALLOWED, "3.13")
    assert raised.value.code == code
    return raised.value.message


def test_a_file_is_channels_packages_and_a_pip_part():
    environment = parsed("""
        name: digits
        prefix: /home/me/miniconda3/envs/digits
        channels: [nodefaults, https://packages.example.com/team, conda-forge]
        dependencies:
        - python=3.13
        - numpy >=2,<3   # fast
        - pip
        - pip:
          - requests>=2
          - flask
        """)
    assert environment == CondaEnvironment(
        channels=("https://packages.example.com/team/", "conda-forge"),
        specs=("python=3.13", "numpy >=2,<3", "pip"),
        pip=b"requests>=2\nflask\n",
    )


@pytest.mark.parametrize(
    "text", ["dependencies: [numpy]", "{channels: , dependencies: [numpy]}", "{channels: [nodefaults]}"]
)
def test_without_a_channel_it_is_the_first_that_is_allowed(text):
    assert parsed(text).channels == ("conda-forge",)


@pytest.mark.parametrize("spelling", ["conda-forge", CONDA_FORGE, CONDA_FORGE.rstrip("/")])
def test_a_channel_is_the_same_by_its_name_and_its_url(spelling):
    assert parsed(f"channels: ['{spelling}']").channels == ("conda-forge",)
    assert parsed(f"dependencies: ['{spelling}::numpy']").channels == ("conda-forge",)


def test_the_channel_of_a_package_is_searched_as_well():
    environment = parsed("dependencies: ['https://packages.example.com/team::model', numpy]")
    assert environment.channels == ("conda-forge", "https://packages.example.com/team/")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("channels: [conda-forge, bioconda]", "channels[1] of the conda environment file: got 'bioconda'; accepted is a"),
        ("channels: [defaults]", "channels[0] of the conda environment file: got 'defaults'"),
        (
            "channels: [conda-forge/label/dev]",
            "'conda-forge/label/dev'; accepted is a channel of: conda-forge, https://pack",
        ),
        ("channels: ['https://u:SECRET@packages.example.com/team?SECRET']", "got 'https://packages.example.com/team'"),
        ("channels: [/etc]", "got '/etc'"),
        ("channels: [[conda-forge]]", "got a list"),
        ("channels: conda-forge", "channels of the conda environment file: got 'conda-forge'; accepted is a list"),
        ("dependencies: [numpy, 'bioconda::x']", "dependencies[1] of the conda environment file: got 'https://conda.anac"),
        ("dependencies: ['x[channel=bioconda]']", "accepted is a channel of: conda-forge"),
        ("dependencies: ['https://example.com/linux-64/x-1-0.conda']", "not by URL or path"),
        ("dependencies: [/etc/x-1-0.conda]", "not by URL or path"),
        ("dependencies: ['x[version=1,url=https://example.com/x-1-0.conda]']", "not by URL or path"),
        ("dependencies: [numpy, 'numpy >>2']", "dependencies[1] of the conda environment file: got 'numpy >>2'; accepted"),
        (f"dependencies: ['numpy {'(' * 100_000}1']", "at most 256 characters"),
        ("dependencies: [{sys: [x]}]", "got a mapping; accepted is a package with versions, or, once, pip"),
        (
            "dependencies: [pip: [a], pip: [b]]",
            "dependencies[1] of the conda environment file: got a mapping; accepted is a package with versions, or, once",
        ),
        ("dependencies: [pip: a]", "got a mapping"),
        ("variables: {PATH: /tmp}", "set them in the driver"),
        ("packages: [numpy]", "the section 'packages'; accepted are name, channels, dependencies, prefix"),
        ("# nothing", "The conda environment file is empty; accepted is a mapping"),
        ("- numpy", "is a list; accepted is a mapping"),
        ("channels: [conda-forge", "line 1, column"),
        ("channels:\n  - a\n b", "line 3"),
        ("channels: *nowhere", "undefined alias"),
        ("[" * 2_000, "nested too deep"),
        (b"name: \xff", "UTF-8 text"),
        (b" " * (128 * 1024 + 1), "131073 bytes; accepted are 131072"),
    ],
)
def test_what_cannot_be_taken_is_named_with_what_can(text, told):
    message = refused(text)
    assert told in message
    assert "SECRET" not in message
    assert len(message) < 500


def test_where_no_channel_is_allowed_none_is_taken():
    with pytest.raises(BuildFailed, match="No channel of conda packages is allowed here"):
        parse_environment(b"dependencies: [numpy]", (), "3.13")


def test_a_tag_makes_nothing_but_text():
    assert "accepted is" in refused("dependencies: [!!python/object/apply:os.system ['touch /tmp/x']]")


@pytest.mark.parametrize(
    "spec", ["python", "python=3.13", "python>=3.10", "python 3.13.*", "python ==3.13.2", "python<3.14"]
)
def test_an_environment_may_ask_for_the_python_that_drivers_run_on(spec):
    assert parsed(f"dependencies: ['{spec}']").specs == (spec,)


@pytest.mark.parametrize("spec", ["python=3.11", "python <3.13", "python 2", "conda-forge::python>=3.14"])
def test_another_python_is_refused_naming_both(spec):
    message = refused(f"dependencies: [numpy, '{spec}']", "PythonVersionNotSupported")
    assert f"dependencies[1] of the conda environment file: got '{spec}'; drivers run on Python 3.13 here" in message


def test_the_pip_part_is_read_as_a_requirements_file():
    assert parse_requirements(parsed("dependencies: [pip: ['requests>=2']]").pip)[0] == "requests>=2"
    with pytest.raises(BuildFailed, match="-r"):
        parse_requirements(parsed("dependencies: [pip: [-r other.txt]]").pip)


@pytest.fixture
def sources():
    with ChannelServer() as serving:
        yield serving


@pytest.fixture
def channel(sources: ChannelServer) -> CondaChannel:
    """One that has Python and a package `tool`, which needs `native`, which needs `data`."""
    channel = CondaChannel(sources)
    for subdir in ("linux-64", "linux-aarch64"):
        python = {"bin/python3.13": b"\x7fELF", "bin/python": Link("python3.13"), "lib/python3.13/os.py": b""}
        channel.add("python", "3.13.2", python, subdir=subdir, depends=["__glibc >=2.17"])
        channel.add("python", "3.11.9", {"bin/python": b"\x7fELF"}, subdir=subdir)
        native: dict[str, bytes | Link] = {
            "bin/native": f"#!{PLACEHOLDER}/bin/python\nprint('{subdir}')\n".encode(),
            "lib/libnative.so.1": b"\x7fELF" + f"{PLACEHOLDER}/share\0{PLACEHOLDER}/a:{PLACEHOLDER}/b\0".encode() + b"end",
            "lib/libnative.so": Link("libnative.so.1"),
            "bin/.native-post-link.sh": b"#!/bin/sh\ntouch $PREFIX/was-run\n",
        }
        channel.add("native", "1.0", native, subdir=subdir, depends=["data >=1"])
    channel.add("data", "1.0", {"share/data.txt": b"one"}, noarch="generic", legacy=True)
    tool = {
        "site-packages/tool/__init__.py": b"def main(): ...\n",
        "site-packages/tool/__pycache__/__init__.cpython-313.pyc": b"old",
        "python-scripts/tool-script": b"#!/bin/sh\n",
    }
    channel.add("tool", "1.0", tool, noarch="python", depends=["python", "native"], entry_points=["tool = tool:main"])
    return channel


@pytest.fixture
def installer(tmp_path) -> CondaInstaller:
    return CondaInstaller("linux/arm64", "3.13", tmp_path / "downloads")


def environment(channel: CondaChannel, *specs: str) -> CondaEnvironment:
    return CondaEnvironment(channels=(channel.url,), specs=specs)


def locked(installer: CondaInstaller, channel: CondaChannel, *specs: str) -> str:
    return installer.lock(environment(channel, *specs))


def installed(installer: CondaInstaller, lock: str, into: Path) -> Path:
    installer.install(lock, into)
    return into


def contents(tree: Path) -> dict[str, tuple[bytes | str, bool]]:
    return {
        entry.path: (entry.content.read(entry.size) if entry.content else entry.link, entry.executable)
        for entry in conda_entries(tree, CONDA)
    }


def test_packages_are_installed_for_another_platform_and_place_and_nothing_is_run(channel, installer, tmp_path):
    lock = locked(installer, channel, "tool")
    files = contents(installed(installer, lock, tmp_path / "tree"))
    assert files[f"{CONDA}/bin/native"] == (b"#!/opt/slipway/conda/bin/python\nprint('linux-aarch64')\n", True)
    assert files[f"{CONDA}/bin/python"] == ("python3.13", False)
    assert files[f"{CONDA}/lib/libnative.so"] == ("libnative.so.1", False)
    assert files[f"{CONDA}/share/data.txt"] == (b"one", False)
    assert files[f"{CONDA}/lib/python3.13/site-packages/tool/__init__.py"] == (b"def main(): ...\n", False)
    command, executable = files[f"{CONDA}/bin/tool"]
    assert executable
    assert b"#!/opt/slipway/conda/bin/python3.13" in command.splitlines()
    missing = len(PLACEHOLDER) - len("/opt/slipway/conda")
    binary = b"\x7fELF/opt/slipway/conda/share\0" + b"\0" * missing
    binary += b"/opt/slipway/conda/a:/opt/slipway/conda/b\0" + b"\0" * 2 * missing + b"end"
    assert files[f"{CONDA}/lib/libnative.so.1"] == (binary, False)
    assert not [path for path in files if "was-run" in path or "__pycache__" in path]
    assert list(files) == sorted(files, key=lambda path: path.split("/"))


def test_a_lock_names_each_package_with_its_url_and_digest(channel, installer, sources):
    lock = locked(installer, channel, "tool")
    assert lock.startswith(f"# platform: linux-aarch64\n@EXPLICIT\n{channel.url}/linux-aarch64/native-1.0-0.conda#sha256:")
    packages = locked_packages(lock)
    assert [str(package) for package in packages] == ["native==1.0", "python==3.13.2", "data==1.0", "tool==1.0"]
    for package in packages:
        content = sources.served(package.url.removeprefix(f"http://{sources.origin}/")).content
        assert hashlib.sha256(content).hexdigest() == package.sha256


def test_the_same_environment_gives_the_same_lock_and_files_wherever_it_is_installed(channel, tmp_path):
    trees = []
    for place in ("one", "another/place"):
        installer = CondaInstaller("linux/amd64", "3.13", tmp_path / place / "downloads")
        lock = locked(installer, channel, "tool", "data")
        trees.append((lock, contents(installed(installer, lock, tmp_path / place / "tree"))))
    assert trees[0] == trees[1]
    assert str(tmp_path) not in str(trees[0])


def test_an_environment_tells_tools_what_it_holds(channel, installer, tmp_path):
    lock = locked(installer, channel, "tool")
    records = installed(installer, lock, tmp_path / "tree") / "conda-meta"
    assert sorted(file.stem for file in records.iterdir()) == ["data-1.0-0", "native-1.0-0", "python-3.13.2-0", "tool-1.0-0"]
    told = json.loads((records / "tool-1.0-0.json").read_text())
    assert told["url"] == f"{channel.url}/noarch/tool-1.0-0.conda"
    assert told["files"] == ["bin/tool", "bin/tool-script", "lib/python3.13/site-packages/tool/__init__.py"]


def test_a_lock_installs_what_it_names_whatever_the_channel_has_now(channel, installer, tmp_path):
    lock = locked(installer, channel, "data")
    channel.add("data", "2.0", {"share/data.txt": b"two"}, noarch="generic")
    assert contents(installed(installer, lock, tmp_path / "tree"))[f"{CONDA}/share/data.txt"][0] == b"one"
    newer = locked(installer, channel, "data")
    assert [str(package) for package in locked_packages(newer)] == ["data==2.0"]


def test_what_was_downloaded_is_not_fetched_again(channel, installer, sources, tmp_path):
    lock = locked(installer, channel, "data")
    installer.install(lock, tmp_path / "one")
    sources.remove("channel/noarch/data-1.0-0.tar.bz2")
    assert contents(installed(installer, lock, tmp_path / "two")) == contents(tmp_path / "one")


def test_packages_may_come_from_a_channel_on_disk(channel, installer, sources, tmp_path):
    line = channel.add("data", "1.0", {"share/data.txt": b"on disk"})
    file = tmp_path / "data-1.0-0.conda"
    file.write_bytes(sources.served("channel/noarch/data-1.0-0.conda").content)
    tree = installed(installer, f"{file.as_uri()}#{line.partition('#')[2]}", tmp_path / "tree")
    assert contents(tree)[f"{CONDA}/share/data.txt"][0] == b"on disk"


def test_an_environment_without_python_has_none(channel, installer):
    assert "python" not in locked(installer, channel, "native")


def test_an_environment_of_nothing_is_nothing(channel, installer, tmp_path):
    lock = locked(installer, channel)
    assert not locked_packages(lock)
    assert not contents(installed(installer, lock, tmp_path / "tree"))


def test_a_conflict_says_who_asks_for_what(channel, installer):
    channel.add("old", "1", depends=["data <1"])
    channel.add("data", "0.9")
    with pytest.raises(BuildFailed) as raised:
        locked(installer, channel, "native", "old")
    assert raised.value.code == "DependencyConflict"
    assert "old 1 would require data <1" in raised.value.message
    assert "native 1.0 would require data >=1" in raised.value.message


def test_a_package_that_needs_another_python_is_a_conflict_with_it(channel, installer):
    channel.add("old", "1", depends=["python <3.12"])
    with pytest.raises(BuildFailed, match=r"python <3\.12.* the constraint python 3\.13\.\* cannot") as raised:
        locked(installer, channel, "old")
    assert raised.value.code == "DependencyConflict"


def test_a_package_that_needs_more_than_an_image_has_is_a_conflict_with_that(channel, installer):
    channel.add("new", "1", depends=["__glibc >=2.34"])
    with pytest.raises(BuildFailed, match=r"new 1 would require __glibc >=2\.34") as raised:
        locked(installer, channel, "new")
    assert raised.value.code == "DependencyConflict"


@pytest.mark.parametrize("spec", ["nonesuch", "data >=7"])
def test_a_package_that_does_not_exist_is_named(channel, installer, spec):
    with pytest.raises(BuildFailed, match=f"have no {spec}.* for linux-aarch64 with Python 3.13") as raised:
        locked(installer, channel, spec)
    assert raised.value.code == "RequirementNotFound"


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [(500, Unavailable, "IndexUnavailable"), (404, BuildFailed, "ChannelNotFound"), (403, None, "ChannelUnauthorized")],
)
def test_a_channel_that_does_not_answer_is_an_outage_and_one_that_refuses_is_not(installer, sources, status, kind, code):
    for file in ("repodata_shards.msgpack.zst", "repodata.json.zst", "repodata.json"):
        sources.put(f"away/noarch/{file}", b"", status)
        sources.put(f"away/linux-aarch64/{file}", b"", status)
    with pytest.raises(Exception, match=f"http://{sources.origin}/away") as raised:
        installer.lock(CondaEnvironment((f"http://{sources.origin}/away",), ("data",)))
    assert (raised.value.code, raised.value.retryable) == (code, kind is Unavailable)
    assert kind is None or isinstance(raised.value, kind)


def test_a_download_that_breaks_off_is_an_outage(channel, installer, sources, tmp_path):
    lock = locked(installer, channel, "data")
    sources.served("channel/noarch/data-1.0-0.tar.bz2").breaks_after.append(100)
    with pytest.raises(Unavailable):
        installer.install(lock, tmp_path / "tree")
    installer.install(lock, tmp_path / "tree")


def test_a_package_that_is_another_or_gone_since_it_was_locked_is_refused(channel, installer, sources, tmp_path):
    lock = locked(installer, channel, "data")
    channel.add("data", "1.0", {"share/data.txt": b"other"}, noarch="generic", legacy=True)
    with pytest.raises(BuildFailed, match="Register the manifest again") as raised:
        installer.install(lock, tmp_path / "tree")
    assert raised.value.code == "PackageChanged"
    sources.remove("channel/noarch/data-1.0-0.tar.bz2")
    with pytest.raises(BuildFailed, match="404 Not Found"):
        installer.install(lock, tmp_path / "tree")


def test_what_takes_too_long_ends(channel, installer, monkeypatch, tmp_path):
    monkeypatch.setattr(conda, "_LOCK_SECONDS", 0.01)
    monkeypatch.setattr(conda, "_INSTALL_SECONDS", 0.01)
    with pytest.raises(BuildFailed, match="lock did not end within 0 s") as raised:
        locked(installer, channel, "data")
    assert raised.value.code == "PackagesTimedOut"
    with pytest.raises(BuildFailed, match="install did not end"):
        installer.install("", tmp_path / "tree")


def test_the_process_is_told_nothing_of_the_app_and_when_it_breaks_down_the_build_fails(
    channel, installer, tmp_path, monkeypatch
):
    python, told = tmp_path / "python", tmp_path / "told"
    python.write_text(f"#!/bin/sh\nenv > {told}\nkill -ABRT $$\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setenv("AzureWebJobsStorage", "AccountKey=SECRET")
    monkeypatch.setenv("SSL_CERT_FILE", "/certificates")
    with pytest.raises(BuildFailed, match="broke down, with exit code -6"):
        locked(installer, channel, "data")
    assert "SSL_CERT_FILE=/certificates" in told.read_text()
    assert "SECRET" not in told.read_text()


def test_an_image_for_an_unknown_platform_is_refused(channel, tmp_path):
    with pytest.raises(BuildFailed, match="known are linux/amd64"):
        locked(CondaInstaller("plan9/mips", "3.13", tmp_path), channel, "data")


NOARCH_PYTHON = {"noarch": "python", "depends": ["python"]}
MODULE = {"site-packages/bad.py": b""}


@pytest.mark.parametrize(
    "packages",
    [
        pytest.param([({"x": b""}, {"paths": [{"_path": "../../evil", "path_type": "hardlink"}]})], id="path"),
        pytest.param([({"x": b""}, {"paths": [{"_path": "/tmp/evil", "path_type": "hardlink"}]})], id="absolute path"),
        pytest.param([({"evil": Link("/etc/passwd")}, {})], id="link"),
        pytest.param([({"a/b/up": Link("../.."), "evil": Link("a/b/up/../data-1.0-0")}, {})], id="link over a link"),
        pytest.param([(MODULE, NOARCH_PYTHON | {"entry_points": ["../../evil = bad:main"]})], id="command"),
        pytest.param([({}, {"build": "evil"})], id="another name"),
        pytest.param([({}, {"paths": "all"})], id="no paths"),
        pytest.param([({"evil": Claimed(64 * 1024**3)}, {})], id="too large"),
        pytest.param(
            [
                ({}, {"name": "python", "python_site_packages_path": "../evil", "subdir": "linux-aarch64"}),
                (MODULE, NOARCH_PYTHON),
            ],
            id="place of packages",
        ),
        pytest.param(
            [
                ({}, {"name": "python", "subdir": "linux-aarch64"}),
                ({"lib/python3.13/site-packages/bad": Link("../../..")}, {"name": "first"}),
                ({"site-packages/bad/evil.py": b""}, {"noarch": "python", "depends": ["python", "first"]}),
            ],
            id="through another's link",
        ),
    ],
)
def test_a_package_that_could_write_or_read_outside_is_refused_by_name(channel, installer, tmp_path, packages):
    lock = [
        channel.add(claims.get("name", "bad"), "3.13.9", files, **{key: claims[key] for key in claims if key != "name"})
        for files, claims in packages
    ]
    (tmp_path / "above").mkdir()
    with pytest.raises(BuildFailed, match=r"(bad|python)-3\.13\.9-0") as raised:
        installer.install("".join(lock), tmp_path / "above" / "tree")
    assert raised.value.code == "BadArchive"
    assert not list(tmp_path.rglob("*evil*"))


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "inner/../../outside"])
def test_no_link_of_a_layer_leads_outside(tmp_path, target):
    (tmp_path / "tree" / "deep").mkdir(parents=True)
    (tmp_path / "tree" / "inner").symlink_to("deep")
    (tmp_path / "tree" / "link").symlink_to(target)
    with pytest.raises(BuildFailed, match=f"its link 'link -> {target}' leads outside"):
        list(conda_entries(tmp_path / "tree", CONDA))
