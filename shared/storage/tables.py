"""The store on Azure Table Storage: all of an account in one partition, what belongs together in one transaction."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any, TypeGuard

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.core.pipeline import PipelineResponse
from azure.data.tables import TableTransactionError, UpdateMode
from azure.data.tables.aio import TableClient

from shared.domain.accounts import Account
from shared.domain.documents import Change, Document, Held, Insert, Page, Release, Renew, Replace, Stored
from shared.domain.errors import PreconditionFailed, ServiceError, Taken, TooLarge
from shared.domain.fencing import check_fence
from shared.domain.ids import complement
from shared.storage.connection import StorageConnection, transport
from shared.storage.failures import opened, translated
from shared.storage.rows import (
    Row,
    Write,
    claim_key,
    decode,
    document_key,
    encoded_length,
    list_prefix,
    prefix_end,
    rows_of,
)

TABLE = "resources"
MOST_PAGE_CHARACTERS = 8 * 1024 * 1024
"""Of all documents in a page: a page of large ones holds fewer of them."""
_LARGEST_PAGE = 250
_RETRY: dict[str, Any] = {"retry_total": 3}
_NO_RETRY: dict[str, Any] = {"retry_total": 0}
"""A commit that was sent again after its answer was lost would meet its own rows, and be taken for a conflict."""


@dataclass(frozen=True)
class _Entity:
    """A row as it was read, and when the answer was given by the store's own clock."""

    properties: Any
    answered: str

    @property
    def age(self) -> timedelta:
        """How long ago it was written; never negative, since the answer's time has no fraction of a second."""
        written = self.properties.metadata["timestamp"]
        return max(parsedate_to_datetime(self.answered) - written, timedelta(0)) if self.answered else timedelta(0)


class TableStore:
    """Store over one table. The client is made when it is first needed, in the loop that needs it."""

    def __init__(self, connection: StorageConnection, table: str = TABLE) -> None:
        self._connection = connection
        self._name = table
        self._opening = asyncio.Lock()
        self._client: TableClient | None = None

    async def get[D: Document](self, account: Account, kind: type[D], identifier: str) -> Stored[D] | None:
        """The document of that id, or None."""
        entity = await self._entity(account, document_key(kind, identifier))
        if entity is None:
            return None
        return Stored(decode(kind, entity.properties), entity.properties.metadata["etag"], entity.age)

    async def held(self, account: Account, key: str) -> Held | None:
        """The claim of that key, or None when it is free."""
        entity = await self._entity(account, claim_key(key))
        if entity is None:
            return None
        return Held(key, entity.properties["value"], entity.properties.metadata["etag"])

    async def page[D: Document](
        self, account: Account, kind: type[D], filters: Mapping[str, str], *, count: int, after: str | None = None
    ) -> Page[D]:
        """Up to `count` documents that fit all filters, newest first, from behind the id `after`; fewer when they are large.

        One filter, or the pair that has an index of its own, costs what it returns. Of other filters together the
        narrowest decides what is read, and the rest is checked on what comes.
        """
        term = _narrowest(kind, filters)
        rest = {name: value for name, value in filters.items() if name not in term}
        prefix = list_prefix(kind, term)
        start = prefix + complement(after) if after else prefix
        items: list[D] = []
        characters = 0
        async with aclosing(
            self._scan(account, kind, start, prefix_end(prefix), _LARGEST_PAGE if rest else count + 1)
        ) as scan:
            async for document, length in scan:
                if rest and not _fits(document, rest):
                    continue
                characters += length
                if len(items) == count or (items and characters > MOST_PAGE_CHARACTERS):
                    return Page(tuple(items), items[-1].id)
                items.append(document)
        return Page(tuple(items), None)

    async def commit(self, account: Account, changes: Sequence[Change]) -> Sequence[Stored[Document]]:
        """All of the changes, or none; the documents inserted and replaced come back as they are stored now."""
        rows = rows_of(await self._without_idle_releases(account, changes))
        answers = await self._submitted(account, rows) if rows else []
        etags = {row.key: answer["etag"] for row, answer in zip(rows, answers, strict=True) if "etag" in answer}
        documents = [change.document if isinstance(change, Insert) else change.new for change in changes if _writes(change)]
        return [Stored(document, etags[document_key(type(document), document.id)]) for document in documents]

    async def close(self) -> None:
        """Close its connections."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def _ready(self) -> TableClient:
        async with self._opening:
            if self._client is None:
                credential = self._connection.credential()
                client = TableClient(
                    self._connection.table, self._name, credential=credential, transport=transport(), **_RETRY
                )
                self._client = await opened(client, client.create_table(), "table")
            return self._client

    async def _entity(self, account: Account, key: str) -> _Entity | None:
        client = await self._ready()
        answered: list[str] = []

        def keep_date(response: PipelineResponse[Any, Any]) -> None:
            answered.append(response.http_response.headers.get("Date", ""))

        with translated("read"):
            try:
                return _Entity(await client.get_entity(account.scope, key, raw_response_hook=keep_date), answered[-1])
            except ResourceNotFoundError:
                return None

    async def _submitted(self, account: Account, rows: Sequence[Row]) -> Sequence[Mapping[str, Any]]:
        client = await self._ready()
        check_fence()
        with translated("commit"):
            try:
                if len(rows) == 1 and rows[0].write is not Write.DELETE:  # the SDK hides that a deleted row was gone
                    return [await _written(client, account, rows[0])]
                return await client.submit_transaction([_operation(account, row) for row in rows], **_NO_RETRY)
            except HttpResponseError as error:
                refusal = _refusal(error, rows)
                if refusal is None:
                    raise
                raise refusal from error

    async def _scan[D: Document](
        self, account: Account, kind: type[D], start: str, end: str, size: int
    ) -> AsyncGenerator[tuple[D, int]]:
        """Documents with their lengths in characters."""
        client = await self._ready()
        query = "PartitionKey eq @scope and RowKey gt @start and RowKey lt @end"
        parameters = {"scope": account.scope, "start": start, "end": end}
        with translated("list"):
            async for entity in client.query_entities(
                query, parameters=parameters, results_per_page=min(size, _LARGEST_PAGE)
            ):
                yield decode(kind, entity), encoded_length(entity)

    async def _without_idle_releases(self, account: Account, changes: Sequence[Change]) -> list[Change]:
        """A delete of a row that is not there would fail the whole transaction, and a release is to be harmless."""
        return [
            change
            for change in changes
            if not isinstance(change, Release) or await self.held(account, change.key) is not None
        ]


def _narrowest(kind: type[Document], filters: Mapping[str, str]) -> Mapping[str, str]:
    """The filters that one index answers."""
    if kind.together and all(name in filters for name in kind.together):
        return {name: filters[name] for name in kind.together}
    return next(({name: filters[name]} for name in kind.narrowest if name in filters), {})


def _fits(document: Document, filters: Mapping[str, str]) -> bool:
    terms = list(document.terms())
    return all({name: value} in terms for name, value in filters.items())


def _writes(change: Change) -> TypeGuard[Insert | Replace | Renew]:
    return isinstance(change, Insert | Replace | Renew)


def _operation(account: Account, row: Row) -> tuple[str, dict[str, str], dict[str, Any]]:
    entity = {"PartitionKey": account.scope, "RowKey": row.key, **row.properties}
    condition = {"etag": row.etag, "match_condition": MatchConditions.IfNotModified} if row.etag else {}
    match row.write:
        case Write.CREATE | Write.DELETE:
            return row.write.value, entity, condition
        case Write.UPSERT | Write.UPDATE:
            return row.write.value, entity, {"mode": UpdateMode.REPLACE, **condition}
        case Write.MERGE:
            return "update", entity, {"mode": UpdateMode.MERGE}


async def _written(client: TableClient, account: Account, row: Row) -> Mapping[str, Any]:
    """One row by itself: less than half of what a transaction of one costs."""
    entity = {"PartitionKey": account.scope, "RowKey": row.key, **row.properties}
    etag: dict[str, Any] = {"etag": row.etag, "match_condition": MatchConditions.IfNotModified} if row.etag else {}
    match row.write:
        case Write.CREATE:
            return await client.create_entity(entity, **_NO_RETRY)
        case Write.UPSERT:
            return await client.upsert_entity(entity, mode=UpdateMode.REPLACE, **_NO_RETRY)
        case Write.UPDATE:
            return await client.update_entity(entity, mode=UpdateMode.REPLACE, **etag, **_NO_RETRY)
        case _:
            return await client.update_entity(entity, mode=UpdateMode.MERGE, **_NO_RETRY)


def _refusal(error: HttpResponseError, rows: Sequence[Row]) -> ServiceError | None:
    """What the port says for it, None for what is no answer to these rows. The status decides: it is always there."""
    index = error.index if isinstance(error, TableTransactionError) else 0
    row = rows[index] if index < len(rows) else rows[0]
    match error.status_code:
        case 409 if row.write is Write.CREATE:
            return Taken(f"The row {row.key} is taken.", row.claim or row.key)
        case 404 | 412 if row.claim and row.write is Write.UPDATE:
            return Taken(f"The row {row.key} has changed or gone.", row.claim)
        case 404 | 412:
            return PreconditionFailed(f"The row {row.key} has changed or gone.")
        case 413:
            return TooLarge("The change is larger than a transaction can be, 4 MiB.")
    return None
