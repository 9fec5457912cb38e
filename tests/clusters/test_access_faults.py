"""What a cluster lacks: it serves too little, permits too little, or is away; the stand-in's alone."""

from dataclasses import replace

import pytest

from shared.compute.kubernetes.access import checked, permissions
from shared.compute.kubernetes.deployer import KubernetesCompute
from shared.domain.compute_resources import FrontEnd, FrontEndKind, ScalerKind, Scaling, ScalingMetric
from shared.domain.computing import LogQuery
from shared.domain.errors import InvalidRequest
from shared.domain.services import AuthKeys
from tests.clusters.controllers import pull_failed
from tests.clusters.deployed import Deployed, deploying, scaled
from tests.clusters.described import GATEWAY, settings
from tests.clusters.stand_in import faults
from tests.clusters.stand_in.faults import on


async def test_a_cluster_that_serves_custom_metrics_scales_on_slots(kubernetes, cluster, stand_in):
    stand_in.groups.add("custom.metrics.k8s.io")
    assert (await checked(kubernetes, settings(cluster))).metric is ScalingMetric.SLOTS


async def test_custom_metrics_whose_adapter_is_down_are_not_scaled_on(kubernetes, cluster, stand_in):
    stand_in.groups.add("custom.metrics.k8s.io")
    stand_in.down.add("custom.metrics.k8s.io")
    assert (await checked(kubernetes, settings(cluster))).metric is ScalingMetric.CPU


async def test_all_that_is_missing_is_named_at_once(kubernetes, cluster, stand_in):
    for definition in list(stand_in.store.objects):
        if definition.kind == "CustomResourceDefinition":
            stand_in.store.objects[definition].clear()
    stand_in.denied |= {"patch deployments.apps", "delete secrets", "get pods/log", "list scaledobjects.keda.sh"}
    with pytest.raises(InvalidRequest) as failure:
        await checked(kubernetes, settings(cluster, scaling={"kind": "keda"}, frontEnd=GATEWAY))
    assert {detail.message for detail in failure.value.details} == {
        "the kind ScaledObject (keda.sh/v1alpha1)",
        "the kind HTTPRoute (gateway.networking.k8s.io/v1)",
        "permission to patch deployments.apps",
        "permission to delete secrets",
        "permission to get pods/log",
        "permission to list scaledobjects.keda.sh",
    }
    assert all(detail.message in failure.value.message for detail in failure.value.details)


async def test_kinds_that_the_settings_do_not_need_may_be_missing(kubernetes, cluster, stand_in):
    stand_in.denied |= {"patch httproutes.gateway.networking.k8s.io", "patch scaledobjects.keda.sh"}
    assert await checked(kubernetes, settings(cluster))


@pytest.mark.parametrize(
    ("scaler", "front_end"), [(ScalerKind.HPA, FrontEndKind.INGRESS), (ScalerKind.KEDA, FrontEndKind.GATEWAY)]
)
async def test_the_permissions_that_are_checked_are_those_that_services_need(cluster, stand_in, scaler, front_end):
    async with deploying(cluster, scaling=Scaling(kind=scaler)) as service:
        gateway = "public" if front_end is FrontEndKind.GATEWAY else None
        led = FrontEnd(address=service.front_end.address, kind=front_end, gateway=gateway)
        compute = KubernetesCompute(service.settings.but(front_end=led), service.api, service.clock)
        wanted = {str(one) for one in permissions(service.settings.but(front_end=led))}
        stand_in.allowed, stand_in.needed = wanted, set()
        await _live_through(replace(service, compute=compute))
    assert stand_in.needed == wanted


async def _live_through(service: Deployed) -> None:
    """All that is ever done to a service."""
    spec, failing = await service.deploy(service.but(settings=scaled(1, 3))), service.but(image_digest="sha256:" + "2" * 64)
    assert (await service.looked(spec=spec)).ready
    await service.deploy(failing, pull_failed("unauthorized"))
    await service.looked(6, failing)
    await service.compute.ensure_rolled_back(spec.service_id, failing.deployment_id, spec)
    await service.compute.ensure_keys(spec.service_id, AuthKeys(primary_key="p", secondary_key="s"))
    await service.compute.logs(spec.service_id, LogQuery(tail=10))
    await service.compute.survey(spec.account, [spec], [spec.service_id])
    await service.compute.ensure_withdrawn(spec.service_id)
    await service.compute.ensure_removed(spec.service_id)


async def test_the_permissions_that_are_checked_are_enough_to_check(kubernetes, cluster, stand_in):
    wanted = settings(cluster)
    stand_in.allowed = {str(one) for one in permissions(wanted)}
    assert await checked(kubernetes, wanted)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (faults.broken(503, times=None), "ClusterUnavailable"),
        (faults.dropped(times=None), "ClusterUnavailable"),
        (faults.expired(times=None), "ClusterUnauthenticated"),
        (faults.something_else(200, "<html>"), "ClusterUnavailable"),
    ],
    ids=["broken", "dropped", "not known", "another server"],
)
async def test_a_cluster_that_cannot_be_reached_is_no_compute_resource(kubernetes, cluster, stand_in, fault, code):
    stand_in.fail_next(on("GET", "/version"), fault)
    with pytest.raises(InvalidRequest, match="the cluster cannot be used") as failure:
        await checked(kubernetes, settings(cluster))
    assert failure.value.code == code


async def test_a_cluster_that_goes_while_it_is_asked_is_no_compute_resource(kubernetes, cluster, stand_in):
    stand_in.fail_next(on("POST", "selfsubjectaccessreviews"), faults.dropped())
    with pytest.raises(InvalidRequest, match="say whether this app may"):
        await checked(kubernetes, settings(cluster))
