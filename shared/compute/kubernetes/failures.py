"""What an API server answers when it refuses, as errors of ours.

Source: the Kubernetes API, type Status; the messages by which one reason is told from another are those of k8s.io/apiserver.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from shared.domain.errors import Conflict, DeployFailed, Detail, ServiceError, Throttled, Unavailable, foreign
from shared.domain.retry_after import retry_after

FAILED = "KubernetesDeploymentFailed"
_AWAY = "ClusterUnavailable"
_FORBIDDEN = "ClusterForbidden"
_UNAUTHENTICATED = "ClusterUnauthenticated"
_SAID_LENGTH = 1000
"""The words of an admission webhook are all that a user gets to see of its policy."""
_NOT_AUTHORIZED = re.compile(r'User "(?:[^"\\]|\\.)*" cannot ')
"""Authorization says this; admission, which answers 403 too, says what is wrong with the object."""
_NOT_READY = "not yet ready to handle request"
"""Admission answers 403 for this, too, while an API server that has just started reads what it judges by."""
_NOT_DECLARED = "field not declared in schema"
"""Server-side apply answers 500 for a field that this version of Kubernetes does not have."""


@dataclass(frozen=True)
class Answer:
    """What the API server answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def ok(self) -> bool:
        """Whether it did what it was asked to."""
        return 200 <= self.status < 300

    @cached_property
    def document(self) -> dict[str, Any]:
        """The body as JSON; empty when it is anything else."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def is_status(self) -> bool:
        """Whether an API server says so, rather than something in front of it."""
        return self.document.get("kind") == "Status"

    @property
    def said(self) -> str:
        """Its own words, fit to be shown."""
        return foreign(self.document.get("message") or self.body.decode(errors="replace").strip(), _SAID_LENGTH)

    @property
    def retry_after(self) -> float | None:
        """How many seconds it asks for, if it does."""
        return retry_after(self.headers)


def refusal(answer: Answer, doing: str) -> ServiceError:
    """The error that the answer is; `doing` says what was asked: the verb, the kind, the name.

    What does not heal is a DeployFailed with the API server's words: 400 when a user can mend it, 500 for a namespace or a
    kind that is not there. All else is for trying again: credentials and permissions, too, since an API server that has
    just started knows neither.
    """
    if answer.status == 401:
        message = f"The cluster refuses the credentials of this app, asked to {doing} (401): {answer.said}"
        return ServiceError(message, code=_UNAUTHENTICATED, retryable=True)
    if answer.status == 403 and not _by_admission(answer):
        message = f"The cluster does not permit this app to {doing} (403): {answer.said}"
        return ServiceError(message, code=_FORBIDDEN, retryable=True)
    if answer.status == 409:
        message = f"The cluster could not {doing}, something else was changing it: {answer.said}"
        return Conflict(message, code="ClusterConflict", retryable=True)
    if answer.status == 429:
        return Throttled("The cluster asks for patience.", retry_after=answer.retry_after)
    passes = answer.status in (408, 410) or _NOT_READY in answer.said
    if _NOT_DECLARED in answer.said or (400 <= answer.status < 500 and not passes):
        return _refused(answer, doing)
    message = f"The cluster could not {doing} ({answer.status}): {answer.said}"
    return Unavailable(message, code=_AWAY, retry_after=answer.retry_after)


def unreachable(error: BaseException, doing: str) -> Unavailable:
    """The error for an API server that cannot be reached, or broke off."""
    said = foreign(error) or "no answer in time"
    return Unavailable(f"The cluster could not {doing}: {type(error).__name__}: {said}", code=_AWAY)


def _by_admission(answer: Answer) -> bool:
    return answer.is_status and not _NOT_AUTHORIZED.search(answer.said)


def _refused(answer: Answer, doing: str) -> DeployFailed:
    reason = _reason(answer)
    message = f"The cluster refuses to {doing}: {answer.said}"
    code = "QuotaExceeded" if reason == "QuotaExceeded" else FAILED
    status = 500 if answer.status == 404 else 400
    return DeployFailed(message, code=code, status_code=status, details=[Detail(foreign(reason, 64), answer.said)])


def _reason(answer: Answer) -> str:
    if "exceeded quota" in answer.said:
        return "QuotaExceeded"
    if "denied the request" in answer.said or "denied request" in answer.said:
        return "AdmissionDenied"
    return str(answer.document.get("reason") or "Refused")
