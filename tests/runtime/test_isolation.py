"""The server's packages and the driver's never meet (design: the image's layout)."""

import shutil
import sysconfig
from pathlib import Path

from tests.runtime.replicas import RUNTIME, Start

WHERE = """
import importlib, sys
def run(body):
    module = importlib.import_module(body)
    return [getattr(module, "__version__", None), module.__file__]
"""


async def test_a_driver_may_pin_another_version_of_what_the_server_uses(start: Start, tmp_path: Path) -> None:
    packages = tmp_path / "packages"
    (packages / "httptools").mkdir(parents=True)
    (packages / "httptools" / "__init__.py").write_text("__version__ = '0.0.1'")
    replica = await start(WHERE, dependencies=packages).ready()
    assert (await replica.score('"httptools"')).json() == ["0.0.1", str(packages / "httptools" / "__init__.py")]
    assert (await replica.score('"httptools"')).status_code == 200


async def test_the_servers_own_packages_are_not_there_for_the_driver(start: Start, tmp_path: Path) -> None:
    installed = tmp_path / "runtime"
    shutil.copytree(RUNTIME, installed, ignore=shutil.ignore_patterns("__pycache__", "lib"))
    shutil.copytree(Path(sysconfig.get_path("platlib")) / "httptools", installed / "lib" / "httptools")
    source = """
    import sys
    def run(body):
        try:
            import httptools
        except ModuleNotFoundError:
            return sys.path
    """
    replica = await start(source, program=installed).ready()
    path = (await replica.score({})).json()
    assert path[0] == str(replica.folder)
    assert not [entry for entry in path if "site-packages" in entry or entry.startswith(str(installed))]


async def test_a_drivers_packages_are_a_site_directory_behind_the_standard_library(start: Start, tmp_path: Path) -> None:
    packages = tmp_path / "packages"
    (packages / "elsewhere").mkdir(parents=True)
    (packages / "elsewhere" / "linked.py").write_text("__version__ = 'by a .pth file'")
    (packages / "links.pth").write_text("elsewhere\n")
    (packages / "wave.py").write_text("raise ImportError('a backport of long ago')")
    replica = await start(WHERE, dependencies=packages).ready()
    assert (await replica.score('"linked"')).json()[0] == "by a .pth file"
    assert (await replica.score('"wave"')).status_code == 200


async def test_the_folder_comes_first(start: Start, tmp_path: Path) -> None:
    packages = tmp_path / "packages"
    packages.mkdir()
    (packages / "features.py").write_text("__version__ = 'of the packages'")
    replica = await start(WHERE, files={"features.py": "__version__ = 'of the folder'"}, dependencies=packages).ready()
    assert (await replica.score('"features"')).json()[0] == "of the folder"


async def test_a_pydantic_that_the_server_does_not_know_is_the_drivers_alone(start: Start, tmp_path: Path) -> None:
    packages = tmp_path / "packages"
    (packages / "pydantic").mkdir(parents=True)
    (packages / "pydantic" / "__init__.py").write_text("__version__ = '1.10'\nclass BaseModel:\n    pass\n")
    source = """
    from pydantic import BaseModel
    class Person(BaseModel):
        __pydantic_core_schema__ = "unknown"
    def run(body: Person):
        return body
    """
    replica = await start(source, dependencies=packages).ready()
    assert (await replica.score({"name": "Ada"})).json() == {"name": "Ada"}
    assert await replica.logged("00000000-0000-0000-0000-000000000000", "is not used")


async def test_modules_of_the_driver_may_be_called_as_those_of_the_server(start: Start) -> None:
    files = dict.fromkeys(("kinds.py", "inputs.py", "spark.py", "logs.py"), "__version__ = 'of the driver'")
    replica = await start(WHERE, files=files).ready()
    for name in ("kinds", "inputs", "spark", "logs"):
        assert (await replica.score(f'"{name}"')).json() == ["of the driver", str(replica.folder / f"{name}.py")]
