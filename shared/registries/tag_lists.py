"""Lists of tags: whether they are whole is what deletions rest on. Source: OCI distribution specification 1.1."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.registries.references import is_tag


@dataclass(frozen=True)
class Listed:
    """The tags of a repository, or the first of them where there are more than were asked for."""

    tags: Sequence[str]
    complete: bool


def tags_of(page: Mapping[str, Any]) -> list[str] | None:
    """Those of a page; None for a page that holds anything else, and so does not tell."""
    listed = page.get("tags", ...)
    if listed is None:  # of an empty repository
        return []
    whole = isinstance(listed, list) and all(isinstance(tag, str) and is_tag(tag) for tag in listed)
    return listed if whole else None
