"""Keeping the server's packages and the driver's apart.

The server imports what it needs first. Then all that is not the standard library leaves the import system: the server goes
on with what it holds, and the driver imports its own version of anything.
"""

import importlib
import site
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

_HERE = Path(__file__).resolve().parent
_STANDARD = {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")}
_THIRD_PARTY = {"site-packages", "dist-packages"}


def leave_to_driver(folder: Path, dependencies: Path) -> None:
    """Make imports find the driver's folder, the standard library and the driver's packages, in this order, and no more.

    It is the order of any script in a virtual environment: an old backport among the packages hides nothing of the standard
    library. The packages' folder is a site directory: its `.pth` files count.
    """
    for name in [name for name, module in sys.modules.items() if _foreign(module)]:
        del sys.modules[name]
    sys.path[:] = [str(folder), *filter(_standard, sys.path)]
    site.addsitedir(str(dependencies))
    importlib.invalidate_caches()


def _standard(entry: str) -> bool:
    path = Path(entry).resolve()
    if path.suffix == ".zip":
        return path.name == f"python{sys.version_info.major}{sys.version_info.minor}.zip"
    return not _THIRD_PARTY & set(path.parts) and any(path.is_relative_to(root) for root in _STANDARD)


def _foreign(module: ModuleType) -> bool:
    origin = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", ())), None)
    if origin is None or module.__name__ == "__main__":
        return False
    return not _standard(origin) and not Path(origin).resolve().is_relative_to(_HERE)
