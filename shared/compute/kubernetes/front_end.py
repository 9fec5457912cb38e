"""The front end of a cluster: where services are called, and whether it leads to them (client-facts.md, 28 and 33)."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import aiohttp

_SECONDS = 10.0
_TIMES = 5
"""So many answers in a row, each on a connection of its own: replicas that go have their share for a moment."""
_HEALTHY, _PARKED = 200, 503
_REVISION = "x-slipway-revision"
"""The header by which a replica tells who sends a key which revision of the service it is of."""


async def what_is_amiss(address: str, key: str, revision: str) -> str:
    """What callers of the service meet at its health address that they should not; empty when it answers as it ought to.

    Replicas of that revision ought to answer. With none, the service is parked: it is called in vain, and that ought to
    be 503. The key goes to that address only: redirects are answers, and not followed.
    """
    import aiohttp  # noqa: PLC0415  only who has a cluster pays

    try:
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True),
            timeout=aiohttp.ClientTimeout(_SECONDS),
            headers={"Authorization": f"Bearer {key}"},
        ) as session:
            for _ in range(_TIMES):
                async with session.get(address, allow_redirects=False) as answer:
                    amiss = _amiss(answer, revision)
                if amiss:
                    return f"{address} {amiss}"
    except (aiohttp.ClientError, TimeoutError) as error:
        return f"{address} cannot be reached: {type(error).__name__}"
    return ""


def _amiss(answer: "aiohttp.ClientResponse", revision: str) -> str:
    """What an answer does that it should not."""
    if answer.status != (_HEALTHY if revision else _PARKED):
        return f"answers {answer.status}"
    told = answer.headers.get(_REVISION)
    if not revision or told == revision:
        return ""
    if told:
        return f"answers {answer.status} by a replica of another revision"
    return (
        f"answers {answer.status} and tells no revision: it is no replica of this service, or one that has not read its "
        "keys yet, or one of an image that was built before replicas told theirs"
    )
