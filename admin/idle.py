"""Settings that are well formed, and do nothing: for want of another one, or because another one takes their place."""

from collections.abc import Iterator, Mapping

from admin.findings import Finding
from shared.registries.logins import unused_logins
from shared.registries.references import Reference
from shared.settings.images import ImageSettings

_WITHOUT = {
    "SLIPWAY_EVENTS_KEY": "SLIPWAY_EVENTS_ENDPOINT",
    "SLIPWAY_REGISTRY_RESOURCE_ID": "SLIPWAY_REGISTRY",
    "SLIPWAY_LOCAL_COMPUTE_TOKEN": "SLIPWAY_LOCAL_COMPUTE_URL",
    "SLIPWAY_LOCAL_FRONT_END": "SLIPWAY_LOCAL_COMPUTE_URL",
}
"""What a setting does nothing without."""
_BESIDE = {
    "SLIPWAY_IMAGES": "SLIPWAY_REGISTRY",
    "SLIPWAY_TOKEN_ISSUERS": "SLIPWAY_ENTRA_TENANT",
    "SLIPWAY_TOKEN_JWKS_URL": "SLIPWAY_ENTRA_TENANT",
    "AzureWebJobsStorage__accountName": "AzureWebJobsStorage",
    "SLIPWAY_COLLECTION_STORAGE__accountName": "SLIPWAY_COLLECTION_STORAGE",
}
"""What takes the place of a setting."""


def idle_settings(variables: Mapping[str, str]) -> Iterator[Finding]:
    """A note for each setting that does nothing beside the others."""
    given = {name for name, value in variables.items() if value.strip()}
    for name, other in _WITHOUT.items():
        if name in given and other not in given:
            yield Finding.note(name, f"does nothing without {other}.")
    for name, other in _BESIDE.items():
        if {name, other} <= given:
            yield Finding.note(name, f"does nothing beside {other}, which takes its place.")


def idle_logins(images: ImageSettings) -> Iterator[Finding]:
    """A note for each login for a host that nothing names: most are misspelt."""
    named = [f"{images.registry}/image:1"] if images.registry else []
    references = [*named, *images.bases.values()]
    hosts = {Reference.parse(text).host for text in references}
    for host in sorted(unused_logins(images.logins, references)):
        used = f"images and their bases are at {', '.join(sorted(hosts))}" if hosts else "no registry is named"
        yield Finding.note("SLIPWAY_REGISTRY_AUTH", f"the login for {host} is used by nothing: {used}. Remove or rename it.")
