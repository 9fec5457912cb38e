"""What registries and their token services answer when they do not serve, in Slipway's words."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import aiohttp

from shared.domain.errors import BuildFailed, ServiceError, Throttled, Unavailable, foreign
from shared.domain.retry_after import retry_after
from shared.registries.bodies import bounded

_MOST_SAID = 500
AWAY, CORRUPT, DENIED, REFUSED = "RegistryAway", "RegistryCorrupt", "RegistryDenied", "RegistryRefused"


STAYS = (400, 404, 405, 501)
"""What registries answer that delete no tags, or nothing."""


def refusal(location: str, status: int, said: str, headers: Mapping[str, str]) -> ServiceError:
    """The error of an answer that is not what was asked for."""
    pause = retry_after(headers)
    if status == 429:
        return Throttled(f"{location}: the registry asks for patience.", retry_after=pause)
    if not 400 <= status < 500 or status == 408:
        return Unavailable(f"{location}: the registry answered {status}: {said}", code=AWAY, retry_after=pause)
    if status in (401, 403):
        return BuildFailed(f"{location}: the registry does not permit it ({status}).", code=DENIED)
    return BuildFailed(f"{location}: the registry refuses it ({status}): {said}", code=REFUSED)


async def check(location: str, answer: aiohttp.ClientResponse, *accepted: int) -> None:
    """Raises the answer's error, unless its status is one of those."""
    if answer.status not in accepted:
        said = (await bounded(answer, _MOST_SAID)).decode(errors="replace")
        raise refusal(location, answer.status, foreign(said), answer.headers)


def corrupt(location: str, what: str) -> Unavailable:
    """The error of content that is not what it says; another try may get it whole."""
    return Unavailable(f"{location}: {what}", code=CORRUPT)


@contextmanager
def translated(location: str) -> Iterator[None]:
    """Errors of the connection as ours."""
    try:
        yield
    except ServiceError:
        raise
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        if isinstance(error.__cause__, ServiceError):  # of what gives the bytes that are sent, which has failed
            raise error.__cause__ from None
        raise Unavailable(f"The registry of {location} is away: {type(error).__name__}.", code=AWAY) from error
    except ValueError as error:  # of an address that it named
        raise corrupt(location, "it sends requests to an address that is none.") from error
