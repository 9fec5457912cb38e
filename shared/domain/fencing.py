"""Fencing: a worker that has lost its lease stops before its next effect on the outside.

The engine puts a fence around each step; adapters call `check_fence` right before each effect.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from shared.domain.errors import ServiceError

_fence: ContextVar[Callable[[], None] | None] = ContextVar("fence", default=None)


class LeaseLost(ServiceError):
    """Another worker may have the operation by now: this one changes nothing more, and decides nothing anew."""

    status = 412
    default_code = "LeaseLost"


@contextmanager
def fenced(check: Callable[[], None]) -> Iterator[None]:
    """Have `check` called before each effect of this context and the tasks and threads begun in it."""
    token = _fence.set(check)
    try:
        yield
    finally:
        _fence.reset(token)


def check_fence() -> None:
    """Raises LeaseLost when the lease of the operation in hand may be somebody else's; harmless outside a step."""
    check = _fence.get()
    if check is not None:
        check()
