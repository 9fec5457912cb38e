"""What a cluster says of a service's autoscaler is told, whichever kind it is and however it is broken."""

from typing import Any

import pytest

from shared.compute.kubernetes.kinds import Object
from shared.compute.kubernetes.scaling_status import scaling_error
from tests.clusters.told import NOW, ago, condition


def scaler(*conditions: Object, kind: str = "HorizontalPodAutoscaler", age: float = 900, **status: Any) -> Object:
    metadata = {"name": "one", "creationTimestamp": ago(age)}
    return {"kind": kind, "metadata": metadata, "status": {**status, "conditions": list(conditions)}}


@pytest.mark.parametrize(
    ("kind", "status", "reason"),
    [
        ("ScalingActive", "False", "FailedGetResourceMetric"),
        ("ScalingActive", "False", "InvalidSelector"),
        ("ScalingActive", "False", "FailedGetPodsMetric"),
        ("AbleToScale", "False", "FailedGetScale"),
        ("Ready", "False", "ScaledObjectCheckFailed"),
        ("Fallback", "True", "FallbackExists"),
        ("Paused", "True", "ScaledObjectPaused"),
    ],
)
def test_an_autoscaler_that_does_not_work_says_why(kind, status, reason):
    error = scaling_error(scaler(condition(kind, status, 300, reason=reason, message="because")), NOW)
    assert (error.code, error.details[0].code) == ("AutoScalerFailed", reason)
    assert error.message.endswith("because")
    assert scaling_error(scaler(condition(kind, status, 30, reason=reason)), NOW) is None


@pytest.mark.parametrize("kind", ["HorizontalPodAutoscaler", "ScaledObject"])
def test_an_autoscaler_that_no_controller_looks_at_asks_for_one(kind):
    error = scaling_error(scaler(kind=kind), NOW)
    assert (error.code, error.details[0].code) == ("AutoScalerFailed", "NoController")
    assert kind in error.message
    assert scaling_error(scaler(kind=kind, age=60), NOW) is None


def test_an_autoscaler_that_works_or_rests_has_no_error():
    working = (condition("AbleToScale", "True", 900), condition("ScalingActive", "True", 900))
    resting = condition("ScalingActive", "False", 900, reason="ScalingDisabled")
    unsaid = {**scaler(age=10), "status": {"conditions": None}}
    for one in (unsaid, scaler(*working), scaler(resting), scaler(condition("Ready", "True", 900), kind="ScaledObject")):
        assert scaling_error(one, NOW) is None
