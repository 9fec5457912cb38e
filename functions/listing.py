"""Lists: what narrows them, how many a page holds, and the link to the next page. Source: api.md; client-facts.md, 4."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlencode

from functions.endpoint import Call
from functions.query import NOT_FILTERS
from functions.replies import API_VERSIONS
from shared.domain.accounts import Account
from shared.domain.documents import Document, Page
from shared.domain.errors import Detail, InvalidRequest, foreign
from shared.domain.filters import Filters
from shared.domain.wire import validate

DEFAULT_COUNT = 100
MOST_COUNT = 1000

type ReadPage[F: Filters, D: Document] = Callable[[Account, F, int, str | None], Awaitable[Page[D]]]


@dataclass(frozen=True)
class Listed[D: Document]:
    """A page, and the absolute address of the next one, None on the last."""

    items: tuple[D, ...]
    next_link: str | None


def filters_of[F: Filters](call: Call, kind: type[F]) -> F:
    """The filters in the query; raises InvalidRequest for one that is unknown or malformed."""
    return validate(kind, {name: value for name, value in call.query.items() if name not in NOT_FILTERS})


async def listed[F: Filters, D: Document](call: Call, resource: str, kind: type[F], read: ReadPage[F, D]) -> Listed[D]:
    """The page of that resource's list that the query asks for."""
    filters, count = filters_of(call, kind), _count(call.query.get("count"))
    given, token = filters.given(), call.query.get("$skipToken")
    tokens = call.slipway.skip_tokens
    after = tokens.read(call.account, resource, given, token) if token else None
    page = await read(call.account, filters, count, after)
    if page.after is None:
        return Listed(page.items, None)
    query = {"api-version": API_VERSIONS[-1], **given}
    if "count" in call.query:
        query["count"] = str(count)
    query["$skipToken"] = tokens.make(call.account, resource, given, page.after)
    return Listed(page.items, f"{call.account_url}/{resource}?{urlencode(query)}")


def _count(text: str | None) -> int:
    if text is None:
        return DEFAULT_COUNT
    count = int(text) if re.fullmatch(r"[0-9]{1,9}", text) else 0
    if not 1 <= count <= MOST_COUNT:
        message = f"count: got '{foreign(text, 80)}'; accepts a whole number from 1 to {MOST_COUNT}."
        raise InvalidRequest(message, details=[Detail("InvalidValue", message)])
    return count
