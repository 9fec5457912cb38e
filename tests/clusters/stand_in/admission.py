"""What admission says of pods: Pod Security, quotas, limit ranges and policies, in their own words.

Source: k8s.io/pod-security-admission, plugin/pkg/admission of k8s.io/kubernetes, and how a real one answered (1.36).
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from shared.domain.fields import quantity

type Object = dict[str, Any]
type Admission = Callable[[Object], str | None]
"""Why that pod is not taken; None when it is."""


def restricted(pod: Object) -> str | None:
    """The level *restricted* of the Pod Security Standards, as far as services could violate it."""
    violations = list(_violations(pod["spec"]))
    return f'violates PodSecurity "restricted:latest": {", ".join(violations)}' if violations else None


def _violations(spec: Object) -> Iterator[str]:
    of_pod = spec.get("securityContext", {})
    for container in spec["containers"]:
        context, name = container.get("securityContext", {}), container["name"]
        if context.get("allowPrivilegeEscalation") is not False:
            yield f'allowPrivilegeEscalation != false (container "{name}" must set it to false)'
        if "ALL" not in context.get("capabilities", {}).get("drop", []):
            yield f'unrestricted capabilities (container "{name}" must set securityContext.capabilities.drop=["ALL"])'
        if not (context.get("runAsNonRoot") or of_pod.get("runAsNonRoot")):
            yield f'runAsNonRoot != true (pod or container "{name}" must set securityContext.runAsNonRoot=true)'
        profile = context.get("seccompProfile", of_pod.get("seccompProfile", {})).get("type")
        if profile not in ("RuntimeDefault", "Localhost"):
            yield f'seccompProfile (pod or container "{name}" must set securityContext.seccompProfile.type)'
    if spec.get("hostNetwork") or spec.get("hostPID") or spec.get("hostIPC"):
        yield "host namespaces"


def quota(name: str, *resources: str) -> Admission:
    """A ResourceQuota that limits those of `limits.cpu` and the like: each container must specify them."""

    def admit(pod: Object) -> str | None:
        missing = [
            f"{resource} for: {container['name']}"
            for resource in resources
            for container in pod["spec"]["containers"]
            if resource.partition(".")[2] not in container.get("resources", {}).get(resource.partition(".")[0], {})
        ]
        return f"failed quota: {name}: must specify {'; '.join(missing)}" if missing else None

    return admit


def limit_range(most: Mapping[str, str]) -> Admission:
    """A LimitRange with those maxima of a container."""

    def admit(pod: Object) -> str | None:
        for container in pod["spec"]["containers"]:
            limits = container.get("resources", {}).get("limits", {})
            for name, limit in most.items():
                if name not in limits:
                    return f"maximum {name} usage per Container is {limit}, but no limit is specified"
                if quantity(limits[name]) > quantity(limit):
                    return f"maximum {name} usage per Container is {limit}, but limit is {limits[name]}"
        return None

    return admit


def policy(name: str, says: str) -> Admission:
    """A ValidatingAdmissionPolicy that takes no pod."""
    return lambda _: f"ValidatingAdmissionPolicy '{name}' with binding '{name}' denied request: {says}"
