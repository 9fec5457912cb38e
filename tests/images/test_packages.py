"""Installing packages: what a build may know, take and leave behind. What is hostile comes from an index on loopback."""

import errno
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from local.machine import this_platform
from shared.domain.building import NOT_BUILT_HERE
from shared.domain.errors import BuildFailed, InsufficientStorage, Unavailable
from shared.images.packages.bounded import Bounds
from shared.images.packages.distributions import locked
from shared.images.packages.pip import PackageInstaller, proven_sandbox
from shared.images.packages.sandbox import NoSandbox
from shared.images.packages.sources import NotBuilt
from tests.images.indexes import PURE, WHEEL
from tests.waiting import eventually

GIB = 1024**3
MARK = "import contextlib\nwith contextlib.suppress(OSError):\n    open({told!r}, 'w').close()\n"
TELL = (
    PURE
    + """
import json, os, sys
def read(name):
    try:
        return open(f"/proc/{os.getppid()}/{name}", "rb").read().decode()
    except FileNotFoundError:
        return ""
def tells(build):
    def built(folder, *_):
        name = build(folder)
        with zipfile.ZipFile(f"{folder}/{name}", "a") as wheel:
            above = [read(name) for name in ("cmdline", "environ")]
            wheel.writestr("told.json", json.dumps([dict(os.environ), sys.prefix, sys.stdin.read(), above]))
        return name
    return built
build_wheel = tells(build_wheel)
"""
)
DAEMON = """
import os, time
reading, writing = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() != 0:
        os._exit(0)
    for number in range(3):
        os.close(number)
    os.write(writing, b"!")
    time.sleep(600)
os.read(reading, 1)
"""


@pytest.fixture
def installer(tmp_path, index) -> Callable[..., PackageInstaller]:
    def made(**changes: object) -> PackageInstaller:
        given = {"platform": this_platform(), "python": "3.13", "downloads": tmp_path / "downloads", "indexes": (index.url,)}
        return PackageInstaller(**{**given, **changes})

    return made


linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
everywhere = pytest.mark.parametrize("where", [proven_sandbox, NoSandbox], ids=["sandbox", "trust"])


@pytest.fixture
def at_work(tmp_path, monkeypatch) -> Callable[[], list[str]]:
    """The processes that are at work in the folders of this test's builds, by their command lines."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)

    def processes() -> list[str]:
        lines = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                lines.append(path.read_bytes().decode())
        return [line for line in lines if str(folder) in line]

    return processes


@linux
@everywhere
def test_a_build_is_told_nothing_of_the_app(index, installer, tmp_path, monkeypatch, where):
    secrets = {
        "AzureWebJobsStorage": "AccountKey=SECRET",
        "IDENTITY_ENDPOINT": "http://127.0.0.1:1/SECRET",
        "MSI_SECRET": "SECRET",
        "AZURE_CLIENT_SECRET": "SECRET",
        "SLIPWAY_REGISTRY_PASSWORD": "SECRET",
        "UV_DEFAULT_INDEX": "http://user:SECRET@127.0.0.1:1/simple",
        "HTTPS_PROXY": "http://user:SECRET@127.0.0.1:1",
    }
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    index.add("curious", TELL)
    signed = index.url.replace("//", "//user:SECRET@")
    builder = installer(indexes=(signed,), sources=where())
    builder.install(builder.lock(("curious",)), tmp_path / "tree")
    environment, prefix, standard_input, above = json.loads((tmp_path / "tree" / "told.json").read_text())
    assert not secrets.keys() & environment.keys()
    assert "SECRET" not in json.dumps([environment, standard_input, above])
    for name in ("HOME", "TMPDIR"):
        assert environment[name] != os.environ.get(name)
        assert not Path(environment[name]).exists()
    assert not Path(prefix).is_relative_to(tmp_path / "downloads")
    assert (tmp_path / "tree" / "curious.py").exists()


@linux
@everywhere
@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("bytearray(8 << 30)", "MemoryError; it may have 4096 MiB of memory"),
        ("open('huge', 'wb').truncate(8 << 30)", "File too large; it may have 4096 MiB in a file"),
        (
            "files = [open('/dev/null') for _ in range(5000)]",
            "Too many open files: '/dev/null'; it may have 4096 open files",
        ),
        ("raise SystemExit('see http://host/path?sig=SECRET')", "see http://host/path"),
        ("import os; os.kill(os.getpid(), 9)", "SIGKILL"),
    ],
)
def test_a_build_that_takes_too_much_or_fails_is_named_with_its_reason(index, installer, tmp_path, *, code, said, where):
    index.add("greedy", code)
    builder = installer(sources=where())
    with pytest.raises(BuildFailed) as failed:
        builder.install(builder.lock(("greedy",)), tmp_path / "tree")
    assert failed.value.code == "SourceBuildFailed"
    assert "greedy==1.0" in failed.value.message
    assert said in failed.value.message
    assert "SECRET" not in failed.value.message


@everywhere
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_is_full_is_not_the_packages_fault_and_is_tried_again(index, installer, tmp_path, where, number):
    index.add("greedy", f"raise OSError({number}, {os.strerror(number)!r})")
    builder = installer(sources=where())
    with pytest.raises(InsufficientStorage) as failed:
        builder.install(builder.lock(("greedy",)), tmp_path / "tree")
    assert (failed.value.status_code, failed.value.retryable) == (507, True)


@everywhere
def test_a_build_that_never_ends_is_ended_and_named(index, installer, tmp_path, where, at_work):
    index.add("slow", "import time\ntime.sleep(600)\n")
    builder = installer(bounds=Bounds(install_seconds=5), sources=where())
    lock = builder.lock(("slow",))
    with pytest.raises(BuildFailed, match=r"slow==1\.0 was not built from its source within 5 s") as failed:
        builder.install(lock, tmp_path / "tree")
    assert failed.value.code == "PackagesTimedOut"
    assert not at_work()


@everywhere
def test_a_package_that_is_run_to_learn_what_it_needs_is_bounded_by_the_time_for_resolving(index, installer, where):
    index.add("slow", "import time\ntime.sleep(600)\n", more="dynamic=['dependencies']\n")
    with pytest.raises(BuildFailed, match=r"slow==1\.0 was not built from its source within 3 s"):
        installer(bounds=Bounds(resolve_seconds=3), sources=where()).lock(("slow",))


@linux
@everywhere
@pytest.mark.parametrize("then", [PURE, "time.sleep(600)"])
def test_what_a_build_leaves_running_in_a_session_of_its_own_is_ended(index, installer, tmp_path, *, then, where, at_work):
    index.add("sticky", DAEMON + then)
    builder = installer(bounds=Bounds(install_seconds=5), sources=where())
    lock = builder.lock(("sticky",))
    if then == PURE:
        builder.install(lock, tmp_path / "tree")
    else:
        with pytest.raises(BuildFailed):
            builder.install(lock, tmp_path / "tree")
    assert not at_work()


@linux
def test_a_build_that_stops_its_warden_is_ended_nevertheless(index, installer, tmp_path, at_work):
    index.add("bold", "import os, time\nos.kill(os.getppid(), 19)\ntime.sleep(600)\n")
    builder = installer(bounds=Bounds(install_seconds=5, grace_seconds=1), sources=NoSandbox())
    lock = builder.lock(("bold",))
    with pytest.raises(BuildFailed, match="not built from its source within 5 s"):
        builder.install(lock, tmp_path / "tree")
    assert eventually(lambda: not at_work())


@linux
@everywhere
def test_builds_end_when_the_app_does(index, installer, tmp_path, where, at_work):
    index.add("slow", "import time\ntime.sleep(600)\n")
    code = (
        "from pathlib import Path\n"
        "from shared.images.packages.pip import PackageInstaller as Installer, proven_sandbox\n"
        "from shared.images.packages.sandbox import NoSandbox\n"
        f"downloads, tree = Path({str(tmp_path / 'downloads')!r}), Path({str(tmp_path / 'tree')!r})\n"
        f"installer = Installer({this_platform()!r}, '3.13', downloads, {where.__name__}(), ({index.url!r},))\n"
        f"installer.install({installer().lock(('slow',))!r}, tree)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as app:
        assert eventually(lambda: any("backend.py\0wheel" in line or "backend.py\0ask" in line for line in at_work()))
        app.send_signal(signal.SIGKILL)
    assert eventually(lambda: not at_work())


@pytest.mark.parametrize("dynamic", ["", "dynamic=['dependencies']\n"])
def test_no_code_of_a_package_runs_outside_of_the_sandbox(index, installer, tmp_path, dynamic):
    told = tmp_path / "told"
    index.add("curious", MARK.format(told=str(told)) + PURE, more=dynamic)
    builder = installer()
    builder.install(builder.lock(("curious",)), tmp_path / "tree")
    assert (tmp_path / "tree" / "curious.py").exists()
    assert not told.exists()


def test_a_package_that_holds_more_than_python_is_refused_by_name(index, installer, tmp_path):
    index.add("native", WHEEL.format(tag=f"cp313-cp313-linux_{platform.machine()}"))
    with pytest.raises(BuildFailed, match=r"native==1\.0 has no wheel .* its source holds more than Python") as failed:
        installer().install(installer().lock(("native",)), tmp_path / "tree")
    assert failed.value.code == "NoWheel"


def test_where_sources_are_not_built_a_package_without_a_wheel_is_named_and_nothing_of_it_runs(index, installer, tmp_path):
    index.add("curious", MARK.format(told=str(tmp_path / "told")) + PURE)
    for attempt in (
        partial(installer(sources=NotBuilt.REFUSED).lock, ("curious",)),
        partial(installer(sources=NotBuilt.REFUSED).install, installer().lock(("curious",)), tmp_path / "tree"),
    ):
        with pytest.raises(
            BuildFailed, match=r"curious(==1\.0)? has no wheel .* source packages are not built here"
        ) as failed:
            attempt()
        assert failed.value.code == "NoWheel"
    assert not (tmp_path / "told").exists()


def test_where_sources_are_built_remotely_that_is_said_of_one_and_nothing_of_it_runs(index, installer, tmp_path):
    index.add("curious", MARK.format(told=str(tmp_path / "told")) + PURE)
    with pytest.raises(BuildFailed, match=r"curious==1\.0 has no wheel .* ACR Tasks builds source packages\.$") as failed:
        installer(sources=NotBuilt.ELSEWHERE).lock(("curious",))
    assert failed.value.code == NOT_BUILT_HERE
    assert not (tmp_path / "told").exists()


def test_wheels_and_source_packages_of_one_lock_come_together(index, installer, package_cache, tmp_path, monkeypatch):
    index.add("one", PURE)
    index.add("two", PURE)
    monkeypatch.setenv("UV_EXTRA_INDEX_URL", index.url)
    builder = installer(indexes=(), downloads=package_cache)
    builder.install(builder.lock(("one", "two", "six==1.17.0")), tmp_path / "tree")
    assert {"one.py", "two.py", "six.py"} <= {file.name for file in (tmp_path / "tree").iterdir()}


def test_while_the_index_is_away_what_was_downloaded_before_is_installed(index, installer, tmp_path):
    lock, builder = index.add_wheel("one"), installer()
    builder.install(lock, tmp_path / "first")
    index.sources.put("simple/one/", b"", status=503)
    index.sources.remove("one-1.0-py3-none-any.whl")
    builder.install(lock, tmp_path / "again")
    assert (tmp_path / "again" / "one.py").exists()
    with pytest.raises(Unavailable):
        installer(downloads=tmp_path / "none").install(lock, tmp_path / "never")


def test_a_part_of_a_lock_can_be_installed_by_itself(installer, package_cache, tmp_path):
    builder = installer(indexes=(), downloads=package_cache)
    packages = locked(builder.lock(("flask==3.0.0",)))
    builder.install("".join(package.text for package in packages if package.name in ("click", "flask")), tmp_path / "tree")
    assert {folder.name for folder in (tmp_path / "tree").glob("*.dist-info")} == {
        "flask-3.0.0.dist-info",
        f"click-{next(package.version for package in packages if package.name == 'click')}.dist-info",
    }


def test_packages_are_those_of_the_image_not_of_this_machine(installer, package_cache, tmp_path):
    builder = installer(platform="linux/arm64", python="3.12", indexes=(), downloads=package_cache)
    builder.install(builder.lock(("markupsafe==3.0.2",)), tmp_path / "tree")
    (native,) = (tmp_path / "tree").rglob("*.so")
    assert "cpython-312-aarch64" in native.name


def test_hashes_of_the_requirements_file_are_kept_to(installer, package_cache):
    builder = installer(indexes=(), downloads=package_cache)
    wheel, _ = locked(builder.lock(("six==1.17.0",)))[0].hashes
    (kept,) = locked(builder.lock((f"six==1.17.0 --hash={wheel}",)))
    assert kept.hashes == (wheel,)
    with pytest.raises(BuildFailed, match=r"six==1\.17\.0: none of the hashes") as failed:
        builder.lock((f"six==1.17.0 --hash=sha256:{'0' * 64}",))
    assert failed.value.code == "HashMismatch"


def test_files_that_are_not_what_was_locked_are_refused(index, installer, tmp_path):
    index.add("moving", PURE)
    lock = installer().lock(("moving",))
    index.add("moving", PURE + "# other\n")
    with pytest.raises(BuildFailed, match="moving") as failed:
        installer(downloads=tmp_path / "none").install(lock, tmp_path / "tree")
    assert failed.value.code == "HashMismatch"


def test_an_index_that_does_not_answer_is_an_outage(installer):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/simple"
        with pytest.raises(Unavailable, match="within 1 s: the package index is slow") as away:
            installer(indexes=(url,), bounds=Bounds(resolve_seconds=1)).lock(("six",))
    assert (away.value.code, away.value.retryable) == ("PackagesTimedOut", True)


def test_an_index_that_refuses_the_credentials_is_named_without_them(index, installer):
    index.sources.put("simple/six/", b"", status=401)
    with pytest.raises(BuildFailed) as failed:
        installer(indexes=(index.url.replace("//", "//user:SECRET@"),)).lock(("six",))
    assert failed.value.code == "IndexDenied"
    assert "SECRET" not in failed.value.message


def test_without_indexes_of_slipways_own_uvs_variables_name_them(index, installer, tmp_path, monkeypatch):
    index.add("private", PURE)
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"ours={index.url}")
    builder = installer(indexes=())
    builder.install(builder.lock(("private",)), tmp_path / "tree")
    assert (tmp_path / "tree" / "private.py").exists()


@pytest.mark.parametrize(
    ("python", "requirements", "contested", "said"),
    [
        (
            "3.13",
            ("requests==2.32.0", "urllib3==1.20"),
            "urllib3",
            {"requests==2.32.0 depends on urllib3>=1.21.1,<3", "the file asks for urllib3==1.20"},
        ),
        ("3.13", ("six==1.16.0", "six==1.15.0"), "six", {"the file asks for six==1.16.0", "the file asks for six==1.15.0"}),
        (
            "3.13",
            ("flask==3.0.0", "werkzeug<1"),
            "werkzeug",
            {"flask==3.0.0 depends on werkzeug>=3.0.0", "the file asks for werkzeug<1"},
        ),
        (
            "3.12",
            ("azure-storage-blob[aio]==12.19.0", "aiohttp<3"),
            "aiohttp",
            {"azure-storage-blob[aio]==12.19.0 depends on azure-core[aio]>=1.28.0", "the file asks for aiohttp<3"},
        ),
        ("3.9", ("django==5.0",), "Python 3.9", {"django==5.0 depends on Python>=3.10", "the file asks for django==5.0"}),
    ],
)
def test_a_conflict_names_the_packages_and_who_asks_for_what(installer, *, python, requirements, contested, said):
    with pytest.raises(BuildFailed) as failed:
        installer(indexes=(), python=python).lock(requirements)
    assert failed.value.code == "DependencyConflict"
    assert contested in failed.value.message
    assert said <= {detail.message for detail in failed.value.details}


@pytest.mark.parametrize(
    ("requirement", "said"),
    [
        ("no-such-package-of-slipways", "the file asks for no-such-package-of-slipways"),
        ("six==99", "the file asks for six==99"),
        ("six>=99", "only six<="),
    ],
)
def test_what_the_index_does_not_have_is_named_with_what_was_asked(installer, requirement, said):
    with pytest.raises(BuildFailed) as failed:
        installer(indexes=()).lock((requirement, "six"))
    assert failed.value.code == "RequirementNotFound"
    assert said in failed.value.message
