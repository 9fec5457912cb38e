"""The keys of a service, and where its collected data goes: the Secret of its pods. Sources: client-facts.md, 29 and 32."""

import base64
import hashlib

from shared.compute.environment import APP_INSIGHTS, EVENT_HUB, STORAGE, used_targets
from shared.compute.kubernetes.kinds import SECRET, Object
from shared.compute.kubernetes.objects.metadata import new
from shared.domain.compute_resources import ClusterSettings
from shared.domain.computing import ServiceSpec
from shared.domain.services import AuthKeys

_ENTRIES = {"storage": STORAGE, "event-hub": EVENT_HUB, "app-insights": APP_INSIGHTS}
KEYS = ("primary", "secondary")
"""The entries that hold the keys, each a file of the pods."""
GRANT = "storage"
"""The entry with what adds to collected data for some days: a file of the pods, too, which changes when it is renewed."""
SIGNATURE = "SharedAccessSignature="


def secret(spec: ServiceSpec, cluster: ClusterSettings) -> Object:
    """The Secret with the keys, and with the targets that are used.

    `data`, not `stringData`: the API server never returns the latter, so nobody could own its fields.
    """
    return new(SECRET, spec, cluster, type="Opaque", data=key_entries(spec.keys) | target_entries(spec))


def key_entries(keys: AuthKeys) -> dict[str, str]:
    """The keys, as the Secret's `data` holds them."""
    return dict(zip(KEYS, map(_encoded, (keys.primary_key, keys.secondary_key)), strict=True))


def target_entries(spec: ServiceSpec) -> dict[str, str]:
    """The targets that are used, as the Secret's `data` holds them."""
    return {entry: _encoded(value) for entry, (_, value) in targets(spec).items()}


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def targets(spec: ServiceSpec) -> dict[str, tuple[str, str]]:
    """Each target that is on and given: the Secret's entry, the environment variable that gets it, and its value."""
    used = used_targets(spec.settings, spec.targets)
    return {entry: (variable, used[variable]) for entry, variable in _ENTRIES.items() if variable in used}


def targets_digest(spec: ServiceSpec) -> str:
    """Changes with the targets: pods read them when they start, so another target needs other pods. Empty without any.

    A new signature for the same storage changes nothing.
    """
    used = {entry: (variable, unsigned(value)) for entry, (variable, value) in targets(spec).items()}
    return hashlib.sha256(repr(sorted(used.items())).encode()).hexdigest()[:16] if used else ""


def unsigned(value: str) -> str:
    """The connection string without its signature."""
    return ";".join(part for part in value.split(";") if not part.startswith(SIGNATURE))
