"""What `local/install.sh` says and does on machines of many kinds: other Pythons than ours, with uv or without, offline."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from importlib.metadata import distribution, packages_distributions
from itertools import pairwise
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

DEAD = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")
WANTED = (REPOSITORY / ".python-version").read_text().strip()
SERIES = WANTED.rpartition(".")[0]
_MEGABYTE = 1024 * 1024

# A Python of another release than ours: what it is asked with -c it answers as ours does; what it makes is a program, too.
PYTHON = f"""#!/bin/sh
case $1 in
    -c) exec {sys.executable} -c "import collections, sys
sys.version_info = collections.namedtuple('V', 'major minor micro releaselevel serial')(VERSION, 'final', 0)
$2" ;;
    -V) echo Python NAMED ;;
    -m) case $2 in
        venv) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && cp "${{0%/*}}/uv-of-environment" "$3/bin/uv" ;;
        pip) PIP ;;
        local.azurite.install) AZURITE ;;
    esac ;;
esac
"""


@dataclass
class Machine:
    """A checkout, and the programs that are found on it."""

    folder: Path
    programs: dict[str, str] = field(default_factory=lambda: {"uv-of-environment": "echo installed"})
    environment: dict[str, str] = field(default_factory=dict)
    shell: tuple[str, ...] = ("sh",)

    def python(self, version: str, *, name: str = f"python{SERIES}", pip: str = "true", azurite: str = "true") -> None:
        """A Python of that version, under that name."""
        told = PYTHON.replace("VERSION", version.replace(".", ", ")).replace("NAMED", version)
        self.programs[name] = told.replace("PIP", pip).replace("AZURITE", azurite)

    def install(self, what: str = "up") -> subprocess.CompletedProcess[str]:
        for folder in ("requirements", "azurite"):
            ignored = shutil.ignore_patterns("node_modules")
            shutil.copytree(REPOSITORY / "local" / folder, self.folder / "local" / folder, ignore=ignored)
        for name in ("local/__init__.py", "local/install.sh", ".python-version"):
            shutil.copy(REPOSITORY / name, self.folder / name)
        programs = self.folder / "programs"
        programs.mkdir()
        for name, text in self.programs.items():
            (programs / name).write_text(text if text.startswith("#!") else f"#!/bin/sh\n{text}\n")
            (programs / name).chmod(0o755)
        environment = {"PATH": f"{programs}:{self._tools()}", "HOME": str(self.folder), **self.environment}
        command = [*self.shell, "local/install.sh", ".venv", what]
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=120, check=False
        )

    def _tools(self) -> Path:
        """The standard tools, and nothing else that this machine has."""
        tools = self.folder / "tools"
        tools.mkdir()
        for name in ("sh", "cat", "cp", "mkdir", "sed", "grep", "tail", "date", "sleep", "du", "awk", "kill", "env", "bash"):
            if found := shutil.which(name):
                (tools / name).symlink_to(found)
        return tools


@pytest.fixture
def machine(tmp_path) -> Machine:
    (tmp_path / "local").mkdir()
    return Machine(tmp_path)


@pytest.mark.parametrize("shell", [("sh",), ("bash", "--posix")])  # the sh of macOS is bash
def test_each_part_is_told_by_name_and_time_and_no_program_is_heard(machine, shell):
    machine.shell = shell
    noise = 'echo "npm warn allow-scripts protobufjs (postinstall)" >&2; echo added 194 packages'
    machine.python(WANTED, pip=noise, azurite=noise)
    done = machine.install()
    assert (done.returncode, done.stderr) == (0, "")
    parts = [f"environment of Python {WANTED}", "uv", r"\d+ packages", "Azurite"]
    told = [f"  {part}\n  {part}: done in \\d+ s\n" for part in parts]
    head = "Installing what `make up` needs into .venv, once:\n"
    assert re.fullmatch(head + "".join(told) + r"Installed: \d+ MB in .venv and local/azurite/node_modules.\n", done.stdout)


def test_a_part_that_takes_long_is_named_meanwhile(machine):
    machine.python(WANTED, pip="sleep 5")
    assert "\n  uv\n  uv: 4 s …\n  uv: done in 5 s\n" in re.sub(r"done in [56] s", "done in 5 s", machine.install().stdout)


@pytest.mark.parametrize("what", ["demo", "test"])
def test_what_one_more_command_needs_is_put_on_top(machine, what):
    machine.python(WANTED)
    (machine.folder / ".venv" / "bin").mkdir(parents=True)
    uv = machine.folder / ".venv" / "bin" / "uv"
    uv.write_text(f'#!/bin/sh\necho "$@" > {machine.folder}/asked')
    uv.chmod(0o755)
    assert f"Installing what `make {what}` needs" in machine.install(what).stdout
    asked = (machine.folder / "asked").read_text()
    assert asked.startswith("pip install ")
    assert asked.endswith(f"--require-hashes -r local/requirements/{what}.txt\n")


def test_without_a_network_pip_is_one_sentence(machine):
    machine.python(WANTED, pip=f'"{sys.executable}" "$@" --no-cache-dir --target {machine.folder}/target')
    machine.environment = {**DEAD, "PIP_CONFIG_FILE": os.devnull}
    assert no_network(machine) == "uv"


def test_without_a_network_uv_is_one_sentence(machine):
    machine.python(WANTED)
    real = Path(sys.executable).with_name("uv")
    machine.programs["uv-of-environment"] = (
        f'exec "{real}" pip install --no-config --target {machine.folder}/target -r local/requirements/up.txt'
    )
    machine.environment = {**DEAD, "UV_CACHE_DIR": str(machine.folder / "cache"), "UV_NO_CONFIG": "1"}
    assert re.fullmatch(r"\d+ packages", no_network(machine))


def test_without_a_network_npm_is_one_sentence(machine):
    machine.python(WANTED, azurite=f'PYTHONPATH=. exec "{sys.executable}" "$@"')
    machine.environment = {**DEAD, "npm_config_cache": str(machine.folder / "cache")}
    assert no_network(machine) == "Azurite"


def test_without_a_network_a_python_that_uv_would_bring_is_one_sentence(machine):
    real = Path(sys.executable).with_name("uv")
    machine.programs["uv"] = f'exec "{real}" "$@" --managed-python --no-config'
    machine.environment = {**DEAD, "UV_CACHE_DIR": str(machine.folder / "cache")}
    assert no_network(machine, remedy=f"install Python {SERIES}") == f"Python {WANTED}"


def no_network(machine: Machine, remedy: str = "connect this machine or set HTTPS_PROXY") -> str:
    """Install; what was not downloaded, of the one line that said so."""
    done = machine.install()
    assert done.returncode == 1
    said = re.fullmatch(f"No network: (.+) could not be downloaded; {remedy}, and run make again.\n", done.stderr)
    assert said, (done.stdout, done.stderr)
    return said[1]


@pytest.mark.parametrize("shell", [("sh",), ("bash", "--posix")])
def test_another_failure_shows_what_was_said_and_where_the_rest_is(machine, shell):
    machine.shell = shell
    machine.python(WANTED, azurite='echo "npm error code ENOSPC" >&2; exit 3')
    done = machine.install()
    assert done.returncode == 1
    assert done.stderr == (
        "npm error code ENOSPC\nAzurite: failed with exit code 3. All that was said is in .venv/install.log.\n"
    )


def test_the_release_that_is_known_to_be_good_comes_first(machine):
    machine.python(f"{SERIES}.99")
    machine.python(WANTED, name="python3")
    assert f"environment of Python {WANTED}\n" in machine.install().stdout


def test_another_release_of_its_series_will_do(machine):
    machine.python(f"{SERIES}.99", name="python3")
    assert f"environment of Python {SERIES}.99\n" in machine.install().stdout


def test_uv_brings_the_release_where_no_other_of_its_series_is(machine):
    machine.python("3.9.1", name="python3")
    machine.python(WANTED, name="brought")
    machine.programs["uv"] = f"""case "$1 $2" in
    "python install") echo "$3" > {machine.folder}/installed ;;
    "python find") cat {machine.folder}/installed >/dev/null 2>&1 && echo {machine.folder}/programs/brought ;;
esac"""
    done = machine.install()
    assert (machine.folder / "installed").read_text() == f"{WANTED}\n"
    assert f"  Python {WANTED}: done in" in done.stdout
    assert f"environment of Python {WANTED}: done in" in done.stdout


@pytest.mark.parametrize("version", [None, "3.9.1", "3.14.0", "2.7.18"])
def test_neither_python_nor_uv_is_one_sentence(machine, version):
    if version:
        machine.python(version, name="python3")
    done = machine.install()
    assert done.returncode == 1
    assert done.stderr == (
        f"Neither Python {SERIES} nor uv, which would bring it, was found: install one of them, and run make again.\n"
    )


def test_what_make_up_installs_stays_small():
    """What the README promises: 600 MB. The bytecode that Python adds as it is used is not counted."""
    names = re.findall("^([a-z0-9-]+)==", (REPOSITORY / "local" / "requirements" / "up.txt").read_text(), re.MULTILINE)
    files = [Path(str(file.locate())) for name in names for file in distribution(name).files or []]
    azurite = [
        Path(folder) / name for folder, _, names in os.walk(REPOSITORY / "local/azurite/node_modules") for name in names
    ]
    used = sum(file.stat().st_blocks * 512 for file in {*files, *azurite} if file.exists() and file.suffix != ".pyc")
    assert 100 * _MEGABYTE < used < 600 * _MEGABYTE, f"{used / _MEGABYTE:.0f} MB"


def pins(file: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)(?:\[.*\])?==([^ ;]+)", (REPOSITORY / file).read_text(), re.MULTILINE))


def test_the_sets_stand_on_each_other_and_pin_one_version_of_each_package():
    files = ["requirements.txt", *(f"local/requirements/{name}.txt" for name in ("up", "demo", "test"))]
    for smaller, larger in pairwise(map(pins, files)):
        assert smaller.items() < larger.items()
    for file in files:
        packages = re.split(r"^(?=[a-z])", (REPOSITORY / file).read_text(), flags=re.MULTILINE)[1:]
        assert len(packages) == len(pins(file))
        assert all("--hash=sha256:" in package for package in packages)


def test_azurite_is_pinned_by_digests_and_without_what_it_does_not_use():
    packages = json.loads((REPOSITORY / "local" / "azurite" / "package-lock.json").read_text())["packages"]
    others = {name: package for name, package in packages.items() if name and package.get("resolved") != "file:unused"}
    assert len(others) > 100
    assert [name for name, package in others.items() if "integrity" not in package] == []
    assert not {f"node_modules/{name}" for name in ("applicationinsights", "mysql2", "tedious")} & others.keys()


def test_make_up_installs_what_the_stack_imports():
    """Only what the demo trains its models with is its own."""
    installed = {name.replace("_", "-").lower() for name in pins("local/requirements/up.txt")}
    folders = ["functions", "shared", "local"]
    files = [REPOSITORY / "function_app.py", *(file for folder in folders for file in (REPOSITORY / folder).rglob("*.py"))]
    imported = {name for file in files if "node_modules" not in file.parts for name in imports(file)}
    distributions = packages_distributions()
    ours = {"functions", "shared", "local", "runtime", "function_app"}
    missing = {
        name
        for name in imported - sys.stdlib_module_names - ours
        if not installed & {found.replace("_", "-").lower() for found in distributions.get(name, ())}
    }
    assert missing == {"sklearn"}


def imports(file: Path) -> set[str]:
    """The first names of the modules that a file imports."""
    found = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = [[alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module] for node in found]
    return {name.partition(".")[0] for several in names for name in several if name}
