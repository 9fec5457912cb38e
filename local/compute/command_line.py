"""What a replica is told: its command line and environment. Sources: client-facts.md, 27 to 29; the image's config."""

import os
import sys
from pathlib import Path

from local.compute.contents import Content
from local.compute.state import Deployment
from shared.domain.service_settings import ModelDataCollection
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


def environment(deployment: Deployment, content: Content, app: Path, *, port: int, waiting: int) -> dict[str, str]:
    """All that a replica is told. Of the node's own environment, only what every program needs.

    Bytecode is kept beside what a replica imports, for those that start after it: scikit-learn alone takes seconds without.
    """
    image = {name: content.here(value, app) for name, value in content.environment.items()}
    here = {name: os.environ[name] for name in _FROM_THIS_MACHINE if name in os.environ}
    server = {
        "SLIPWAY_HOST": ADDRESS,
        "SLIPWAY_PORT": str(port),
        "SLIPWAY_MAX_CONCURRENCY": str(deployment.slots),
        "SLIPWAY_MAX_WAITING": str(waiting),
        "SLIPWAY_EXIT_WITH_PARENT": "1",
    }
    image.pop("PYTHONDONTWRITEBYTECODE", None)
    given = deployment.settings.environment_variables or {}
    return image | here | server | given | _service(deployment) | _collection(deployment)


def _service(deployment: Deployment) -> dict[str, str]:
    return {
        "SERVICE_NAME": deployment.service_name,
        "SERVICE_PATH_PREFIX": f"api/v1/service/{deployment.service_name}",
        "SERVICE_VERSION": deployment.image_location.rpartition(":")[2],
    }


def _collection(deployment: Deployment) -> dict[str, str]:
    """What is collected of the service, and where it goes, which the node's own environment says."""
    settings = deployment.settings
    collection = settings.data_collection or ModelDataCollection()
    told: dict[str, str] = {}
    for enabled, flag, target, setting in (
        (settings.app_insights_enabled, "AML_APP_INSIGHTS_ENABLED", "AML_APP_INSIGHTS_KEY", "SLIPWAY_APP_INSIGHTS"),
        (collection.storage_enabled, "AML_MODEL_DC_STORAGE_ENABLED", "AML_MODEL_DC_STORAGE", "SLIPWAY_COLLECTION_STORAGE"),
        (
            collection.event_hub_enabled,
            "AML_MODEL_DC_EVENT_HUB_ENABLED",
            "AML_MODEL_DC_EVENT_HUB",
            "SLIPWAY_COLLECTION_EVENT_HUB",
        ),
    ):
        told[flag] = "true" if enabled else "false"
        if enabled and os.environ.get(setting):
            told[target] = os.environ[setting]
    return told
