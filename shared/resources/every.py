"""All documents of a kind, page by page."""

from collections.abc import AsyncIterator, Mapping

from shared.domain.accounts import Account
from shared.domain.documents import Document
from shared.domain.ports import Store

_PAGE = 200


async def every[D: Document](
    store: Store, account: Account, kind: type[D], filters: Mapping[str, str] | None = None
) -> AsyncIterator[D]:
    """Those of the account that fit the filters, newest first; what is added meanwhile may be missed."""
    after: str | None = None
    while True:
        page = await store.page(account, kind, filters or {}, count=_PAGE, after=after)
        for document in page.items:
            yield document
        if page.after is None:
            return
        after = page.after
