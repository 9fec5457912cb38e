"""The codec between documents and table rows. Pure; design: one table, one partition an account.

A document is one row under `kind:complement of its id`, so that an ascending scan is newest first, and one row more for
each of its terms, `kind-by-name:value:complement`. Every row carries the document: a page of a list costs a page.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import count, takewhile

from shared.domain.documents import (
    Change,
    Claim,
    Discard,
    Document,
    Insert,
    Reclaim,
    Release,
    Remove,
    Renew,
    Replace,
    Term,
    Touch,
)
from shared.domain.errors import TooLarge
from shared.domain.ids import complement

MOST_ROWS = 100
MOST_TRANSACTION_BYTES = 4 * 1024 * 1024 - 64 * 1024
MOST_ENTITY_BYTES = 1024 * 1024 - 16 * 1024
_ROW_OVERHEAD = 1024
_CHUNK = 16 * 1024
"""Characters a property: at most two UTF-16 units each, and a string property holds 32 Ki units."""
_LONGEST_VALUE = 160
_PLAIN = re.compile(r"[^A-Za-z0-9._-]")


class Write(Enum):
    """What a transaction does to a row."""

    CREATE = "create"
    UPSERT = "upsert"
    UPDATE = "update"
    MERGE = "merge"
    DELETE = "delete"


@dataclass(frozen=True)
class Row:
    """One write of a transaction; `etag` None means whatever is there, `claim` is the key of a claim's row."""

    write: Write
    key: str
    properties: Mapping[str, str] = field(default_factory=dict)
    etag: str | None = None
    claim: str | None = None


def document_key(kind: type[Document], identifier: str) -> str:
    """The row key of a document."""
    return f"{kind.kind}:{complement(identifier)}"


def claim_key(key: str) -> str:
    """The row key of a claim."""
    return f"claim:{_escape(key)}"


def list_prefix(kind: type[Document], term: Term) -> str:
    """What the row keys of a list begin with, newest first behind it: all of a kind, or those that fit a term."""
    if not term:
        return f"{kind.kind}:"
    names = sorted(term)
    return f"{kind.kind}-by-{'+'.join(names)}:{':'.join(_escape(term[name]) for name in names)}:"


def prefix_end(prefix: str) -> str:
    """The first key behind all that begin so."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


def encode(document: Document) -> dict[str, str]:
    """A document's properties; raises TooLarge when one row cannot hold it."""
    text = document.stored_text()
    if len(text.encode("utf-16-le")) > MOST_ENTITY_BYTES:
        raise TooLarge(f"{document.kind} {document.id} is larger than a table row can be, 1 MiB.")
    return {f"d{start // _CHUNK}": text[start : start + _CHUNK] for start in range(0, len(text), _CHUNK)}


def decode[D: Document](kind: type[D], properties: Mapping[str, object]) -> D:
    """The document in a row."""
    return kind.from_stored("".join(_chunks(properties)))


def encoded_length(properties: Mapping[str, object]) -> int:
    """How many characters the document in a row has."""
    return sum(map(len, _chunks(properties)))


def _chunks(properties: Mapping[str, object]) -> Iterator[str]:
    names = takewhile(properties.__contains__, (f"d{number}" for number in count()))
    return (str(properties[name]) for name in names)


def rows_of(changes: Sequence[Change]) -> list[Row]:
    """The writes of a transaction; raises TooLarge when they do not fit one."""
    rows = [row for change in changes for row in _rows(change)]
    size = sum(_ROW_OVERHEAD + sum(len(json.dumps(value)) for value in row.properties.values()) for row in rows)
    if len(rows) > MOST_ROWS or size > MOST_TRANSACTION_BYTES:
        raise TooLarge(f"The change needs {len(rows)} rows and {size} bytes; a transaction holds 100 rows and 4 MiB.")
    return rows


def _rows(change: Change) -> Iterator[Row]:
    match change:
        case Insert(document):
            yield from _inserted(document)
        case Replace(old, new):
            yield from _replaced(old.document, new, old.etag)
        case Renew(old, new):
            yield Row(Write.UPDATE, document_key(type(new), new.id), encode(new), old.etag)
        case Remove(old):
            yield from _removed(old.document, old.etag)
        case Discard(document):
            yield from _removed(document, None)
        case Touch(old):
            yield Row(Write.MERGE, document_key(type(old.document), old.document.id))
        case Claim(key, value):
            yield Row(Write.CREATE, claim_key(key), {"value": value}, claim=key)
        case Reclaim(held, value):
            yield Row(Write.UPDATE, claim_key(held.key), {"value": value}, held.etag, held.key)
        case Release(key):
            yield Row(Write.DELETE, claim_key(key), claim=key)


def _inserted(document: Document) -> Iterator[Row]:
    properties = encode(document)
    yield Row(Write.CREATE, document_key(type(document), document.id), properties)
    for key in _index_keys(document):
        yield Row(Write.CREATE, key, properties)


def _replaced(old: Document, new: Document, etag: str) -> Iterator[Row]:
    properties = encode(new)
    yield Row(Write.UPDATE, document_key(type(new), new.id), properties, etag)
    kept = _index_keys(new)
    for key in kept:
        yield Row(Write.UPSERT, key, properties)
    for key in _index_keys(old):
        if key not in kept:
            yield Row(Write.DELETE, key)


def _removed(old: Document, etag: str | None) -> Iterator[Row]:
    yield Row(Write.DELETE, document_key(type(old), old.id), etag=etag)
    for key in _index_keys(old):
        yield Row(Write.DELETE, key)


def _index_keys(document: Document) -> list[str]:
    terms = (list_prefix(type(document), term) for term in document.terms())
    return list(dict.fromkeys(prefix + complement(document.id) for prefix in terms))


def _escape(text: str) -> str:
    """Safe in a row key, bounded, and never alike for two texts: odd characters as `=XX`, a long text as `==` and digest."""
    escaped = _PLAIN.sub(lambda match: "".join(f"={byte:02X}" for byte in match[0].encode()), text)
    return escaped if len(escaped) <= _LONGEST_VALUE else f"=={hashlib.sha256(text.encode()).hexdigest()}"
