"""DELETE of what others may refer to. Source: client-facts.md, 16."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from shared.domain.accounts import Account
from shared.domain.documents import Document, Release, Remove, Stored
from shared.domain.errors import Conflict, PreconditionFailed
from shared.domain.ports import Store
from shared.resources.contents import content_claim
from shared.resources.tags import UNCONDITIONAL, Preconditions

_MOST_NAMED = 20


@dataclass(frozen=True)
class Reference:
    """Where to look for what refers to a resource: a kind, and the filters that find it."""

    kind: type[Document]
    filters: Mapping[str, str]


async def remove_unless_referred[D: Document](
    store: Store,
    account: Account,
    kind: type[D],
    identifier: str,
    *references: Reference,
    preconditions: Preconditions = UNCONDITIONAL,
    allow: Callable[[Stored[D]], None] = lambda _: None,
) -> bool:
    """Delete that document; False when it is not there. Raises Conflict naming what still refers to it, and
    PreconditionFailed.

    Whoever begins to refer to it touches it: then the delete finds it changed, and looks again.
    """
    while True:
        stored = await store.get(account, kind, identifier)
        if stored is None:
            return False
        preconditions.check(stored.document.tag)
        allow(stored)
        await refuse_while_referred(store, account, kind, identifier, references)
        try:
            await store.commit(account, [Remove(stored), Release(content_claim(identifier))])
        except PreconditionFailed:
            continue
        return True


async def refuse_while_referred(
    store: Store, account: Account, kind: type[Document], identifier: str, references: tuple[Reference, ...]
) -> None:
    """Raises Conflict naming what refers to it, when something does."""
    for reference in references:
        referring = await store.page(account, reference.kind, reference.filters, count=_MOST_NAMED)
        if referring.items:
            named = ", ".join(f"{reference.kind.kind} {item.id}" for item in referring.items)
            more = " and more" if referring.after else ""
            message = f"{kind.kind} {identifier} is still used by {named}{more}."
            raise Conflict(message, code=f"{kind.kind.capitalize()}InUse")
