"""Registries as resources of Azure. Source: Azure Resource Manager, Microsoft.ContainerRegistry."""

import re
from dataclasses import dataclass

_RESOURCE_ID = re.compile(
    r"/subscriptions/([\w-]+)/resourceGroups/([\w.()-]+)/providers/Microsoft\.ContainerRegistry/registries/([A-Za-z0-9]{5,50})",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class RegistryResource:
    """A registry as Azure Resource Manager knows it."""

    subscription: str
    resource_group: str
    name: str

    @classmethod
    def parse(cls, text: str) -> "RegistryResource":
        """The registry of that resource id; raises ValueError."""
        found = _RESOURCE_ID.fullmatch(text.strip().rstrip("/"))
        if found is None:
            accepted = "/subscriptions/…/resourceGroups/…/providers/Microsoft.ContainerRegistry/registries/…"
            raise ValueError(f"'{text[:200]}' is no registry's resource id; accepts {accepted}")
        return cls(*found.groups())
