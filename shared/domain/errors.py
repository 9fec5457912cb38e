"""Errors that carry their own decision: which answer they become, and whether trying again can help.

A class exists only where a caller decides differently. `code` is contract, the message is prose.
Foreign text goes through `foreign` before it is stored, shown or logged.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

_URL_QUERY = re.compile(r"(\b\w+://[^\s?#'\"<>]*)[?#][^\s'\"<>]*")
_URL_USER = re.compile(r"(\b\w+://)[^\s/@'\"<>]+@")
_BEARER = re.compile(r"(?i)(bearer\s+)[\w.~+/=-]+")
FOREIGN_LENGTH = 256
_LONGEST_PAUSE = 24 * 60 * 60.0
"""Seconds. Whoever asks for more patience than that says: not today."""


def foreign(text: object, length: int = FOREIGN_LENGTH) -> str:
    """Text that came from outside, safe to store, show or log: URLs lose user and query, tokens go, long text is cut."""
    clean = _BEARER.sub(r"\1…", _URL_USER.sub(r"\1", _URL_QUERY.sub(r"\1", str(text))))
    return clean if len(clean) <= length else clean[: length - 1] + "…"


@dataclass(frozen=True)
class Detail:
    """One line of an error: api.md, ErrorDetail."""

    code: str
    message: str


class ServiceError(Exception):
    """A failure with a decision in it: `status` for the answer, `retryable` for the engine, `code` for the searcher."""

    status: ClassVar[int] = 500
    default_code: ClassVar[str] = "InternalServerError"
    retryable: bool = False

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        details: Sequence[Detail] = (),
        status_code: int | None = None,
        retryable: bool | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.details = tuple(details)
        self.status_code = status_code or self.status
        self.retry_after = None if retry_after is None else min(retry_after, _LONGEST_PAUSE)
        if retryable is not None:
            self.retryable = retryable


class InvalidRequest(ServiceError):
    """The request itself is at fault; the same one will never be taken."""

    status = 400
    default_code = "InvalidRequest"


class Unauthenticated(ServiceError):
    """Nobody knows who is calling."""

    status = 401
    default_code = "Unauthenticated"


class Forbidden(ServiceError):
    """The caller is known, and may not."""

    status = 403
    default_code = "Forbidden"


class NotFound(ServiceError):
    """What the path names is not there."""

    status = 404
    default_code = "NotFound"


class Conflict(ServiceError):
    """The request is sound, but not with what is there now."""

    status = 409
    default_code = "Conflict"


class Taken(Conflict):
    """A unique key is held by somebody else, or what it says has changed; `key` is the store's name for it."""

    def __init__(self, message: str, key: str) -> None:
        super().__init__(message)
        self.key = key


class OperationInProgress(Conflict):
    """An operation is changing that resource; `operation_id` says which one to wait for."""

    default_code = "OperationInProgress"

    def __init__(self, resource: str, operation_id: str) -> None:
        super().__init__(f"{resource} is being changed by operation {operation_id}; wait for it to end.")
        self.operation_id = operation_id


class PreconditionFailed(ServiceError):
    """Somebody else changed it first: read again, then decide again."""

    status = 412
    default_code = "PreconditionFailed"


class TooLarge(ServiceError):
    """More than Slipway takes in one piece."""

    status = 413
    default_code = "TooLarge"


class Throttled(ServiceError):
    """A dependency asks for patience; `retry_after` says how much, in seconds."""

    status = 429
    default_code = "TooManyRequests"
    retryable = True


class Unavailable(ServiceError):
    """A dependency is away; the same request can succeed when it is back."""

    status = 503
    default_code = "ServiceUnavailable"
    retryable = True


class BuildFailed(ServiceError):
    """An image cannot be built from this manifest; the message says what to change."""

    status = 400
    default_code = "ImageBuildFailed"


class LeftBehind(ServiceError):
    """Something that a failed operation made is still there, and harms nobody: to its callers a warning."""

    @classmethod
    def because(cls, error: ServiceError) -> "LeftBehind":
        """For that cause, which is tried again as the cause would be."""
        return cls(
            error.message,
            code=error.code,
            status_code=error.status_code,
            retryable=error.retryable,
            retry_after=error.retry_after,
        )


class DeployFailed(ServiceError):
    """A service cannot run as it was asked to."""

    status = 400
    default_code = "ServiceDeploymentFailed"
