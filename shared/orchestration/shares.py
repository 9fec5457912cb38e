"""What one account may have of a worker: so many operations at once, builds counted apart from all others."""

from collections import defaultdict
from dataclasses import dataclass, field

from shared.domain.accounts import Account
from shared.domain.operations import Operation
from shared.domain.plans import builds


@dataclass
class _Share:
    running: int = 0
    waiting: dict[str, Operation] = field(default_factory=dict)


class Shares:
    """The shares of all accounts in this process. An operation that finds none free waits, the oldest first."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._shares: defaultdict[tuple[str, bool], _Share] = defaultdict(_Share)

    def begin(self, account: Account, operation: Operation) -> bool:
        """Whether it may run now; if not, it waits until `end` gives it back."""
        share = self._of(account, operation)
        if share.running >= self.most:
            share.waiting.setdefault(operation.id, operation)
            return False
        share.waiting.pop(operation.id, None)
        share.running += 1
        return True

    def end(self, account: Account, operation: Operation) -> Operation | None:
        """It runs no more; the one that waits longest for its place, to be woken."""
        share = self._of(account, operation)
        share.running -= 1
        first = next(iter(share.waiting), None)
        return share.waiting.pop(first) if first is not None else None

    def _of(self, account: Account, operation: Operation) -> _Share:
        return self._shares[account.scope, builds(operation)]
