"""The account: the scope in which everything of one tenant lives, and the partition that holds it."""

import re
from dataclasses import dataclass

_PLAIN = re.compile(r"[^a-z0-9_-]")


@dataclass(frozen=True)
class Account:
    """Subscription, resource group and account name; two spellings of one account are equal in `scope`."""

    subscription: str
    resource_group: str
    name: str

    @property
    def scope(self) -> str:
        """The partition key: lower-cased, and escaped where a table key allows no such character."""
        return "!".join(_escape(part) for part in (self.subscription, self.resource_group, self.name))

    @property
    def path(self) -> str:
        """The account's base path, api.md."""
        return f"/api/subscriptions/{self.subscription}/resourceGroups/{self.resource_group}/accounts/{self.name}"


def _escape(text: str) -> str:
    return _PLAIN.sub(lambda match: "".join(f"={byte:02X}" for byte in match[0].encode()), text.lower())
