"""What can be wrong with a pod, by the words of the scheduler, the kubelet and the container runtime.

A trouble has a grace: so long, or so often, it is taken for a hiccup. Within it a rollout waits; after it, it has failed.
Sources: the reasons of kubernetes/pkg/kubelet; the cluster autoscaler's events; client-facts.md, 19.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from shared.compute.kubernetes.failures import FAILED
from shared.compute.kubernetes.objects.pod import CONTAINER, START_TIMEOUT
from shared.compute.kubernetes.statuses import PodView, condition, is_ready
from shared.domain.errors import foreign
from shared.domain.operations import ErrorDetail, ErrorResponse

_USERS = 400
_OPERATORS = 500

_CRASHES = 2
"""So many restarts a container is given: once can be a hiccup."""
_PULLS = 2
_TWO_PULLS_TAKE = timedelta(seconds=45)
"""In which the kubelet has tried again, should its events not be there: it waits for 10 seconds after the first failure."""
_REGISTRY_GRACE = timedelta(minutes=3)
_CONFIG_GRACE = timedelta(minutes=1)
_MOUNT_GRACE = timedelta(minutes=2)
_SCHEDULING_GRACE = timedelta(minutes=2)
_CAUSE, _WHOLE = 200, 4096
_NODE_IS_COMING = ("TriggeredScaleUp", "Nominated")
"""What the cluster autoscaler and Karpenter say when they make room."""


@dataclass(frozen=True)
class LogSource:
    """The log that tells more: of that container of that pod; `previous` for the run before its last restart."""

    pod: str
    container: str
    previous: bool


@dataclass(frozen=True)
class Trouble:
    """Something wrong, under the reason people search for. When it is `final`, waiting does not help."""

    reason: str
    message: str
    status: int
    final: bool = False
    log: LogSource | None = None
    code: str = FAILED

    @property
    def error(self) -> ErrorResponse:
        """It as the error of an operation."""
        detail = ErrorDetail(code=self.reason, message=self.message)
        return ErrorResponse(code=self.code, message=self.message, status_code=self.status, details=(detail,))


WRONG_ARCHITECTURE = Trouble(
    "WrongArchitecture",
    "The image is made for another processor architecture than that of the node it was to run on: exec format error.",
    _OPERATORS,  # who settles which platform images are built for
    final=True,
)


def pod_trouble(pod: PodView) -> Trouble | None:
    """What is wrong with the pod, None when nothing is that is known."""
    if is_ready(pod.pod):
        return None
    found = (rule(pod) for rule in _RULES)
    return next((trouble for trouble in found if trouble), None)


_FOREIGN_PLATFORM = r"exec format error|no match for platform|no matching manifest for"


def _wrong_architecture(pod: PodView) -> Trouble | None:
    texts = (pod.waiting.get("message"), pod.ended.get("message"), *pod.said("Failed"))
    return WRONG_ARCHITECTURE if any(re.search(_FOREIGN_PLATFORM, text or "") for text in texts) else None


def _failed_probe(pod: PodView) -> Trouble | None:
    """The kubelet ends a container whose startup or liveness probe has failed too often."""
    killed = re.search(r"failed (startup|liveness) probe", " ".join(pod.said("Killing")))
    if not killed:
        return None
    answered = foreign((pod.said("Unhealthy") or ("",))[-1])
    if killed[1] == "startup":
        message = f"The driver was not ready {START_TIMEOUT} seconds after it was started. {answered}"
    else:
        message = f"The scoring server stopped answering, and was started again. {answered}"
    final = killed[1] == "startup" or pod.restarts >= _CRASHES
    return Trouble("Unhealthy", message.strip(), _USERS, final, _log(pod))


def _crash(pod: PodView) -> Trouble | None:
    ended, final, log = pod.ended, pod.restarts >= _CRASHES, _log(pod)
    if not ended or pod.waiting.get("reason", "CrashLoopBackOff") != "CrashLoopBackOff":
        return None
    if ended.get("reason") == "OOMKilled":
        limits = pod.resources("limits")
        limit = f" of {limits['memory']}" if "memory" in limits else " of its node"
        message = f"The container used more than the memory{limit}. Reserve more: containerResourceReservation.memory."
        return Trouble("OOMKilled", message, _USERS, final, log)
    said = f" {foreign(ended['message'])}" if ended.get("message") else ""
    message = f"The container ends soon after it is started, with exit code {ended.get('exitCode')}.{said}"
    return Trouble("CrashLoopBackOff", message, _USERS, final, log)


def _log(pod: PodView) -> LogSource:
    """The log of the run that has ended: the one before, unless its container is still there."""
    before = "terminated" not in pod.container.get("state", {}) and bool(pod.container.get("lastState"))
    return LogSource(pod.name, CONTAINER, before)


def _configuration(pod: PodView) -> Trouble | None:
    reason = pod.waiting.get("reason")
    if reason not in ("CreateContainerConfigError", "CreateContainerError", "RunContainerError", "PostStartHookError"):
        return None
    message = f"The container cannot be created: {foreign(pod.waiting.get('message', ''))}"
    return Trouble(reason, message, _OPERATORS, pod.lasted("PodScheduled", "True", _CONFIG_GRACE))


_PULL_REASONS = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "ImageInspectError", "RegistryUnavailable", "SignatureValidationFailed"}
)
_DENIED = r"(?i)\b40[13]\b|unauthori[sz]ed|denied|forbidden|authentication required|insufficient_scope|no basic auth"
_ABSENT = r"(?i)not found|\b404\b|manifest unknown|name unknown"


def _pull(pod: PodView) -> Trouble | None:
    reason = pod.waiting.get("reason")
    if reason == "InvalidImageName":
        message = f"The image's name is not one: {foreign(pod.waiting.get('message', ''))}"
        return Trouble(reason, message, _OPERATORS, final=True)
    if reason not in _PULL_REASONS:
        return None
    return _pull_trouble(pod, " ".join((*pod.said("Failed"), pod.waiting.get("message", ""))))


def _pull_trouble(pod: PodView, said: str) -> Trouble:
    again = pod.times("Failed", "Failed to pull image") >= _PULLS or pod.lasted("PodScheduled", "True", _TWO_PULLS_TAKE)
    because = _pull_cause(pod)
    if re.search(_DENIED, said):
        message = f"The registry does not let the cluster have the image: {because}"
        return Trouble("ImagePullBackOff", message, _OPERATORS, again)
    if re.search(_ABSENT, said):
        message = f"The image is not in the registry that the cluster pulls from: {because}"
        return Trouble("ImagePullBackOff", message, _USERS, again)
    message = f"The cluster cannot pull the image: {because}"
    return Trouble("ImagePullBackOff", message, _OPERATORS, pod.lasted("PodScheduled", "True", _REGISTRY_GRACE))


def _pull_cause(pod: PodView) -> str:
    """The innermost cause: what stands before it repeats the image's name, over and over."""
    told = [text for text in pod.said("Failed") if text.startswith("Failed to pull image")]
    text = foreign(told[-1] if told else pod.waiting.get("message", ""), _WHOLE)
    return text if len(text) <= _CAUSE else "…" + text[-_CAUSE:]


def _no_room(pod: PodView) -> Trouble | None:
    unscheduled = condition(pod.pod, "PodScheduled", "False")
    if not unscheduled or unscheduled.get("reason") != "Unschedulable":
        return None
    said = unscheduled.get("message", "")
    lacking = sorted(set(re.findall(r"Insufficient ([^\s,.]+)", said)))
    requests = pod.resources("requests")
    asks = ", ".join(f"{name} {amount}" for name, amount in sorted(requests.items()))
    lacks = f" for want of {' and '.join(lacking)}" if lacking else ""
    message = f"No node takes a replica{lacks}; it asks for {asks}. {foreign(said)}"
    lasted = pod.lasted("PodScheduled", "False", _SCHEDULING_GRACE)
    return Trouble("Unschedulable", message, _USERS if lacking else _OPERATORS, lasted and not pod.said(*_NODE_IS_COMING))


def _set_up(pod: PodView) -> Trouble | None:
    """What precedes the pull of the image: once that has begun, it is over."""
    said = pod.said("FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox")
    if not said or pod.said("Pulling", "Pulled"):
        return None
    message = f"The node cannot prepare a replica: {foreign(said[-1])}"
    return Trouble("FailedMount", message, _OPERATORS, pod.lasted("PodScheduled", "True", _MOUNT_GRACE))


def _not_ready(pod: PodView) -> Trouble | None:
    """It runs and may yet be ready: only a deadline makes this a failure."""
    said = pod.said("Unhealthy")
    if not (pod.running and said):
        return None
    message = f"The driver is not ready: {foreign(said[-1])}"
    return Trouble("Unhealthy", message, _USERS, log=LogSource(pod.name, CONTAINER, previous=False))


_RULES: tuple[Callable[[PodView], Trouble | None], ...] = (
    _wrong_architecture,
    _failed_probe,
    _crash,
    _configuration,
    _pull,
    _no_room,
    _set_up,
    _not_ready,
)
