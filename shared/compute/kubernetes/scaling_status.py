"""What a cluster says of a service's autoscaler: whether it can read what it scales on. Pure.

Sources: autoscaling/v2, conditions of a HorizontalPodAutoscaler; KEDA's ScaledObject, its conditions.
"""

from datetime import datetime, timedelta

from shared.compute.kubernetes.kinds import Object
from shared.compute.kubernetes.statuses import condition, turned
from shared.domain.errors import foreign
from shared.domain.operations import ErrorDetail, ErrorResponse

_GRACE = timedelta(minutes=2)
"""Replicas that have just been started have no metrics yet."""
_FAILING = (("ScalingActive", "False"), ("AbleToScale", "False"), ("Ready", "False"), ("Fallback", "True"))
"""The first two of an autoscaler of the cluster's own, the others of KEDA's."""
_RESTING = "ScalingDisabled"
"""There is no replica, and so nothing to scale by."""


def scaling_error(scaler: Object, now: datetime) -> ErrorResponse | None:
    """Why it does not scale, once that has lasted; None when it does, or says nothing."""
    for kind, status in _FAILING:
        found = condition(scaler, kind, status)
        if found is not None and found.get("reason") != _RESTING and _lasts(scaler, kind, status, now):
            reason = foreign(found.get("reason") or kind, 64)
            message = f"The service is not scaled ({reason}): {foreign(found.get('message') or '')}"
            detail = ErrorDetail(code=reason, message=message)
            return ErrorResponse(code="AutoScalerFailed", message=message, status_code=500, details=(detail,))
    return None


def _lasts(scaler: Object, kind: str, status: str, now: datetime) -> bool:
    """KEDA does not say since when."""
    since = turned(scaler, kind, status)
    return since is None or now - since >= _GRACE
