"""The keys of a service, and where its collected data goes: the Secret of its pods. Sources: client-facts.md, 29 and 32."""

import base64
import hashlib

from shared.compute.kubernetes.kinds import SECRET, Object
from shared.compute.kubernetes.objects.metadata import new
from shared.domain.compute_resources import ClusterSettings
from shared.domain.computing import ServiceSpec
from shared.domain.service_settings import ModelDataCollection
from shared.domain.services import AuthKeys

KEYS = ("primary", "secondary")
"""The entries that hold the keys, each a file of the pods."""


def secret(spec: ServiceSpec, cluster: ClusterSettings) -> Object:
    """The Secret with the keys, and with the targets that are used.

    `data`, not `stringData`: the API server never returns the latter, so nobody could own its fields.
    """
    used = {entry: _encoded(value) for entry, (_, value) in targets(spec).items()}
    return new(SECRET, spec, cluster, type="Opaque", data=key_entries(spec.keys) | used)


def key_entries(keys: AuthKeys) -> dict[str, str]:
    """The keys, as the Secret's `data` holds them."""
    return dict(zip(KEYS, map(_encoded, (keys.primary_key, keys.secondary_key)), strict=True))


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def targets(spec: ServiceSpec) -> dict[str, tuple[str, str]]:
    """Each target that is on and given: the Secret's entry, the environment variable that gets it, and its value."""
    settings = spec.settings
    collection = settings.data_collection or ModelDataCollection()
    possible = {
        "storage": (collection.storage_enabled, "AML_MODEL_DC_STORAGE", spec.targets.storage),
        "event-hub": (collection.event_hub_enabled, "AML_MODEL_DC_EVENT_HUB", spec.targets.event_hub),
        "app-insights": (settings.app_insights_enabled, "AML_APP_INSIGHTS_KEY", spec.targets.app_insights),
    }
    return {entry: (variable, value) for entry, (enabled, variable, value) in possible.items() if enabled and value}


def targets_digest(spec: ServiceSpec) -> str:
    """Changes with the targets: pods read them when they start, so another target needs other pods. Empty without any."""
    used = targets(spec)
    return hashlib.sha256(repr(sorted(used.items())).encode()).hexdigest()[:16] if used else ""
