"""The Deployment of a service, and the revision of its pods."""

import hashlib
import json

from shared.compute.kubernetes.kinds import DEPLOYMENT, Object
from shared.compute.kubernetes.names import REVISION, pod_labels
from shared.compute.kubernetes.objects.metadata import new
from shared.compute.kubernetes.objects.pod import pod_template
from shared.domain.compute_resources import ClusterSettings
from shared.domain.computing import ServiceSpec

PROGRESS_DEADLINE = 540
"""Seconds without progress after which the cluster gives a rollout up: before the operation's own ten minutes end, so that
there is time to say why; and longer than a replica may take to start."""


def deployment(spec: ServiceSpec, cluster: ClusterSettings, replicas: int) -> Object:
    """The Deployment. An update takes no replica away before another is ready."""
    template = pod_template(spec, cluster)
    template["metadata"]["labels"][REVISION] = _digest(template)
    return new(
        DEPLOYMENT,
        spec,
        cluster,
        spec={
            "replicas": replicas,
            "revisionHistoryLimit": 2,
            "progressDeadlineSeconds": PROGRESS_DEADLINE,
            "selector": {"matchLabels": pod_labels(spec.service_id)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": "25%"}},
            "template": template,
        },
    )


def revision(deployment: Object) -> str:
    """What tells the pods of this Deployment's template, as rendered here or as the cluster has it, from all others.

    Empty for a template that Slipway has not rendered. It is read, not computed: the cluster fills in defaults.
    """
    return str(deployment["spec"]["template"]["metadata"].get("labels", {}).get(REVISION, ""))


def _digest(template: Object) -> str:
    return hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:16]
