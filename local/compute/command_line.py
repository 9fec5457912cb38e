"""What a replica is told: its command line and environment. Sources: client-facts.md, 27 to 29; the image's config."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from local.compute.contents import Content
from local.compute.state import Deployment
from shared.compute.environment import service_environment, used_targets
from shared.domain.computing import CollectionTargets
from shared.images.image_config import CONDA

ADDRESS = "127.0.0.1"
_FROM_THIS_MACHINE = ("PATH", "HOME", "LANG", "TMPDIR", "JAVA_HOME")


def command(content: Content, app: Path) -> list[str]:
    """The image's entry point with its paths as they are here.
    `python` is that of the image's conda environment, if it has one, else the interpreter that runs the node; the scoring
    server keeps what is installed there from the driver.
    """
    first, *others = (content.here(word, app) for word in content.entrypoint)
    conda = Path(content.here(f"/{CONDA}/bin/python", app))
    python = str(conda) if conda.exists() else sys.executable
    return [python if first == "python" else first, *others]


@dataclass(frozen=True)
class Given:
    """What the node gives one replica; `keys` is the folder with its credential."""

    port: int
    waiting: int
    keys: Path
    targets: CollectionTargets


def environment(deployment: Deployment, content: Content, app: Path, given: Given) -> dict[str, str]:
    """All that a replica is told. Of the node's own environment, only what every program needs.

    Bytecode is kept beside what a replica imports, for those that start after it: scikit-learn alone takes seconds without.
    """
    image = {name: content.here(value, app) for name, value in content.environment.items()}
    here = {name: os.environ[name] for name in _FROM_THIS_MACHINE if name in os.environ}
    server = {
        "SLIPWAY_HOST": ADDRESS,
        "SLIPWAY_PORT": str(given.port),
        "SLIPWAY_KEYS": str(given.keys),
        "SLIPWAY_GUARD_METRICS": "1",
        "SLIPWAY_MAX_CONCURRENCY": str(deployment.slots),
        "SLIPWAY_MAX_WAITING": str(given.waiting),
        "SLIPWAY_EXIT_WITH_PARENT": "1",
    }
    image.pop("PYTHONDONTWRITEBYTECODE", None)
    chosen = deployment.settings.environment_variables or {}
    told = service_environment(deployment.service_name, deployment.image_location, deployment.settings)
    return image | here | server | chosen | told | used_targets(deployment.settings, given.targets)
