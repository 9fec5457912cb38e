"""The process that solves and installs conda environments: a request comes in as JSON, an answer or an error goes out."""

import asyncio
import json
import os
import re
import shutil
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rattler import (
    BuildString,
    Channel,
    Client,
    Gateway,
    GenericVirtualPackage,
    MatchSpec,
    MultiSource,
    PackageName,
    RepoDataRecord,
    Subdir,
    Version,
    solve,
)
from rattler import install as link
from rattler.exceptions import GatewayError, InstallerError, SolverError

from shared.domain.errors import BuildFailed, ServiceError, foreign
from shared.images.packages.channels import without_credentials
from shared.images.packages.conda_packages import UnpackedPackage, channel_failure, refuse_shadowed, unpacked

_SOLVE_SECONDS = 60
_FETCH_SECONDS = 60
_AT_ONCE = 4
_DEFAULTS = ("https://repo.anaconda.com/pkgs/main", "https://repo.anaconda.com/pkgs/r")
"""What conda calls `defaults` is no channel, but these."""
_SYSTEMS = {"linux": {"__unix": "0", "__linux": "4.18", "__glibc": "2.28"}, "osx": {"__unix": "0", "__osx": "13.0"}}
"""What images give, whatever this machine gives: the kernel and C library of manylinux_2_28."""
_PROCESSORS = {"linux-64": "x86_64", "linux-aarch64": "aarch64", "osx-64": "x86_64", "osx-arm64": "m1"}
_NOT_KEPT = ("CACHEDIR.TAG", "conda-meta/history", "__clobbers__")
"""The last holds files of which another package brings one of the same name."""
_OF_THIS_MACHINE = ("extracted_package_dir", "package_tarball_full_path", "link")
_URLS = ("channel", "url")


async def lock(*, subdir: str, downloads: str, channels: list[str], specs: list[str], python: str) -> list[tuple[str, str]]:
    """The URL and SHA-256 of each package of the solution, which holds that Python or none."""
    with TemporaryDirectory(dir=downloads) as folder:
        # What is known of a channel is fetched anew: rattler does not take the answer that it has not changed.
        gateway = Gateway(Path(folder), client=Client.default_client(max_retries=2, timeout=_FETCH_SECONDS))
        try:
            records = await solve(
                [MultiSource(name, _DEFAULTS) if name == "defaults" else Channel(name) for name in channels],
                [MatchSpec(spec) for spec in specs],
                gateway=gateway,
                platforms=[Subdir(subdir), Subdir("noarch")],
                virtual_packages=_virtual_packages(subdir),
                constraints=[f"python {python}.*"],
                channel_relations="disabled",
                timeout=timedelta(seconds=_SOLVE_SECONDS),
            )
        except SolverError as error:
            raise _no_solution(str(error), f"{subdir} with Python {python}") from error
        except GatewayError as error:
            explained = foreign(" ".join(str(error).split()), 500)
            raise channel_failure(f"A channel could not be read: {explained}", "ChannelNotFound") from error
    return [(record.url, _sha256(record)) for record in records]


def _sha256(record: RepoDataRecord) -> str:
    if record.sha256 is None:
        raise BuildFailed(f"The channel gives no SHA-256 of {foreign(record.url)}.", code="BadArchive")
    return record.sha256.hex()


def _virtual_packages(subdir: str) -> list[GenericVirtualPackage]:
    given = [(name, version, "0") for name, version in _SYSTEMS[subdir.partition("-")[0]].items()]
    return [
        GenericVirtualPackage(PackageName(name), Version(version), BuildString(build))
        for name, version, build in [*given, ("__archspec", "1", _PROCESSORS[subdir])]
    ]


def _no_solution(said: str, target: str) -> ServiceError:
    if "has been cancelled" in said:
        return BuildFailed(f"The environment was not solved within {_SOLVE_SECONDS} s.", code="PackagesTimedOut")
    explained = foreign(re.sub(r"[\s│├└─]+", " ", said.partition("because of: ")[2] or said).strip(), 1000)
    missing = re.match(r"No candidates were found for (.+?)\.?$", explained)
    if missing:
        return BuildFailed(f"The channels have no {missing[1]} for {target}.", code="RequirementNotFound")
    message = f"The packages of the conda environment do not go together for {target}: {explained}"
    return BuildFailed(message, code="DependencyConflict")


async def install(*, subdir: str, downloads: str, packages: list[tuple[str, str]], into: str, prefix: str) -> None:
    """The packages, told that they will be at `prefix`, below `into`."""
    tree = Path(into)
    client = Client.default_client(max_retries=2)
    few = asyncio.Semaphore(_AT_ONCE)
    with TemporaryDirectory(dir=tree.parent) as folder:

        async def prepared(url: str, sha256: str) -> UnpackedPackage:
            async with few:
                return await unpacked(client, url, sha256, downloads=Path(downloads), into=Path(folder))

        ready = await _all_ended(prepared(*package) for package in packages)
        refuse_shadowed(ready)
        try:
            await link(
                [package.record for package in ready],
                tree,
                cache_dir=Path(folder),
                platform=Subdir(subdir),
                execute_link_scripts=False,
                show_progress=False,
                client=client,
                alternative_target_prefix=prefix,
            )
        except InstallerError as error:
            message = f"The conda packages could not be installed: {foreign(' '.join(str(error).split()), 500)}"
            raise BuildFailed(message, code="PackagesFailed") from error
    _tidy(tree)


async def _all_ended(work: Iterable[Coroutine[Any, Any, UnpackedPackage]]) -> list[UnpackedPackage]:
    """All results; the first error only when none is at work any more in the folder that goes with it."""
    results = await asyncio.gather(*work, return_exceptions=True)
    if errors := [result for result in results if isinstance(result, BaseException)]:
        raise errors[0]
    return [result for result in results if not isinstance(result, BaseException)]


def _tidy(tree: Path) -> None:
    """Nothing is left that tells where or when it was installed, nor what Python compiles again by itself."""
    for name in _NOT_KEPT:
        path = tree / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    for path in [path for path in tree.rglob("*") if _compiled(path.as_posix())]:
        path.unlink()
    for folder in list(tree.rglob("__pycache__")):
        folder.rmdir()
    for file in tree.glob("conda-meta/*.json"):
        record = json.loads(file.read_bytes())
        kept = {name: value for name, value in record.items() if name not in _OF_THIS_MACHINE}
        kept |= {name: without_credentials(record[name]) for name in _URLS if record.get(name)}
        kept["files"] = sorted(path for path in record["files"] if not _compiled(path))
        paths = [path for path in record["paths_data"]["paths"] if not _compiled(path["_path"])]
        kept["paths_data"]["paths"] = sorted(paths, key=lambda path: str(path["_path"]))
        file.write_text(json.dumps(kept, indent=2, sort_keys=True))


def _compiled(path: str) -> bool:
    return path.endswith(".pyc")


_ACTIONS: dict[str, Callable[..., Awaitable[Any]]] = {"lock": lock, "install": install}


async def _answer(action: str, request: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"result": await _ACTIONS[action](**request)}
    except ServiceError as error:
        return {"error": {"kind": type(error).__name__, "message": without_credentials(error.message), "code": error.code}}


if __name__ == "__main__":
    json.dump(asyncio.run(_answer(sys.argv[1], json.load(sys.stdin))), sys.stdout)
    sys.stdout.flush()
    # An orderly end would be none: threads of rattler can outlive Python, and crash then.
    os._exit(0)
