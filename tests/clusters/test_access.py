"""Whether a cluster is ready for services is found out before one is sent there."""

from dataclasses import replace

import pytest

from shared.compute.kubernetes.access import checked
from shared.domain.compute_resources import ScalingMetric
from shared.domain.errors import InvalidRequest
from tests.clusters.described import GATEWAY, settings


async def test_a_cluster_without_custom_metrics_scales_on_processor_time(kubernetes, cluster):
    found = await checked(kubernetes, settings(cluster))
    assert found.metric is ScalingMetric.CPU


async def test_keda_reads_the_slots(kubernetes, cluster):
    found = await checked(kubernetes, settings(cluster, scaling={"kind": "keda"}, frontEnd=GATEWAY))
    assert found.metric is ScalingMetric.SLOTS
    assert found.kind == "keda"


async def test_a_namespace_that_is_not_there_is_missing(cluster):
    nowhere = replace(cluster, namespace="slipway-nowhere")
    async with nowhere.api() as api:
        with pytest.raises(InvalidRequest, match="the namespace slipway-nowhere") as failure:
            await checked(api, settings(nowhere))
    assert failure.value.code == "ClusterNotReady"
