"""What a cluster says of a Deployment, its pods and their containers: as kube-scheduler, kubelet and containerd write it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.compute.kubernetes.kinds import Object
from shared.compute.kubernetes.objects import rendered
from shared.domain.service_settings import ContainerResourceReservation, ServiceSettings
from tests.clusters.specs import CLUSTER, SPEC

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
IMAGE = f"registry.example.com/models/fraud@{SPEC.image_digest}"
POD = "slipway-6f1c-7d9c5f-abcde"


def ago(seconds: float) -> str:
    return (NOW - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def condition(kind: str, status: str, since: float, **more: str) -> Object:
    return {"type": kind, "status": status, "lastTransitionTime": ago(since), **more}


def deployment(*conditions: Object, wanted: int = 1, memory: str | None = None, **status: Any) -> Object:
    """One of which all replicas are there, and are new, unless `status` says otherwise."""
    reservation = ContainerResourceReservation(memory=memory)
    spec = replace(SPEC, settings=ServiceSettings(num_replicas=wanted, container_resource_reservation=reservation))
    found = next(one for one in rendered(spec, CLUSTER, replicas=wanted) if one["kind"] == "Deployment")
    found["metadata"]["generation"] = 1
    status = {"observedGeneration": 1, "replicas": wanted, "updatedReplicas": wanted, **status}
    return {**found, "status": {**status, "conditions": list(conditions)}}


def pod(
    state: Object | None = None, *conditions: Object, last: Object | None = None, restarts: int = 0, **more: Any
) -> Object:
    """A pod that was scheduled ten seconds ago, unless its conditions say otherwise."""
    container = {"name": "scoring", "ready": False, "restartCount": restarts, "state": state, "lastState": last or {}}
    status = {
        "phase": "Pending",
        "conditions": list(conditions or (condition("PodScheduled", "True", 10),)),
        "containerStatuses": [container] if state else [],
    }
    return {
        "metadata": {"name": POD},
        "spec": deployment(memory="64Gi")["spec"]["template"]["spec"],
        "status": {**status, **more},
    }


def waiting(reason: str, message: str = "") -> Object:
    return {"waiting": {"reason": reason, "message": message}}


def terminated(reason: str = "Error", code: int = 1, message: str | None = None) -> Object:
    said = {"message": message} if message else {}
    return {"terminated": {"reason": reason, "exitCode": code, "startedAt": ago(5), "finishedAt": ago(4), **said}}


RUNNING: Object = {"running": {"startedAt": ago(5)}}
BACK_OFF = waiting("CrashLoopBackOff", "back-off 20s restarting failed container=scoring pod=…")


def event(reason: str, message: str, *, count: int = 1, about: str = POD) -> Object:
    return {"reason": reason, "message": message, "count": count, "involvedObject": {"kind": "Pod", "name": about}}


def pull(cause: str, *, count: int = 1) -> Object:
    resolving = f'failed to pull and unpack image "{IMAGE}": failed to resolve reference "{IMAGE}": {cause}'
    return event("Failed", f'Failed to pull image "{IMAGE}": rpc error: code = Unknown desc = {resolving}', count=count)
