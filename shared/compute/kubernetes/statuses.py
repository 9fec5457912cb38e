"""How objects say how they fare: conditions, the state of a pod's container, events. Source: Kubernetes' API reference."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.compute.kubernetes.kinds import Object
from shared.compute.kubernetes.objects.pod import CONTAINER


def moment(text: str) -> datetime:
    """The time that text gives (RFC 3339)."""
    return datetime.fromisoformat(text)


def condition(of: Object, kind: str, status: str) -> Object | None:
    """The object's condition of that type, if it has that status."""
    for found in of.get("status", {}).get("conditions") or []:
        if (found["type"], found["status"]) == (kind, status):
            return dict(found)
    return None


def turned(of: Object, kind: str, status: str) -> datetime | None:
    """Since when the condition of that type has had that status; None when it has another."""
    found = condition(of, kind, status) or {}
    return moment(found["lastTransitionTime"]) if found.get("lastTransitionTime") else None


def is_ready(pod: Object) -> bool:
    """Whether the pod takes calls."""
    return condition(pod, "Ready", "True") is not None


def counts(pod: Object) -> bool:
    """Whether the pod is one of those that are to be: not one that is going, nor one that is over and will be replaced."""
    return "deletionTimestamp" not in pod["metadata"] and pod.get("status", {}).get("phase") not in ("Failed", "Succeeded")


@dataclass(frozen=True)
class PodView:
    """A pod now, with the events about it, and the status of its scoring container, empty before there is one."""

    pod: Object
    now: datetime
    events: tuple[Object, ...]
    container: Object

    @classmethod
    def of(cls, pod: Object, events: Iterable[Object], now: datetime) -> "PodView":
        """That pod, and those of the events that are about it."""
        name = pod["metadata"]["name"]
        about = tuple(event for event in events if event.get("involvedObject", {}).get("name") == name)
        statuses: Sequence[Object] = pod.get("status", {}).get("containerStatuses") or []
        return cls(pod, now, about, next((status for status in statuses if status["name"] == CONTAINER), {}))

    @property
    def name(self) -> str:
        """The pod's name."""
        return str(self.pod["metadata"]["name"])

    def resources(self, which: str) -> Object:
        """The limits or the requests of its scoring container: others may have put theirs beside it."""
        containers = self.pod["spec"]["containers"]
        named: Object = next((one for one in containers if one["name"] == CONTAINER), {})
        return dict(named.get("resources", {}).get(which, {}))

    @property
    def restarts(self) -> int:
        """How often its container was started again."""
        return int(self.container.get("restartCount", 0))

    @property
    def waiting(self) -> Object:
        """Why its container does not run, as `reason` and `message`; empty when it does, or has ended."""
        return dict(self.container.get("state", {}).get("waiting") or {})

    @property
    def running(self) -> bool:
        """Whether its container runs."""
        return "running" in self.container.get("state", {})

    @property
    def ended(self) -> Object:
        """How its container ended; or, while none runs, the one before."""
        state, before = self.container.get("state", {}), self.container.get("lastState", {})
        return dict({} if "running" in state else state.get("terminated") or before.get("terminated") or {})

    def lasted(self, kind: str, status: str, grace: timedelta) -> bool:
        """Whether its condition of that type has had that status for so long."""
        since = turned(self.pod, kind, status)
        return since is not None and self.now - since >= grace

    def said(self, *reasons: str) -> tuple[str, ...]:
        """The messages of its events for those reasons, in the order they were given in."""
        return tuple(event.get("message", "") for event in self.events if event.get("reason") in reasons)

    def times(self, reason: str, text: str) -> int:
        """How often that was said of it, in a message that holds that text. Alike events are kept as one with a count."""
        return sum(
            _count(event) for event in self.events if event.get("reason") == reason and text in event.get("message", "")
        )


def _count(event: Object) -> int:
    return int((event.get("series") or {}).get("count") or event.get("count") or 1)
