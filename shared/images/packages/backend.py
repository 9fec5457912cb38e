"""A program that builds a source package, by its path and with nothing of the app to import: it runs in the sandbox.

`backend.py ACTION WORK ARCHIVE`: `read` unpacks the archive and says what building it needs, and what is known of it without
running any of it; `ask` what else building needs; `metadata` what the package needs; `wheel` builds it. The answer is
`WORK/ACTION.json`, the wheel lies beside it. Source: PEP 517, 518, 621, 643.
"""

import json
import os
import shutil
import sys
import tarfile
import tomllib
import zipfile
from email.message import Message
from email.parser import HeaderParser
from importlib import import_module
from pathlib import Path
from typing import Any

_LEGACY = {"requires": ["setuptools>=40.8.0"], "build-backend": "setuptools.build_meta:__legacy__"}
_NEEDS = {"dependencies", "optional-dependencies", "requires-python", "version"}
_SAID_LATER = {"requires-dist", "requires-python", "provides-extra"}


def read(work: Path, archive: Path) -> dict[str, Any]:
    """What the archive says."""
    _unpack(archive, work / "source")
    source = _source(work)
    project = _project(source)
    system = _system(project)
    return {"requires": system["requires"], "backend": system["build-backend"], "metadata": _known(source, project)}


def ask(work: Path, _: Path) -> dict[str, Any]:
    """What else the backend needs to build."""
    hook = getattr(_backend(work), "get_requires_for_build_wheel", None)
    return {"requires": list(hook(None)) if hook else []}


def metadata(work: Path, _: Path) -> dict[str, Any]:
    """What the package needs, as its backend says."""
    backend, made = _backend(work), _made(work)
    hook = getattr(backend, "prepare_metadata_for_build_wheel", None)
    if hook:
        return {"metadata": _needed(_parsed((made / hook(str(made), None) / "METADATA").read_text(encoding="utf-8")))}
    with zipfile.ZipFile(made / backend.build_wheel(str(made), None, None)) as wheel:
        name = next(name for name in wheel.namelist() if name.count("/") == 1 and name.endswith(".dist-info/METADATA"))
        return {"metadata": _needed(_parsed(wheel.read(name).decode()))}


def wheel(work: Path, _: Path) -> dict[str, Any]:
    """The wheel."""
    made = _made(work)
    name = Path(_backend(work).build_wheel(str(made), None, None)).name
    shutil.move(made / name, work / "built.whl")
    return {"wheel": name}


def _unpack(archive: Path, folder: Path) -> None:
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(folder)  # noqa: S202  # in the sandbox
        return
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")


def _source(work: Path) -> Path:
    folders = [path for path in (work / "source").iterdir() if path.is_dir()]
    if len(folders) != 1:
        sys.exit("the archive does not hold one folder")
    return folders[0]


def _made(work: Path) -> Path:
    (work / "made").mkdir(exist_ok=True)
    return work / "made"


def _project(source: Path) -> dict[str, Any]:
    file = source / "pyproject.toml"
    return tomllib.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def _system(project: dict[str, Any]) -> dict[str, Any]:
    told = project.get("build-system", {})
    if "build-backend" in told:
        return {"requires": [], **told}
    return {**_LEGACY, "requires": told.get("requires", _LEGACY["requires"])}


def _backend(work: Path) -> Any:
    """The backend's hooks, in the folder of the source."""
    source = _source(work)
    os.chdir(source)
    system = _system(_project(source))
    sys.path[:0] = [str(source / path) for path in system.get("backend-path", [])]
    module, _, name = system["build-backend"].partition(":")
    backend = import_module(module)
    for part in filter(None, name.split(".")):
        backend = getattr(backend, part)
    return backend


def _known(source: Path, project: dict[str, Any]) -> dict[str, Any] | None:
    """What the package needs, where its files promise that no build will say otherwise."""
    table = project.get("project")
    if isinstance(table, dict) and "version" in table and not _NEEDS & set(table.get("dynamic", [])):
        return {
            "name": table["name"],
            "version": table["version"],
            "requires": table.get("dependencies", []),
            "extras": table.get("optional-dependencies", {}),
            "python": table.get("requires-python", ""),
        }
    file = source / "PKG-INFO"
    found = _parsed(file.read_text(encoding="utf-8")) if file.exists() else Message()
    version = [int(part) for part in (found["Metadata-Version"] or "0").split(".")]
    later = {field.lower() for field in found.get_all("Dynamic", [])}
    return _needed(found) if version >= [2, 2] and not later & _SAID_LATER else None


def _parsed(text: str) -> Message:
    return HeaderParser().parsestr(text)


def _needed(found: Message) -> dict[str, Any]:
    return {
        "name": found["Name"],
        "version": found["Version"],
        "requires": found.get_all("Requires-Dist", []),
        "extras": {extra: [] for extra in found.get_all("Provides-Extra", [])},
        "python": found["Requires-Python"] or "",
    }


_ACTIONS = {action.__name__: action for action in (read, ask, metadata, wheel)}


def main(action: str, work: Path, archive: Path) -> None:
    """One action, and its answer; all that is printed meanwhile goes where errors go."""
    os.dup2(2, 1)
    answer = _ACTIONS[action](work, archive)
    (work / f"{action}.json").write_text(json.dumps(answer))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
