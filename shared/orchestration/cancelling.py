"""What an operation waits for that has cancelled another one, named by its checkpoint."""

from datetime import timedelta

from shared.domain.accounts import Account
from shared.domain.operations import Operation
from shared.domain.ports import Store
from shared.orchestration.hold import is_leased
from shared.orchestration.outcome import Wait

_LOOK_AGAIN = timedelta(seconds=2)


async def still_leased(store: Store, account: Account, operation: Operation) -> Wait | None:
    """Wait as long as a worker may still be at work on the operation that this one has cancelled; None when none is."""
    cancelled = operation.checkpoint.get("cancelled")
    other = await store.get(account, Operation, cancelled) if isinstance(cancelled, str) else None
    if other is not None and is_leased(other):
        return Wait(_LOOK_AGAIN, f"the end of the lease of operation {cancelled}")
    return None
