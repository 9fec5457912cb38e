"""What a cluster says of a service's autoscaler: whether it can read what it scales on. Pure.

Sources: autoscaling/v2, conditions of a HorizontalPodAutoscaler; KEDA's ScaledObject, its conditions.
"""

from datetime import datetime, timedelta

from shared.compute.kubernetes.kinds import Object
from shared.compute.kubernetes.statuses import condition, moment, turned
from shared.domain.errors import foreign
from shared.domain.operations import ErrorDetail, ErrorResponse

_GRACE = timedelta(minutes=2)
"""Replicas that have just been started have no metrics yet."""
_UNSEEN_GRACE = timedelta(minutes=5)
_FAILING = (
    ("ScalingActive", "False"),
    ("AbleToScale", "False"),
    ("Ready", "False"),
    ("Fallback", "True"),
    ("Paused", "True"),
)
"""The first two of an autoscaler of the cluster's own, the others of KEDA's."""
_RESTING = "ScalingDisabled"
"""There is no replica, and so nothing to scale by."""


def scaling_error(scaler: Object, now: datetime) -> ErrorResponse | None:
    """Why it does not scale, once that has lasted; None when it does, or says nothing."""
    for kind, status in _FAILING:
        found = condition(scaler, kind, status)
        if found is not None and found.get("reason") != _RESTING and _lasts(scaler, kind, status, now):
            return _error(foreign(found.get("reason") or kind, 64), foreign(found.get("message") or ""))
    if not scaler.get("status", {}).get("conditions") and _age(scaler, now) >= _UNSEEN_GRACE:
        return _error("NoController", f"no controller has looked at its {scaler['kind']}: does one run in the cluster?")
    return None


def _error(reason: str, said: str) -> ErrorResponse:
    message = f"The service is not scaled ({reason}): {said}"
    detail = ErrorDetail(code=reason, message=message)
    return ErrorResponse(code="AutoScalerFailed", message=message, status_code=500, details=(detail,))


def _age(scaler: Object, now: datetime) -> timedelta:
    created = scaler["metadata"].get("creationTimestamp")
    return now - moment(created) if created else timedelta(0)


def _lasts(scaler: Object, kind: str, status: str, now: datetime) -> bool:
    """KEDA does not say since when."""
    since = turned(scaler, kind, status)
    return since is None or now - since >= _GRACE
