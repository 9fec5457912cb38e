"""The config and manifest of an image. Source: OCI image specification, config.md and manifest.md; client-facts.md, 28."""

from collections.abc import Sequence
from typing import Any

from shared.domain.building import ImageSource
from shared.domain.images import Layer
from shared.domain.manifests import RuntimeType
from shared.images.base import TITLE
from shared.images.describing.artifacts import canonical, describe
from shared.images.layouts.layout import CONFIG_TYPE, LAYER_TITLE
from shared.images.packing.layers import APP, SERVICE_USER
from shared.registries.manifests import MANIFEST_TYPE
from shared.registries.platforms import Platform, as_mapping

DEPENDENCIES = "opt/slipway/python"
RUNTIME = "opt/slipway/runtime"
CONDA = "opt/slipway/conda"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MODEL_CONFIG_MAP = "model_config_map.json"
SPARK = "SLIPWAY_SPARK"
"""Tells the scoring server to have a Spark session there for the driver."""


def image_config(
    source: ImageSource,
    layers: Sequence[Layer],
    *,
    platform: str,
    driver: str,
    inherited: Sequence[str] = (),
    conda: bool = False,
) -> bytes:
    """The config: how the image is started, and the layers it stands on. `inherited` is the base image's environment;
    with `conda`, its environment's programs come first."""
    environment = dict(entry.split("=", 1) for entry in inherited if "=" in entry) | {
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "SLIPWAY_DEPENDENCIES": f"/{DEPENDENCIES}",
        "SLIPWAY_DRIVER": driver,
    }
    if source.manifest.target_runtime.runtime_type is RuntimeType.SPARK_PYTHON:
        environment[SPARK] = "1"
    if conda:
        environment["PATH"] = f"/{CONDA}/bin:{environment.get('PATH', _PATH)}"
    created = _created(source)
    return canonical(
        {
            "created": created,
            **as_mapping(Platform.parse(platform)),
            "config": {
                "User": str(SERVICE_USER),
                "ExposedPorts": {"5001/tcp": {}},
                "Env": [f"{name}={value}" for name, value in environment.items()],
                "Entrypoint": ["python", f"/{RUNTIME}"],
                "WorkingDir": f"/{APP}",
            },
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
            "history": [{"created": created, "created_by": "slipway", "comment": layer.title} for layer in layers],
        }
    )


def image_manifest(source: ImageSource, layers: Sequence[Layer], config: bytes, *, revision: str) -> bytes:
    """The manifest over that config and those layers. It tells nothing but the manifest it was made of; `revision` is the
    digest of its driver."""
    manifest = source.manifest
    return canonical(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": describe(CONFIG_TYPE, config),
            "layers": [_descriptor(layer) for layer in layers],
            "annotations": {
                "org.opencontainers.image.title": manifest.name,
                "org.opencontainers.image.version": str(manifest.version),
                "org.opencontainers.image.created": _created(source),
                "org.opencontainers.image.revision": revision,
                "slipway.manifest.id": manifest.id,
                "slipway.model.ids": ",".join(model.id for model in source.models),
            },
        }
    )


def _descriptor(layer: Layer) -> dict[str, Any]:
    descriptor = {"mediaType": layer.media_type, "digest": layer.digest, "size": layer.size}
    return descriptor if layer.title == TITLE else {**descriptor, "annotations": {LAYER_TITLE: layer.title}}


def model_config_map(source: ImageSource) -> bytes:
    """Where the driver SDK's collector finds the ids (client-facts.md, 31)."""
    account = source.account
    return canonical(
        {
            "accountContext": {
                "subscriptionId": account.subscription,
                "resourceGroupName": account.resource_group,
                "accountName": account.name,
            },
            "models": {model.name: {"id": model.id, "version": model.version} for model in source.models},
        }
    )


def _created(source: ImageSource) -> str:
    return source.manifest.created_time.strftime("%Y-%m-%dT%H:%M:%SZ")
