"""Models: a name, its versions, and where the bytes are. Source: api.md, Model."""

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field

from shared.domain.documents import Document, Term
from shared.domain.fields import Description, MediaType, RegisteredName, Tag, Url
from shared.domain.wire import Timestamp, Wire

MOST_TAGS = 40


class ModelRequest(Wire):
    """What a caller says of a model."""

    read_only: ClassVar[frozenset[str]] = frozenset({"id", "version", "createdAt"})
    signed: ClassVar[frozenset[str]] = frozenset({"url"})

    name: RegisteredName
    description: Description | None = None
    tags: Annotated[tuple[Tag, ...], Field(max_length=MOST_TAGS)] = ()
    url: Url
    mime_type: MediaType
    unpack: bool = False


class Model(Document, ModelRequest):
    """A registered model: never changes, may be deleted when nothing refers to it."""

    kind: ClassVar[str] = "model"
    narrowest: ClassVar[tuple[str, ...]] = ("name", "tag")
    together: ClassVar[tuple[str, ...]] = ("name", "tag")

    version: int
    created_at: Timestamp

    def terms(self) -> Iterator[Term]:
        yield {"name": self.name}
        for tag in dict.fromkeys(self.tags):
            yield {"tag": tag}
            yield {"name": self.name, "tag": tag}
