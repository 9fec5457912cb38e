"""What the controllers and kubelets of a cluster do, played through its API: a bare API server has none."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from shared.compute.kubernetes.kinds import DEPLOYMENT, EVENT, POD, REPLICA_SET, Kind
from tests.clusters.cluster import Cluster, Object

MERGE = "application/merge-patch+json"
_TRUE, _FALSE = "True", "False"


@dataclass(frozen=True)
class Said:
    """An event about a pod."""

    reason: str
    message: str
    type: str = "Warning"


@dataclass(frozen=True)
class PodState:
    """How a pod fares, as the kubelet or the scheduler reports it."""

    ready: bool = False
    phase: str = "Running"
    state: Mapping[str, Any] = field(default_factory=lambda: {"running": {"startedAt": "2026-01-01T00:00:00Z"}})
    last: Mapping[str, Any] = field(default_factory=dict)
    restarts: int = 0
    unschedulable: str = ""
    events: tuple[Said, ...] = ()

    def status(self, pod: Object, since: str) -> Object:
        """The status of that pod."""
        scheduled = _condition("PodScheduled", _FALSE if self.unschedulable else _TRUE, since)
        if self.unschedulable:
            return {
                "phase": "Pending",
                "conditions": [{**scheduled, "reason": "Unschedulable", "message": self.unschedulable}],
            }
        ready = _TRUE if self.ready else _FALSE
        conditions = [
            scheduled,
            _condition("Initialized", _TRUE, since),
            _condition("ContainersReady", ready, since),
            _condition("Ready", ready, since),
        ]
        return {
            "phase": self.phase,
            "conditions": conditions,
            "startTime": since,
            "containerStatuses": [self._container(one) for one in pod["spec"]["containers"]],
        }

    def _container(self, container: Object) -> Object:
        return {
            "name": container["name"],
            "image": container["image"],
            "imageID": container["image"] if self.phase == "Running" else "",
            "ready": self.ready,
            "started": self.ready,
            "restartCount": self.restarts,
            "state": dict(self.state),
            "lastState": dict(self.last),
        }


READY = PodState(ready=True)
NOT_READY = PodState()


def pull_failed(message: str, reason: str = "ImagePullBackOff") -> PodState:
    """The kubelet cannot pull the image."""
    events = (Said("Failed", f"Failed to pull image: {message}"), Said("Failed", "Error: ErrImagePull"))
    return PodState(phase="Pending", state={"waiting": {"reason": reason, "message": message}}, events=events)


def crashed(exit_code: int = 1, *, restarts: int = 3, reason: str = "Error", message: str = "") -> PodState:
    """The container ends again and again."""
    moment = "2026-01-01T00:00:00Z"
    ended = {"exitCode": exit_code, "reason": reason, "startedAt": moment, "finishedAt": moment}
    ended |= {"message": message} if message else {}
    waiting = {"reason": "CrashLoopBackOff", "message": "back-off 40s restarting failed container"}
    return PodState(state={"waiting": waiting}, last={"terminated": ended}, restarts=restarts)


def unschedulable(message: str) -> PodState:
    """No node has room."""
    return PodState(unschedulable=message, events=(Said("FailedScheduling", message),))


class Controllers:
    """The Deployment controller and the kubelets of a test's namespace."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def roll_out(self, name: str, how: PodState = READY, *, since: datetime | None = None) -> list[Object]:
        """Bring that Deployment's pods up, all of them faring so `since` then, for now by default; the new pods.

        When they are ready, the old ones go; else those go on beside them.
        """
        deployment = await self._get(DEPLOYMENT, name)
        replica_set = await self._ensure_replica_set(deployment)
        pods = await self._pods(deployment)
        new = [pod for pod in pods if pod_hash(pod) == pod_hash(replica_set)]
        wanted = deployment["spec"].get("replicas", 1)
        for pod in new[wanted:]:
            await self._delete_pod(pod)
        new = new[:wanted] + [await self._create_pod(replica_set, deployment) for _ in range(wanted - len(new))]
        moment = _text(since)
        new = [await self.report(pod["metadata"]["name"], how, since=since) for pod in new]
        old = [pod for pod in pods if pod_hash(pod) != pod_hash(replica_set)]
        if how.ready:
            for pod in old:
                await self._delete_pod(pod)
            old = []
        await self._report_deployment(deployment, new, old, moment)
        return new

    async def report(self, pod: str, how: PodState, *, since: datetime | None = None) -> Object:
        """A pod fares so; the pod."""
        there = await self._get(POD, pod)
        status = {"status": how.status(there, _text(since))}
        patched = await self._patch(POD, f"{pod}/status", status)
        for said in how.events:
            await self.say(there, said, since=since)
        return patched

    async def say(self, about: Object, said: Said, *, since: datetime | None = None, count: int = 2) -> None:
        """An event about a pod or another object."""
        metadata, moment = about["metadata"], _text(since)
        event = {
            "metadata": {"generateName": f"{metadata['name']}.", "namespace": self._cluster.namespace},
            "involvedObject": {
                "kind": about.get("kind", "Pod"),
                "namespace": self._cluster.namespace,
                "name": metadata["name"],
                "uid": metadata["uid"],
            },
            "reason": said.reason,
            "message": said.message,
            "type": said.type,
            "count": count,
            "firstTimestamp": moment,
            "lastTimestamp": moment,
            "source": {"component": "kubelet"},
        }
        await self._create(EVENT, event)

    async def refuse_pods(self, name: str, message: str, *, since: datetime | None = None) -> None:
        """The API server lets the controller create no pod: no quota, or an admission webhook says no."""
        deployment = await self._get(DEPLOYMENT, name)
        await self._ensure_replica_set(deployment)
        old, moment = await self._pods(deployment), _text(since)
        failure = {**_condition("ReplicaFailure", _TRUE, moment), "reason": "FailedCreate", "message": message}
        await self._report_deployment(deployment, [], old, moment, failure)

    async def give_up(self, name: str, *, since: datetime | None = None) -> None:
        """The Deployment has made no progress for as long as it was given."""
        deployment = await self._get(DEPLOYMENT, name)
        kept = [one for one in deployment.get("status", {}).get("conditions", []) if one["type"] != "Progressing"]
        condition = {**_condition("Progressing", _FALSE, _text(since)), "reason": "ProgressDeadlineExceeded"}
        condition["message"] = f'ReplicaSet "{name}" has timed out progressing.'
        await self._patch(DEPLOYMENT, f"{name}/status", {"status": {"conditions": [*kept, condition]}})

    async def collect_garbage(self) -> None:
        """What is owned by what is not there any more goes."""
        for owned, owners in ((REPLICA_SET, DEPLOYMENT), (POD, REPLICA_SET)):
            there = {one["metadata"]["uid"] for one in await self._list(owners)}
            for one in await self._list(owned):
                references = one["metadata"].get("ownerReferences", [])
                if references and not any(reference["uid"] in there for reference in references):
                    await self._delete(owned, one["metadata"]["name"])

    async def _report_deployment(
        self, deployment: Object, new: list[Object], old: list[Object], moment: str, *more: Object
    ) -> None:
        wanted = deployment["spec"].get("replicas", 1)
        ready_new = sum(map(pod_is_ready, new))
        ready = ready_new + sum(map(pod_is_ready, old))
        done = ready_new == wanted == len(new) and not old and not more
        available = {
            **_condition("Available", _TRUE if ready >= wanted else _FALSE, moment),
            "reason": "MinimumReplicasAvailable" if ready >= wanted else "MinimumReplicasUnavailable",
        }
        progressing = {
            **_condition("Progressing", _TRUE, moment),
            "reason": "NewReplicaSetAvailable" if done else "ReplicaSetUpdated",
        }
        status = {
            "observedGeneration": deployment["metadata"]["generation"],
            "replicas": len(new) + len(old),
            "updatedReplicas": len(new),
            "readyReplicas": ready,
            "availableReplicas": ready,
            "unavailableReplicas": max(wanted - ready, 0),
            "conditions": [available, progressing, *more],
        }
        await self._patch(DEPLOYMENT, f"{deployment['metadata']['name']}/status", {"status": status})

    async def _ensure_replica_set(self, deployment: Object) -> Object:
        template = deployment["spec"]["template"]
        digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:10]
        name = f"{deployment['metadata']['name']}-{digest}"
        there = await self._cluster.request("GET", self._path(REPLICA_SET, name))
        if there.get("kind") == "ReplicaSet":
            return there
        labels = {**template["metadata"]["labels"], "pod-template-hash": digest}
        metadata = {"name": name, "labels": labels, "ownerReferences": [_owner(deployment)]}
        spec = {
            "replicas": deployment["spec"].get("replicas", 1),
            "selector": {"matchLabels": labels},
            "template": {**template, "metadata": {**template["metadata"], "labels": labels}},
        }
        return await self._create(REPLICA_SET, {"metadata": metadata, "spec": spec})

    async def _create_pod(self, replica_set: Object, deployment: Object) -> Object:
        template = replica_set["spec"]["template"]
        metadata = {
            "generateName": f"{replica_set['metadata']['name']}-",
            "labels": template["metadata"]["labels"],
            "annotations": template["metadata"].get("annotations", {}),
            "ownerReferences": [_owner(replica_set)],
        }
        return await self._create(POD, {"metadata": metadata, "spec": template["spec"]})

    async def _pods(self, deployment: Object) -> list[Object]:
        selector = ",".join(f"{key}={value}" for key, value in deployment["spec"]["selector"]["matchLabels"].items())
        return await self._list(POD, labelSelector=selector)

    async def _delete_pod(self, pod: Object) -> None:
        await self._delete(POD, pod["metadata"]["name"])

    async def _get(self, kind: Kind, name: str) -> Object:
        return _taken(await self._cluster.request("GET", self._path(kind, name)))

    async def _list(self, kind: Kind, **query: str) -> list[Object]:
        return _taken(await self._cluster.request("GET", self._path(kind), **query))["items"]

    async def _create(self, kind: Kind, body: Object) -> Object:
        self._cluster.may_be_played_on()
        document = {"apiVersion": kind.api_version, "kind": kind.kind, **body}
        return _taken(await self._cluster.request("POST", self._path(kind), document))

    async def _patch(self, kind: Kind, name: str, body: Object) -> Object:
        self._cluster.may_be_played_on()
        return _taken(await self._cluster.request("PATCH", self._path(kind, name), body, content_type=MERGE))

    async def _delete(self, kind: Kind, name: str) -> None:
        self._cluster.may_be_played_on()
        await self._cluster.request("DELETE", self._path(kind, name), gracePeriodSeconds="0")

    def _path(self, kind: Kind, name: str = "") -> str:
        return self._cluster.path(kind.api_version, kind.plural, name)


def _taken(answer: Object) -> Object:
    assert answer.get("status") != "Failure", answer
    return answer


def _owner(document: Object) -> Object:
    return {
        "apiVersion": document["apiVersion"],
        "kind": document["kind"],
        "name": document["metadata"]["name"],
        "uid": document["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def pod_hash(document: Object) -> str:
    return document["metadata"]["labels"].get("pod-template-hash", "")


def pod_is_ready(pod: Object) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == _TRUE for one in conditions)


def _condition(kind: str, status: str, since: str) -> Object:
    return {"type": kind, "status": status, "lastTransitionTime": since}


def _text(moment: datetime | None) -> str:
    return (moment or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
