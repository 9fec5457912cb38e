"""Effects that follow a record which others may change meanwhile."""

from collections.abc import Awaitable, Callable


async def applied[T](read: Callable[[], Awaitable[T]], apply: Callable[[T], Awaitable[None]]) -> None:
    """Apply what is read, and again when it reads otherwise afterwards: what was read too early does not stay in force.

    Whoever changes the record applies it after that, so of two that do so at once the later one is right.
    """
    latest = await read()
    while True:
        await apply(latest)
        before, latest = latest, await read()
        if latest == before:
            return
