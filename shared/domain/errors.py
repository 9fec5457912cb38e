"""Errors that carry their own decision: which answer they become, and whether trying again can help.

A class exists only where a caller decides differently. `code` is contract, the message is prose.
Foreign text goes through `foreign` before it is stored, shown or logged.
"""

import errno
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar

_URL = re.compile(r"://([^\s?#'\"<>]*)(?:[?#][^\s'\"<>]*)?")
_BEARER = re.compile(r"(?i)(bearer\s+)[\w.~+/=-]+")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What moves a cursor, breaks or turns a line around, or has no UTF-8 form."""
FOREIGN_LENGTH = 256
_MOST_CAUSES = 8
_OUT_OF_ROOM = (errno.ENOSPC, errno.EDQUOT)
_SAYS_OUT_OF_ROOM = re.compile("No space left on device|Disk quota exceeded")
_LONGEST_PAUSE = 24 * 60 * 60.0
"""Seconds. Whoever asks for more patience than that says: not today."""


def foreign(text: object, length: int = FOREIGN_LENGTH, *, lines: bool = False) -> str:
    """Text that came from outside, safe to store, show or log: one line of at most `length` characters.

    It is cut first, and cleaned in linear time: URLs lose user and query, tokens go, control characters are escaped. With
    `lines` its line breaks and tabs stay, for logs and tracebacks.
    """
    whole = str(text)
    start = whole[: 2 * length + 64]
    if len(start) < len(whole):  # a user that is cut off from its @ is not known for one
        head, separator, rest = start.rpartition("://")
        start = start if not separator or "/" in rest else head + separator
    clean = _BEARER.sub(r"\1…", _URL.sub(_address, start))
    shown = _CONTROL.sub(_escaped_in_lines if lines else _escaped, clean[: length + 1])
    return shown if len(shown) <= length and len(start) == len(whole) else shown[: length - 1] + "…"


def _address(url: re.Match[str]) -> str:
    authority, slash, path = url[1].partition("/")
    return f"://{authority.rpartition('@')[2]}{slash}{path}"


def _escaped(control: re.Match[str]) -> str:
    return ascii(control[0])[1:-1]


def _escaped_in_lines(control: re.Match[str]) -> str:
    return control[0] if control[0] in "\n\t" else _escaped(control)


def with_causes(error: "ServiceError") -> str:
    """An error for the log, on one line: its status, code and message, and all that it was raised from."""
    causes = "".join(f"; caused by {type(cause).__name__}: {_line(cause)}" for cause in islice(_causes(error), _MOST_CAUSES))
    return f"{error.status_code} {error.code}: {_line(error.message)}{causes}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        yield cause
        yield from _causes(cause)


def _line(text: object) -> str:
    return " ".join(foreign(text).split())


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


class InsufficientStorage(ServiceError):
    """A disk of this app's is full, or its quota is met; the same request can succeed when there is room."""

    status = 507
    default_code = "InsufficientStorage"
    retryable = True

    def __init__(self) -> None:
        super().__init__("There is no room left on the disk of the machine that does this.")


def out_of_room(error: BaseException) -> InsufficientStorage | None:
    """What it is when it comes of a full disk, whatever it was taken for on its way; else None."""
    link: BaseException | None = error
    seen = 0
    while link is not None and seen < _MOST_CAUSES:
        if isinstance(link, OSError) and link.errno in _OUT_OF_ROOM:
            return InsufficientStorage()
        link, seen = link.__cause__ or link.__context__, seen + 1
    return None


def says_out_of_room(text: str) -> bool:
    """Whether a program of ours that failed said that a disk is full."""
    return _SAYS_OUT_OF_ROOM.search(text) is not None
