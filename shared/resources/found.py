"""Reading one resource, where its absence is an answer of its own."""

from typing import NoReturn

from shared.domain.accounts import Account
from shared.domain.documents import Document, Stored
from shared.domain.errors import Detail, InvalidRequest, NotFound
from shared.domain.ports import Store


async def found[D: Document](store: Store, account: Account, kind: type[D], identifier: str) -> Stored[D]:
    """The resource that a path names; raises NotFound."""
    return await store.get(account, kind, identifier) or missing(kind, identifier)


def missing(kind: type[Document], identifier: str) -> NoReturn:
    """Raises NotFound for that resource."""
    raise NotFound(f"There is no {kind.kind} {identifier} in this account.", code=f"{kind.kind.capitalize()}NotFound")


async def referred[D: Document](store: Store, account: Account, kind: type[D], field: str, identifier: str) -> Stored[D]:
    """The resource that a field of a request names; raises InvalidRequest."""
    stored = await store.get(account, kind, identifier)
    if stored is None:
        message = f"{field}: got '{identifier}', no {kind.kind} of this account; accepts the id of a registered one."
        raise InvalidRequest(message, details=[Detail("InvalidReference", message)])
    return stored
