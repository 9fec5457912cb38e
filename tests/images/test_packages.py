"""Installing packages: what a build may know, take and leave behind. What is hostile comes from an index on loopback."""

import errno
import json
import os
import platform
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from local.machine import this_platform
from shared.domain.errors import BuildFailed, InsufficientStorage, Unavailable
from shared.images.packages.bounded import Bounds
from shared.images.packages.distributions import locked
from shared.images.packages.pip import PackageInstaller
from tests.images.indexes import PURE, WHEEL, Index
from tests.images.sources import Sources
from tests.waiting import eventually

GIB = 1024**3
TELL = """
import json, os, sys
from pathlib import Path
above = [Path(f"/proc/{{os.getppid()}}", name).read_bytes().decode() for name in ("cmdline", "environ")]
Path({told!r}).write_text(json.dumps([os.getpid(), dict(os.environ), sys.prefix, sys.stdin.read(), above]))
"""
DAEMON = """
import os, time
from pathlib import Path
if os.fork() == 0:
    os.setsid()
    if os.fork() != 0:
        os._exit(0)
    Path({told!r}).write_text(str(os.getpid()))
    for number in range(3):
        os.close(number)
    time.sleep(600)
"""


@pytest.fixture
def index() -> Iterator[Index]:
    with Sources() as sources:
        yield Index(sources)


@pytest.fixture
def installer(tmp_path, index) -> Callable[..., PackageInstaller]:
    def made(**changes: object) -> PackageInstaller:
        given = {"platform": this_platform(), "python": "3.13", "downloads": tmp_path / "downloads", "indexes": (index.url,)}
        return PackageInstaller(**{**given, **changes})

    return made


def ended(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@linux
def test_a_build_is_told_nothing_of_the_app(index, installer, tmp_path, monkeypatch):
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
    index.add("curious", TELL.format(told=str(tmp_path / "told.json")) + PURE)
    signed = index.url.replace("//", "//user:SECRET@")
    builder = installer(indexes=(signed,))
    builder.install(builder.lock(("curious",)), tmp_path / "tree")
    _, environment, prefix, standard_input, above = json.loads((tmp_path / "told.json").read_text())
    assert not secrets.keys() & environment.keys()
    assert "SECRET" not in json.dumps([environment, standard_input, above])
    for name in ("HOME", "TMPDIR"):
        assert environment[name] != os.environ.get(name)
        assert not Path(environment[name]).exists()
    assert not Path(prefix).is_relative_to(tmp_path / "downloads")
    assert (tmp_path / "tree" / "curious.py").exists()


@linux
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
def test_a_build_that_takes_too_much_or_fails_is_named_with_its_reason(index, installer, tmp_path, code, said):
    index.add("greedy", code)
    with pytest.raises(BuildFailed) as failed:
        installer().install(installer().lock(("greedy",)), tmp_path / "tree")
    assert failed.value.code == "SourceBuildFailed"
    assert "greedy==1.0" in failed.value.message
    assert said in failed.value.message
    assert "SECRET" not in failed.value.message


@linux
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_is_full_is_not_the_packages_fault_and_is_tried_again(index, installer, tmp_path, number):
    index.add("greedy", f"raise OSError({number}, {os.strerror(number)!r})")
    with pytest.raises(InsufficientStorage) as failed:
        installer().install(installer().lock(("greedy",)), tmp_path / "tree")
    assert (failed.value.status_code, failed.value.retryable) == (507, True)


def test_a_build_that_never_ends_is_ended_and_named(index, installer, tmp_path):
    told = tmp_path / "told"
    index.add("slow", f"import os, time\nopen({str(told)!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)\n")
    builder = installer(bounds=Bounds(install_seconds=5))
    lock = builder.lock(("slow",))
    with pytest.raises(BuildFailed, match=r"slow==1\.0 was not built from its source within 5 s") as failed:
        builder.install(lock, tmp_path / "tree")
    assert failed.value.code == "PackagesTimedOut"
    assert ended(int(told.read_text()))


def test_a_package_that_is_run_to_learn_what_it_needs_is_bounded_by_the_time_for_resolving(index, installer):
    index.add("slow", "import time\ntime.sleep(600)\n", more="dynamic=['dependencies']\n")
    with pytest.raises(BuildFailed, match=r"slow==1\.0 was not built from its source within 2 s"):
        installer(bounds=Bounds(resolve_seconds=2)).lock(("slow",))


@linux
@pytest.mark.parametrize("then", [PURE, "time.sleep(600)"])
def test_what_a_build_leaves_running_in_a_session_of_its_own_is_ended(index, installer, tmp_path, then):
    told = tmp_path / "told"
    index.add("sticky", DAEMON.format(told=str(told)) + then)
    builder = installer(bounds=Bounds(install_seconds=5))
    lock = builder.lock(("sticky",))
    if then == PURE:
        builder.install(lock, tmp_path / "tree")
    else:
        with pytest.raises(BuildFailed):
            builder.install(lock, tmp_path / "tree")
    assert ended(int(told.read_text()))


@linux
def test_a_build_that_stops_its_warden_is_ended_nevertheless(index, installer, tmp_path):
    told = tmp_path / "told"
    stop = (
        "import os, time\n"
        "warden = int(open(f'/proc/{os.getppid()}/stat').read().rpartition(')')[2].split()[1])\n"
        "os.kill(warden, 19)\n"
        f"open({str(told)!r}, 'w').write(str(os.getpid()))\n"
        "time.sleep(600)\n"
    )
    index.add("bold", stop)
    builder = installer(bounds=Bounds(install_seconds=5, grace_seconds=1))
    lock = builder.lock(("bold",))
    with pytest.raises(BuildFailed, match="not built from its source within 5 s"):
        builder.install(lock, tmp_path / "tree")
    assert eventually(lambda: ended(int(told.read_text())))


@linux
def test_builds_end_when_the_app_does(index, installer, tmp_path):
    told = tmp_path / "told"
    index.add("slow", f"import os, time\nopen({str(told)!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)\n")
    code = (
        "from pathlib import Path; from shared.images.packages.pip import PackageInstaller as I;"
        f"I({this_platform()!r}, '3.13', Path({str(tmp_path / 'downloads')!r}), indexes=({index.url!r},))"
        f".install({installer().lock(('slow',))!r}, Path({str(tmp_path / 'tree')!r}))"
    )
    with subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "TMPDIR": str(tmp_path)}) as app:
        pid = int(eventually(lambda: told.exists() and told.read_text()))
        app.send_signal(signal.SIGKILL)
    assert eventually(lambda: ended(pid))


def test_a_package_that_holds_more_than_python_is_refused_by_name(index, installer, tmp_path):
    index.add("native", WHEEL.format(tag=f"cp313-cp313-linux_{platform.machine()}"))
    with pytest.raises(BuildFailed, match=r"native==1\.0 has no wheel .* its source holds more than Python") as failed:
        installer().install(installer().lock(("native",)), tmp_path / "tree")
    assert failed.value.code == "NoWheel"


def test_where_sources_are_not_built_a_package_without_a_wheel_is_named_and_nothing_of_it_runs(index, installer, tmp_path):
    index.add("curious", TELL.format(told=str(tmp_path / "told.json")) + PURE)
    for attempt in (
        partial(installer(source_packages=False).lock, ("curious",)),
        partial(installer(source_packages=False).install, installer().lock(("curious",)), tmp_path / "tree"),
    ):
        with pytest.raises(
            BuildFailed, match=r"curious(==1\.0)? has no wheel .* source packages are not built here"
        ) as failed:
            attempt()
        assert failed.value.code == "NoWheel"
    assert not (tmp_path / "told.json").exists()


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
        installer().install(lock, tmp_path / "tree")
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
