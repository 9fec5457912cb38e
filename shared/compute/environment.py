"""What a replica is told of its service, on every kind of compute. Source: client-facts.md, 27 and 29."""

from shared.domain.compute_resources import SERVICE_PATH
from shared.domain.computing import CollectionTargets
from shared.domain.service_settings import ModelDataCollection, ServiceSettings

STORAGE, EVENT_HUB, APP_INSIGHTS = "AML_MODEL_DC_STORAGE", "AML_MODEL_DC_EVENT_HUB", "AML_APP_INSIGHTS_KEY"


def service_environment(
    name: str, image_location: str, settings: ServiceSettings, path: str | None = None
) -> dict[str, str]:
    """The service's name, path and version, and what of it is collected and reported. Without `path` it is the usual one."""
    prefix = (path or SERVICE_PATH.format(service=name)).strip("/")
    collection = settings.data_collection or ModelDataCollection()
    return {
        "SERVICE_NAME": name,
        "SERVICE_PATH_PREFIX": prefix,
        "SERVICE_VERSION": image_version(image_location),
        "AML_APP_INSIGHTS_ENABLED": _flag(settings.app_insights_enabled),
        "AML_MODEL_DC_STORAGE_ENABLED": _flag(collection.storage_enabled),
        "AML_MODEL_DC_EVENT_HUB_ENABLED": _flag(collection.event_hub_enabled),
    }


def used_targets(settings: ServiceSettings, targets: CollectionTargets) -> dict[str, str]:
    """Where what is collected goes, by variable: of the targets that are given, those that are switched on."""
    collection = settings.data_collection or ModelDataCollection()
    possible = (
        (STORAGE, collection.storage_enabled, targets.storage),
        (EVENT_HUB, collection.event_hub_enabled, targets.event_hub),
        (APP_INSIGHTS, settings.app_insights_enabled, targets.app_insights),
    )
    return {variable: target for variable, enabled, target in possible if enabled and target}


def image_version(location: str) -> str:
    """The tag of an image."""
    return location.rpartition(":")[2]


def _flag(value: bool | None) -> str:
    return "true" if value else "false"
