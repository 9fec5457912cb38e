"""What the store keeps: documents, the filters that find them, and changes that happen together or not at all."""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import ClassVar

from shared.domain.wire import Wire


def tag_of(shown: str) -> str:
    """The entity tag of a resource that is shown as that text."""
    digest = hashlib.sha256(shown.encode()).digest()
    return f'"{base64.urlsafe_b64encode(digest[:18]).decode()}"'


type Term = Mapping[str, str]
"""Property names and values that find a document in a list: `{"name": "digits"}`, `{"name": "digits", "tag": "prod"}`."""


class Document(Wire):
    """A wire value with an id that is kept under its `kind`; the stored document is its JSON."""

    kind: ClassVar[str]
    narrowest: ClassVar[tuple[str, ...]] = ()
    """The names of its terms, that which leaves the fewest documents first."""
    together: ClassVar[tuple[str, ...]] = ()
    """Names that are a term together, too."""

    unseen: ClassVar[frozenset[str]] = frozenset()
    """The fields that its callers are not shown, or that are made fresh each time."""

    id: str

    @property
    def tag(self) -> str:
        """Its entity tag, RFC 9110: a digest of what is shown of it."""
        return tag_of(self.model_dump_json(exclude_none=True, exclude=set(self.unseen)))

    def terms(self) -> Iterable[Term]:
        """The filters under which it is listed, besides the list of all."""
        return ()


@dataclass(frozen=True)
class Stored[D: Document]:
    """A document as it was read, with the tag that tells whether it has changed since."""

    document: D
    etag: str
    age: timedelta = field(default=timedelta(0), compare=False)
    """How long ago it was written, by the store's own clock; zero when it has just been."""


@dataclass(frozen=True)
class Insert:
    """A new document."""

    document: Document


@dataclass(frozen=True)
class Replace:
    """A document that takes the place of the one that was read; fails when that one has changed since."""

    old: Stored[Document]
    new: Document


@dataclass(frozen=True)
class Renew:
    """A Replace that no list needs to show; lists show it with the next Replace."""

    old: Stored[Document]
    new: Document


@dataclass(frozen=True)
class Remove:
    """The end of a document; fails when it has changed since it was read."""

    old: Stored[Document]


@dataclass(frozen=True)
class Discard:
    """The end of a document that nothing changes any more; fails when it has gone."""

    document: Document


@dataclass(frozen=True)
class Touch:
    """Nothing but a new tag on a document that another begins to refer to; fails only when it has gone."""

    old: Stored[Document]


@dataclass(frozen=True)
class Held:
    """A claim as it was read: what it says, and the tag that tells whether it has changed since."""

    key: str
    value: str
    etag: str


@dataclass(frozen=True)
class Claim:
    """A unique key, such as a service's name; fails with Conflict when it is taken. `value` is what it says."""

    key: str
    value: str


@dataclass(frozen=True)
class Reclaim:
    """Another value for a claim; fails with Conflict when it has changed since it was read, as a taken one does."""

    held: Held
    value: str


@dataclass(frozen=True)
class Release:
    """The end of a claim; harmless when it is not held."""

    key: str


type Change = Insert | Replace | Renew | Remove | Discard | Touch | Claim | Reclaim | Release


@dataclass(frozen=True)
class Page[D: Document]:
    """Items in order, newest first; `after` is the id to go on from, None on the last page."""

    items: tuple[D, ...]
    after: str | None
