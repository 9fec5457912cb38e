"""The config and manifest of an image. Source: OCI image specification, config.md and manifest.md; client-facts.md, 28."""

import json
from collections.abc import Sequence
from typing import Any

from shared.domain.images import Layer
from shared.domain.ports import ImageSource
from shared.images.base import TITLE
from shared.images.layers import APP, SERVICE_USER
from shared.images.layout import CONFIG_TYPE, LAYER_TITLE, MANIFEST_TYPE

DEPENDENCIES = "opt/slipway/python"
RUNTIME = "opt/slipway/runtime"
MODEL_CONFIG_MAP = "model_config_map.json"


def image_config(
    source: ImageSource, layers: Sequence[Layer], platform: str, driver: str, inherited: Sequence[str] = ()
) -> bytes:
    """The config: how the image is started, and the layers it stands on. `inherited` is the base image's environment."""
    system, _, architecture = platform.partition("/")
    environment = dict(entry.split("=", 1) for entry in inherited if "=" in entry) | {
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "SLIPWAY_DEPENDENCIES": f"/{DEPENDENCIES}",
        "SLIPWAY_DRIVER": driver,
    }
    created = _created(source)
    return _canonical(
        {
            "created": created,
            "architecture": architecture,
            "os": system,
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


def image_manifest(source: ImageSource, layers: Sequence[Layer], *, config_digest: str, config_size: int) -> bytes:
    """The manifest over that config and those layers. It tells nothing but the manifest it was made of."""
    manifest = source.manifest
    return _canonical(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": {"mediaType": CONFIG_TYPE, "digest": config_digest, "size": config_size},
            "layers": [_descriptor(layer) for layer in layers],
            "annotations": {
                "org.opencontainers.image.title": manifest.name,
                "org.opencontainers.image.version": str(manifest.version),
                "org.opencontainers.image.created": _created(source),
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
    return _canonical(
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


def _canonical(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()
