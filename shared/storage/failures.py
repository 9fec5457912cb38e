"""What the storage SDK raises, in Slipway's words: no SDK exception crosses a port."""

from collections.abc import Awaitable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    IncompleteReadError,
    ResourceExistsError,
    ServiceRequestError,
    ServiceResponseError,
)

from shared.domain.errors import ServiceError, Throttled, Unavailable, foreign
from shared.domain.retry_after import retry_after

_NOT_ALLOWED = (401, 403)
_PASSING = (408, 409)
"""A conflict that is not about a row that was to be made is about what the service itself is doing."""


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Raise Slipway's errors for the SDK's: throttled or away can heal, a refused identity cannot."""
    try:
        yield
    except HttpResponseError as error:
        raise _of_status(what, error) from error
    except (ServiceRequestError, ServiceResponseError, IncompleteReadError) as error:
        raise Unavailable(f"{what}: storage could not be reached.", code="StorageUnavailable") from error
    except AzureError as error:
        raise ServiceError(f"{what}: storage failed ({type(error).__name__}).", code="StorageFailed") from error


class _Closable(Protocol):
    async def close(self) -> None: ...


async def opened[C: _Closable](client: C, create: Awaitable[object], what: str) -> C:
    """The client, when what it is for has been created or was there; closed again when that failed."""
    try:
        with translated(f"create {what}"), suppress(ResourceExistsError):
            await create
    except BaseException:
        await client.close()
        raise
    return client


def _of_status(what: str, error: HttpResponseError) -> ServiceError:
    status = error.status_code or 0
    if not status and isinstance(error, ClientAuthenticationError):
        said = foreign(str(error).partition("\n")[0])
        return ServiceError(f"{what}: the app's identity cannot sign in: {said}", code="StorageAccessDenied")
    after = retry_after(getattr(error.response, "headers", None) or {})
    if status == 429:
        return Throttled(f"{what}: storage asks for patience.", code="StorageThrottled", retry_after=after)
    if status >= 500 or status in _PASSING:
        return Unavailable(f"{what}: storage answered {status}.", code="StorageUnavailable", retry_after=after)
    if status in _NOT_ALLOWED:
        return ServiceError(f"{what}: storage refused this app's identity with {status}.", code="StorageAccessDenied")
    return ServiceError(f"{what}: storage answered {status}.", code="StorageFailed")
