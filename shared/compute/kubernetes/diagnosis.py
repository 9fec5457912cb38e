"""Why a rollout is not done: what it waits for, or why it never will be. Pure: what the cluster says, and the time, come in.

Sources: the conditions of apps/v1 Deployments; client-facts.md, 19.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.compute.kubernetes.failures import FAILED
from shared.compute.kubernetes.kinds import Object
from shared.compute.kubernetes.statuses import PodView, condition, counts, is_ready, turned
from shared.compute.kubernetes.troubles import WRONG_ARCHITECTURE, LogSource, Trouble, pod_trouble
from shared.domain.computing import Observed
from shared.domain.errors import foreign
from shared.domain.log_lines import message_of
from shared.domain.operations import ErrorDetail, ErrorResponse

_REFUSAL_GRACE = timedelta(seconds=30)
_UNKNOWN_REFUSAL_GRACE = timedelta(minutes=2)
_ANSWERS_NOTHING = timedelta(minutes=5)
_LOG_LINES = 20
_SPECIFIED = 500

_REFUSALS = (
    ("exceeded quota", "QuotaExceeded", 400, "QuotaExceeded"),
    ("insufficient quota to match these scopes", "QuotaExceeded", 400, "QuotaExceeded"),
    ("failed quota", "QuotaNeedsReservation", 400, FAILED),
    ("violates PodSecurity", "PodSecurity", 500, FAILED),
    ("unable to validate against any security context constraint", "SecurityContextConstraint", 500, FAILED),
    (r"denied (the )?request|image policy webhook backend denied", "AdmissionDenied", 400, FAILED),
    (
        r"(maximum|minimum) \S+ usage per|max limit to request ratio per|must be less than or equal to",
        "LimitRange",
        400,
        FAILED,
    ),
)
"""What the API server says of pods that it does not take: its words, the reason, whose it is to mend, and the code."""
_FIELDS = {
    "limits.cpu": "cpuLimit",
    "limits.memory": "memoryLimit",
    "requests.cpu": "cpu",
    "cpu": "cpu",
    "requests.memory": "memory",
    "memory": "memory",
}
"""What a quota wants to be specified, as fields of a reservation."""


@dataclass(frozen=True)
class Diagnosis:
    """How a rollout fares: done when it neither waits nor has failed. `log` is the one to fetch for `with_log`."""

    ready: int
    wanted: int
    waiting_for: str = ""
    error: ErrorResponse | None = None
    log: LogSource | None = None

    @property
    def done(self) -> bool:
        """Whether all replicas are those of the new template, and ready, and no others are left."""
        return not self.waiting_for and self.error is None

    def with_log(self, lines: Sequence[str]) -> "Diagnosis":
        """The same with the last lines of that log, or what they give away, in the error."""
        texts = (text for line in lines for text in message_of(line).splitlines() if text.strip())
        said = [foreign(text) for text in texts][-_LOG_LINES:]
        if self.error is None or not said:
            return self
        if any("exec format error" in line for line in said):
            return replace(self, error=WRONG_ARCHITECTURE.error)
        message = f"{self.error.message} It last said: {said[-1]}"
        return replace(self, error=_detailed(self.error.but(message=message), "\n".join(said)))

    def without_log(self, why: str) -> "Diagnosis":
        """The same with why that log could not be read."""
        return self if self.error is None else replace(self, error=_detailed(self.error, why))


def _detailed(error: ErrorResponse, log: str) -> ErrorResponse:
    return error.but(details=(*(error.details or ()), ErrorDetail(code="Log", message=log)))


def diagnosed(deployment: Object, pods: Sequence[Object], events: Sequence[Object], now: datetime) -> Diagnosis:
    """How the rollout of that Deployment fares. `pods` are those of its newest template, `events` those about them."""
    living = [pod for pod in pods if counts(pod)]
    ready, wanted = sum(map(is_ready, living)), _wanted(deployment)
    if not _noticed(deployment):
        return Diagnosis(ready, wanted, "the cluster to notice the change")
    if _rolled_out(deployment):
        return Diagnosis(ready, wanted)
    trouble = _worst(deployment, living, events, now)
    given_up = (condition(deployment, "Progressing", "False") or {}).get("reason") == "ProgressDeadlineExceeded"
    if trouble and (trouble.final or given_up):
        return Diagnosis(ready, wanted, error=trouble.error, log=trouble.log)
    if given_up:
        return Diagnosis(ready, wanted, error=_timed_out(ready, wanted))
    waits = f"{wanted} replicas to be ready, and those before to end; {ready} are ready"
    return Diagnosis(ready, wanted, f"{waits}. {trouble.message}" if trouble else waits)


def observed(deployment: Object, pods: Sequence[Object], now: datetime, events: Sequence[Object] = ()) -> Observed:
    """How a service fares that was deployed before: it has failed when nothing of it has been ready for five minutes."""
    if _wanted(deployment) == 0 or deployment.get("status", {}).get("readyReplicas", 0) > 0:
        return Observed(ready=True)
    living = [pod for pod in pods if counts(pod)]
    since = turned(deployment, "Available", "False")
    if since is None or now - max([since, *_last_ready(living)]) < _ANSWERS_NOTHING:
        return Observed()
    trouble = _worst(deployment, living, events, now)
    return Observed(error=trouble.error if trouble else _answers_nothing())


def _wanted(deployment: Object) -> int:
    return int(deployment["spec"].get("replicas", 1))


def _noticed(deployment: Object) -> bool:
    noticed: int = deployment.get("status", {}).get("observedGeneration", 0)
    return noticed >= int(deployment["metadata"].get("generation", 0))


def _rolled_out(deployment: Object) -> bool:
    status, wanted = deployment.get("status", {}), _wanted(deployment)
    updated, all_there_are, available = (
        int(status.get(name, 0)) for name in ("updatedReplicas", "replicas", "availableReplicas")
    )
    return updated >= wanted and all_there_are == updated and available >= wanted


def _worst(deployment: Object, pods: Sequence[Object], events: Sequence[Object], now: datetime) -> Trouble | None:
    """What is final before what is not; then pods that were refused before pods that fare badly."""
    of_pods = (pod_trouble(PodView.of(pod, events, now)) for pod in pods)
    found = (_refusal(deployment, now), *of_pods, _paused(deployment))
    return max((trouble for trouble in found if trouble), key=lambda trouble: trouble.final, default=None)


def _refusal(deployment: Object, now: datetime) -> Trouble | None:
    failure = condition(deployment, "ReplicaFailure", "True")
    if failure is None:
        return None
    said = re.sub(r'^pods "[^"]*" is forbidden: ', "", failure.get("message", ""))
    lasted = now - (turned(deployment, "ReplicaFailure", "True") or now)
    message = f"The cluster takes no replica of the service: {foreign(said)}"
    for words, reason, status, code in _REFUSALS:
        if re.search(words, said):
            return Trouble(reason, f"{message}{_remedy(said)}", status, lasted >= _REFUSAL_GRACE, code=code)
    return Trouble(failure.get("reason") or "FailedCreate", message, 500, lasted >= _UNKNOWN_REFUSAL_GRACE)


def _remedy(said: str) -> str:
    """The fields to give, where a quota wants to know more."""
    specify = said.partition("must specify")[2][:_SPECIFIED]
    fields = dict.fromkeys(_FIELDS[name] for name in re.split(r"[\s,;]+", specify) if name in _FIELDS)
    return f" Give {' and '.join(f'containerResourceReservation.{field}' for field in fields)}." if fields else ""


def _paused(deployment: Object) -> Trouble | None:
    """Somebody has said that it is not to be rolled out."""
    if not deployment["spec"].get("paused"):
        return None
    name = deployment["metadata"].get("name", "")
    message = f"The Deployment is paused, so no new replica is started. To go on: kubectl rollout resume deployment/{name}"
    return Trouble("DeploymentPaused", message, 500, final=True)


def _timed_out(ready: int, wanted: int) -> ErrorResponse:
    message = f"The replicas were not ready in time: {ready} of {wanted} are, and nothing says why."
    return ErrorResponse(code="DeploymentTimedOut", message=message, status_code=504)


def _answers_nothing() -> ErrorResponse:
    message = "No replica of the service has been ready for five minutes, and the cluster does not say why."
    return ErrorResponse(code=FAILED, message=message, status_code=500)


def _last_ready(pods: Sequence[Object]) -> list[datetime]:
    """When those pods stopped being ready that ever were: such a pod turned later than it was initialized.

    The Deployment's own condition does not tell: it turns when the first of several replicas is no longer ready.
    """
    turns = [(turned(pod, "Initialized", "True"), turned(pod, "Ready", "False")) for pod in pods]
    return [ended for began, ended in turns if began and ended and ended > began + timedelta(seconds=2)]
