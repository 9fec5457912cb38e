"""What the management API answers, as errors of ours."""

from collections.abc import Iterator
from contextlib import contextmanager

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError

from shared.domain.errors import BuildFailed, ServiceError, Throttled, Unavailable, foreign
from shared.domain.retry_after import retry_after


@contextmanager
def translated(registry: str) -> Iterator[None]:
    """Errors of the client, asked about that registry. 401 and 403 do not heal; a sign-in that fails before that may."""
    try:
        yield
    except HttpResponseError as error:
        raise _refusal(registry, error) from error
    except (AzureError, ValueError) as error:  # the client's ValueError is for an answer that is no JSON: a gateway's
        raise Unavailable(f"ACR Tasks of {registry} is away: {type(error).__name__}.", code="RemoteBuilderAway") from error


def _refusal(registry: str, error: HttpResponseError) -> ServiceError:
    status, said = error.status_code or 0, foreign(error.message)
    pause = retry_after(getattr(error.response, "headers", None) or {})
    if isinstance(error, ClientAuthenticationError) or status in (401, 403):
        message = f"ACR Tasks of {registry} does not permit it ({status or 'no sign-in'}): {said}"
        return BuildFailed(message, code="RemoteBuilderDenied", retryable=not status)
    if status == 429:
        return Throttled(f"ACR Tasks of {registry} asks for patience.", retry_after=pause)
    if not 400 <= status < 500 or status in (408, 409):
        message = f"ACR Tasks of {registry} answered {status}: {said}"
        return Unavailable(message, code="RemoteBuilderAway", retry_after=pause)
    return BuildFailed(f"ACR Tasks of {registry} refuses it ({status}): {said}", code="RemoteBuilderRefused")
