"""Services on a cluster by the port Compute, through the real client: on the stand-in, or on a real API server."""

import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from shared.clock import SystemClock
from shared.compute.kubernetes.api import KubernetesApi
from shared.compute.kubernetes.deployer import KubernetesCompute
from shared.compute.kubernetes.objects import secret
from shared.domain.accounts import Account
from shared.domain.compute_resources import (
    ClusterRegistry,
    ClusterSettings,
    FrontEnd,
    FrontEndKind,
    ScalerKind,
    Scaling,
    ScalingMetric,
)
from shared.domain.computing import CollectionTargets, LogQuery
from shared.domain.errors import Conflict, DeployFailed, InvalidRequest, Unavailable
from shared.domain.service_settings import AutoScaler, ModelDataCollection, ServiceSettings
from shared.domain.services import AuthKeys
from tests.clusters.controllers import NOT_READY, READY, Said, crashed, pull_failed, unschedulable
from tests.clusters.deployed import ONE, Deployed, deploying, scaled
from tests.clusters.specs import CLUSTER
from tests.clusters.stand_in.faults import broken, on
from tests.clusters.stand_in.store import Writer

OTHER_IMAGE = "sha256:" + "cd" * 32
KINDS = {
    "v1": ("serviceaccounts", "secrets", "services"),
    "apps/v1": ("deployments",),
    "networking.k8s.io/v1": ("networkpolicies", "ingresses"),
    "policy/v1": ("poddisruptionbudgets",),
    "autoscaling/v2": ("horizontalpodautoscalers",),
}


@pytest.fixture
async def service(cluster) -> AsyncIterator[Deployed]:
    async with deploying(cluster) as deployed:
        yield deployed


async def there_are(service: Deployed) -> set[str]:
    """The kinds of objects that the service has."""
    found = set()
    for api_version, plurals in KINDS.items():
        for plural in plurals:
            if (await service.get(api_version, plural)).get("kind") != "Status":
                found.add(plural)
    return found


# Deploying.


async def test_a_service_is_ready_when_its_pods_are_and_the_front_end_leads_to_them(service):
    await service.compute.ensure_deployment(service.spec)
    assert await there_are(service) == {plural for plurals in KINDS.values() for plural in plurals} - {
        "horizontalpodautoscalers"
    }
    assert not (await service.looked()).ready
    await service.controllers.roll_out(service.name)
    service.front_end.broken = True
    waiting = await service.looked()
    assert not waiting.ready
    assert f"{service.front_end.address}/api/v1/service/digits/ answers 404" in waiting.waiting_for
    service.front_end.broken = False
    assert (await service.looked()).ready
    assert (
        service.compute.scoring_uri(service.spec.account, "digits")
        == f"{service.front_end.address}/api/v1/service/digits/score"
    )


async def test_a_service_behind_a_gateway_is_ready_too(cluster):
    behind = FrontEnd(address="http://127.0.0.1:9", kind=FrontEndKind.GATEWAY, gateway="public")
    async with (
        deploying(cluster) as first,
        deploying(cluster, front_end=behind.but(address=first.front_end.address)) as service,
    ):
        await service.deploy()
        assert (await service.looked()).ready
        assert (await service.get("gateway.networking.k8s.io/v1", "httproutes"))["kind"] == "HTTPRoute"
        assert (await service.get("networking.k8s.io/v1", "ingresses"))["kind"] == "Status"


async def test_deploying_again_changes_nothing(service):
    await service.deploy()
    before = await service.get("apps/v1", "deployments")
    await service.compute.ensure_deployment(service.spec)
    after = await service.get("apps/v1", "deployments")
    assert after["metadata"]["generation"] == before["metadata"]["generation"]


async def test_a_rollout_takes_few_calls(service):
    before = service.api.calls
    await service.deploy(service.but(settings=scaled(1, 4)))
    spec = service.but(settings=scaled(1, 4))
    assert (await service.looked(spec=spec)).ready
    await service.compute.ensure_keys(spec.service_id, spec.keys)
    assert service.api.calls - before - 1 <= 12  # one of them was a look


async def test_looks_come_ever_later_and_take_one_call_each_while_nothing_is_amiss(service):
    await service.deploy(how=NOT_READY)
    left, delays, before = {}, [], service.api.calls
    for _ in range(7):
        rollout = await service.compute.rollout(service.spec, left)
        left, delays = {**rollout.left}, [*delays, rollout.delay.total_seconds()]
    assert delays == [1, 2, 4, 8, 15, 15, 15]
    assert service.api.calls - before == 7


async def test_pods_that_become_ready_between_two_looks_are_found_whichever_look_comes_next(service):
    await service.deploy(how=NOT_READY)
    for looks in (1, 2):
        left = (await service.looked(looks)).left
        assert not (await service.compute.rollout(service.spec, left)).ready
    await service.controllers.roll_out(service.name)
    for looks in (1, 2):
        assert (await service.compute.rollout(service.spec, {**left, "look": looks})).ready


async def test_two_services_of_one_name_never_share_an_address(service):
    await service.deploy()
    with pytest.raises(Conflict, match="Another service named 'digits' is called at http"):
        await service.compute.ensure_deployment(service.but(service_id=str(uuid4())))


async def test_an_image_that_is_in_no_registry_is_refused_before_anything_is_applied(service):
    with pytest.raises(DeployFailed, match="set SLIPWAY_REGISTRY"):
        await service.compute.ensure_deployment(service.but(image_location="oci:/images:digits:1"))
    assert await there_are(service) == set()


async def test_a_cluster_may_pull_from_another_host_than_images_are_pushed_to(cluster):
    async with deploying(cluster, registry=ClusterRegistry(host="mirror.example.com")) as service:
        await service.deploy()
        (pod,) = await service.pods()
    assert pod["spec"]["containers"][0]["image"].startswith("mirror.example.com/models/fraud@sha256:")


# Replicas.


async def test_a_parked_service_keeps_its_address_and_answers_503(service):
    await service.deploy()
    parked = await service.deploy(service.but(settings=ServiceSettings(num_replicas=0)))
    assert (await service.looked(spec=parked)).ready
    assert await service.pods() == []
    assert {"ingresses", "secrets"} <= await there_are(service)


async def test_another_number_of_replicas_restarts_nothing(service):
    (pod,) = [await service.deploy(), *await service.pods()][1:]
    await service.deploy(service.but(settings=ServiceSettings(num_replicas=3)))
    assert pod["metadata"]["name"] in {each["metadata"]["name"] for each in await service.pods()}
    assert len(await service.pods()) == 3


async def test_what_an_autoscaler_has_set_survives_an_update(service):
    await service.deploy(service.but(settings=scaled(1, 8)))
    patch = {"spec": {"replicas": 5}}
    path = service.cluster.path("apps/v1", "deployments", service.name)
    await service.cluster.request("PATCH", path, patch, content_type="application/merge-patch+json", fieldManager="hpa")
    await service.compute.ensure_deployment(service.but(settings=scaled(1, 8), image_digest=OTHER_IMAGE))
    assert (await service.get("apps/v1", "deployments"))["spec"]["replicas"] == 5
    await service.compute.ensure_deployment(service.but(settings=scaled(1, 3)))
    assert (await service.get("apps/v1", "deployments"))["spec"]["replicas"] == 3


async def test_the_autoscaler_goes_when_replicas_are_counted_again(service):
    await service.deploy(service.but(settings=scaled(1, 8)))
    assert "horizontalpodautoscalers" in await there_are(service)
    await service.deploy(service.but(settings=ONE))
    assert "horizontalpodautoscalers" not in await there_are(service)


async def test_the_autoscaler_is_gone_before_replicas_are_counted(service):
    stand_in = service.cluster.needs_stand_in("the order of calls")
    await service.deploy(service.but(settings=scaled(1, 8)))
    del stand_in.calls[:]
    await service.compute.ensure_deployment(service.but(settings=ServiceSettings(num_replicas=0)))
    gone, counted = (
        next(number for number, (asked, path) in enumerate(stand_in.calls) if asked == method and plural in path)
        for method, plural in (("DELETE", "horizontalpodautoscalers"), ("PATCH", "deployments"))
    )
    assert gone < counted, "it would count them anew in between, and a parked service would run on"


def test_no_replica_at_all_needs_something_that_hears_of_calls():
    nothing = ServiceSettings(auto_scaler=AutoScaler(min_replicas=0)).settled()
    with pytest.raises(InvalidRequest, match=r"autoScaler.minReplicas: got 0; .*which scales by hpa.*needs keda"):
        compute(CLUSTER).check(nothing)
    hears = Scaling(kind=ScalerKind.KEDA, prometheus_address="http://p", activation_query="up")
    compute(CLUSTER.but(scaling=hears)).check(nothing)
    compute(CLUSTER).check(ServiceSettings(num_replicas=0).settled())


def compute(settings: ClusterSettings) -> KubernetesCompute:
    """One that asks nothing of its cluster."""

    async def nowhere():
        raise AssertionError("nothing is to be asked")

    return KubernetesCompute(settings, KubernetesApi(nowhere, "none"), SystemClock())


HEARS = Scaling(kind=ScalerKind.KEDA, metric=ScalingMetric.SLOTS, prometheus_address="http://p", activation_query="up")


async def least(service) -> int:
    """How many replicas the service has at least."""
    return (await service.get("keda.sh/v1alpha1", "scaledobjects"))["spec"]["minReplicaCount"]


async def test_a_service_that_may_sleep_is_kept_awake_until_it_was_seen_ready(cluster):
    async with deploying(cluster, scaling=HEARS) as service:
        spec = await service.deploy(service.but(settings=scaled(0, 4)))
        assert await least(service) == 1
        assert (await service.looked(spec=spec)).ready
        assert await least(service) == 0


async def test_a_service_that_may_sleep_may_do_so_after_a_rollback_and_a_repair(cluster):
    async with deploying(cluster, scaling=HEARS) as service:
        spec = await service.deploy(service.but(settings=scaled(0, 4)))
        assert (await service.looked(spec=spec)).ready
        worked = replace(spec, answered=True)
        failing = await service.deploy(replace(spec, image_digest=OTHER_IMAGE), crashed())
        assert await least(service) == 1
        await service.compute.ensure_rolled_back(spec.service_id, failing.deployment_id, worked)
        assert await least(service) == 0
        await service.cluster.request("DELETE", service.cluster.path("keda.sh/v1alpha1", "scaledobjects", service.name))
        await service.compute.ensure_deployment(worked)
        assert await least(service) == 0


# Failures, and the way back.


@pytest.mark.parametrize(
    ("how", "status", "reason", "said"),
    [
        (pull_failed("registry.example.com/x: not found"), 400, "ImagePullBackOff", "not in the registry"),
        (pull_failed("401 Unauthorized"), 500, "ImagePullBackOff", "does not let the cluster have the image"),
        (crashed(3), 400, "CrashLoopBackOff", "exit code 3"),
        (crashed(137, reason="OOMKilled"), 400, "OOMKilled", "more than the memory"),
        (crashed(message="exec format error"), 500, "WrongArchitecture", "another processor architecture"),
        (unschedulable("0/3 nodes are available: 3 Insufficient cpu."), 400, "Unschedulable", "for want of cpu"),
    ],
)
async def test_a_failure_names_its_cause(service, how, status, reason, said):
    await service.deploy(how=how)
    service.clock.ahead = timedelta(minutes=5)
    error = (await service.looked(3)).error
    assert error is not None
    assert error.status_code == status
    assert error.details[0].code == reason
    assert said in error.message


async def test_a_cause_is_told_though_the_log_may_not_be_read(service, stand_in):
    stand_in.denied.add("get pods/log")
    await service.deploy(how=crashed(3))
    error = (await service.looked(6)).error
    assert (error.code, error.details[0].code) == ("KubernetesDeploymentFailed", "CrashLoopBackOff")
    assert error.details[1].code == "Log"
    assert "does not permit this app to read the log of the pod" in error.details[1].message


async def test_a_failure_names_its_cause_where_logs_cannot_be_read(service):
    stand_in = service.cluster.needs_stand_in("a fault at will")
    await service.deploy(how=crashed(3))
    stand_in.fail_next(on("GET", "/log"), broken(500, times=None))
    error = (await service.looked(3)).error
    assert error is not None
    assert "exit code 3" in error.message
    assert (error.details[1].code, error.details[1].message[:40]) == ("Log", "The cluster could not read the log of th")


async def test_pods_that_the_cluster_does_not_take_say_why(service):
    await service.compute.ensure_deployment(service.spec)
    await service.controllers.refuse_pods(service.name, 'pods "x" is forbidden: exceeded quota: team, requested: cpu=4')
    service.clock.ahead = timedelta(minutes=1)
    error = (await service.looked(3)).error
    assert (error.code, error.status_code) == ("QuotaExceeded", 400)
    assert "requested: cpu=4" in error.message


async def test_a_driver_that_is_never_ready_says_what_its_probe_says(service):
    await service.deploy(how=replace(NOT_READY, events=(Said("Unhealthy", "Readiness probe failed: 503 Starting"),)))
    service.clock.ahead = timedelta(minutes=2)
    assert "Readiness probe failed: 503 Starting" in (await service.looked(2)).waiting_for
    await service.controllers.give_up(service.name)
    error = (await service.looked(3)).error
    assert error.details[0].code == "Unhealthy"


async def test_a_deployment_that_somebody_deletes_meanwhile_fails(service):
    await service.deploy(how=NOT_READY)
    await service.cluster.request("DELETE", service.cluster.path("apps/v1", "deployments", service.name))
    assert "was deleted while it was rolled out" in (await service.looked()).error.message


async def test_an_update_that_is_given_up_leaves_the_pods_that_answer(service):
    worked = await service.deploy()
    failing = await service.deploy(service.but(image_digest=OTHER_IMAGE), crashed())
    assert {len(await service.pods()), len([pod for pod in await service.pods() if OTHER_IMAGE in str(pod)])} == {2, 1}
    await service.compute.ensure_rolled_back(service.spec.service_id, failing.deployment_id, worked)
    await service.controllers.roll_out(service.name)
    (pod,) = await service.pods()
    assert worked.image_digest in pod["spec"]["containers"][0]["image"]
    assert (await service.looked(spec=worked)).ready


async def test_nothing_is_left_of_a_service_that_never_worked(service):
    failing = await service.deploy(how=crashed())
    await service.compute.ensure_rolled_back(service.spec.service_id, failing.deployment_id, None)
    assert await there_are(service) == set()


# Keys.


def keys_of(secret) -> AuthKeys:
    primary, secondary = (base64.b64decode(secret["data"][name]).decode() for name in ("primary", "secondary"))
    return AuthKeys(primary_key=primary, secondary_key=secondary)


async def test_new_keys_are_in_the_secret_and_every_pod_is_told_to_look(service):
    await service.deploy(service.but(settings=ServiceSettings(num_replicas=2)))
    fresh = AuthKeys(primary_key="a fresh one", secondary_key="second")
    await service.compute.ensure_keys(service.spec.service_id, fresh)
    assert keys_of(await service.get("v1", "secrets")) == fresh
    notices = {pod["metadata"]["annotations"].get("slipway.io/keys") for pod in await service.pods()}
    assert len(notices) == 1
    assert None not in notices
    assert "fresh" not in str(notices)


async def test_keys_that_are_in_force_take_one_call(service):
    await service.deploy()
    before = service.api.calls
    await service.compute.ensure_keys(service.spec.service_id, service.spec.keys)
    assert service.api.calls - before == 1


async def test_new_keys_restart_nothing_and_leave_the_other_entries(service):
    await service.deploy()
    generation = (await service.get("apps/v1", "deployments"))["metadata"]["generation"]
    await service.compute.ensure_keys(service.spec.service_id, AuthKeys(primary_key="p", secondary_key="s"))
    assert (await service.get("apps/v1", "deployments"))["metadata"]["generation"] == generation
    assert (await service.get("v1", "secrets"))["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "slipway"


async def test_pods_that_could_not_be_told_of_new_keys_are_told_when_that_is_tried_again(service):
    stand_in = service.cluster.needs_stand_in("a fault at will")
    await service.deploy(service.but(settings=ServiceSettings(num_replicas=2)))
    fresh = AuthKeys(primary_key="a fresh one", secondary_key="second")
    stand_in.fail_next(on("PATCH", "/pods/"), broken(503))
    with pytest.raises(Unavailable):
        await service.compute.ensure_keys(service.spec.service_id, fresh)
    await service.compute.ensure_keys(service.spec.service_id, fresh)
    assert all("slipway.io/keys" in pod["metadata"]["annotations"] for pod in await service.pods())
    before = service.api.calls
    await service.compute.ensure_keys(service.spec.service_id, fresh)
    assert service.api.calls - before == 1


async def test_new_keys_leave_what_an_update_puts_into_the_secret_meanwhile(service):
    stand_in = service.cluster.needs_stand_in("something in the middle of a call")
    await service.deploy()
    collecting = service.but(
        settings=ServiceSettings(num_replicas=1, data_collection=ModelDataCollection(storage_enabled=True)),
        targets=CollectionTargets(storage="AccountName=a"),
    )
    wanted, writer = secret(collecting, service.settings), Writer("slipway", "Apply")
    resource = next(each for each in stand_in.store.objects if each.kind == "Secret")

    first = iter((True,))

    def updated(request) -> bool:
        """No fault: the update comes between the look at the Secret and the first change of it."""
        if on("PATCH", "/secrets/")(request) and next(first, False):
            stand_in.store.apply(resource, service.cluster.namespace, service.name, wanted, writer, force=True)
        return False

    stand_in.fail_next(updated, broken())
    await service.compute.ensure_keys(service.spec.service_id, AuthKeys(primary_key="p", secondary_key="s"))
    now = await service.get("v1", "secrets")
    assert keys_of(now) == AuthKeys(primary_key="p", secondary_key="s")
    assert base64.b64decode(now["data"]["storage"]) == b"AccountName=a"


async def test_keys_without_their_secret_are_tried_again(service):
    with pytest.raises(Unavailable, match="put back"):
        await service.compute.ensure_keys(service.spec.service_id, service.spec.keys)


# The end.


async def test_a_withdrawn_service_is_not_found_any_more_and_its_pods_finish(service):
    await service.deploy()
    await service.compute.ensure_withdrawn(service.spec.service_id)
    assert {"ingresses", "services"} & await there_are(service) == set()
    assert len(await service.pods()) == 1


async def test_a_removed_service_is_waited_for_until_its_pods_have_gone(service):
    await service.deploy()
    assert await service.compute.ensure_removed(service.spec.service_id) == "the end of 1 pods"
    assert await there_are(service) == set()
    await service.controllers.collect_garbage()
    assert await service.compute.ensure_removed(service.spec.service_id) == ""
    assert await service.pods() == []


# Surveys.


async def test_a_survey_finds_what_is_missing_what_is_nobodys_and_what_is_well(service):
    await service.deploy()
    seen = await service.compute.survey(service.spec.account, [service.spec], [service.spec.service_id])
    assert seen.services[service.spec.service_id].ready
    assert seen.orphans == ()
    await service.cluster.request("DELETE", service.cluster.path("networking.k8s.io/v1", "ingresses", service.name))
    seen = await service.compute.survey(service.spec.account, [service.spec], [service.spec.service_id])
    assert seen.services[service.spec.service_id].missing == ("Ingress",)
    seen = await service.compute.survey(service.spec.account, [], [])
    assert seen.orphans == (service.spec.service_id,)


def granted(day: int, by: str = "key") -> CollectionTargets:
    signature = f"se=2026-01-{day:02}T00%3A00%3A00Z&sp=ac&sig={by}"
    return CollectionTargets(storage=f"BlobEndpoint=https://a.blob.core.windows.net;SharedAccessSignature={signature}")


async def test_a_survey_renews_what_adds_to_collected_data_and_the_pods_go_on(service):
    on = ServiceSettings(num_replicas=1, data_collection=ModelDataCollection(storage_enabled=True))
    spec = await service.deploy(service.but(settings=on, targets=granted(8)))
    known, pods = [spec.service_id], [pod["metadata"]["name"] for pod in await service.pods()]

    async def held_after(targets: CollectionTargets) -> bytes:
        await service.compute.survey(spec.account, [replace(spec, targets=targets)], known)
        return base64.b64decode((await service.get("v1", "secrets"))["data"]["storage"])

    assert await held_after(granted(9)) == granted(9).storage.encode()
    assert await held_after(granted(9, by="another instance")) == granted(9).storage.encode()
    await service.deploy(replace(spec, targets=granted(10)))
    assert [pod["metadata"]["name"] for pod in await service.pods()] == pods
    (container,) = (await service.get("apps/v1", "deployments"))["spec"]["template"]["spec"]["containers"]
    assert any(each["name"] == "AML_MODEL_DC_STORAGE" for each in container["env"])


async def test_another_accounts_services_are_none_of_a_surveys_business(service):
    await service.deploy()
    seen = await service.compute.survey(Account("another", "group", "account"), [], [])
    assert (seen.services, seen.orphans) == ({}, ())


async def test_a_service_of_which_nothing_is_ready_for_five_minutes_has_failed_with_the_cause(service):
    await service.deploy(how=crashed(9))
    known = [service.spec.service_id]
    assert (await service.compute.survey(service.spec.account, [service.spec], known)).services[known[0]].error is None
    service.clock.ahead = timedelta(minutes=6)
    error = (await service.compute.survey(service.spec.account, [service.spec], known)).services[known[0]].error
    assert "exit code 9" in error.message
    await service.controllers.roll_out(service.name, READY)
    assert (await service.compute.survey(service.spec.account, [service.spec], known)).services[known[0]].ready


# Logs.


async def test_the_logs_of_a_crashed_container_are_there_beside_those_of_the_one_now(service):
    stand_in = service.cluster.needs_stand_in("logs without a kubelet")
    await service.deploy(how=crashed())
    (pod,) = await service.pods()
    name = pod["metadata"]["name"]
    stand_in.log(name, "starting\nno model", container="scoring", previous=True)
    stand_in.log(name, "starting", container="scoring")
    printed = await service.compute.logs(service.spec.service_id, LogQuery(tail=10))
    assert [(log.replica, log.run, log.lines) for log in printed] == [
        (name, "previous", ("starting", "no model")),
        (name, "", ("starting",)),
    ]
    assert await service.compute.logs(service.spec.service_id, LogQuery(tail=10, replica="another")) == []
    service.clock.ahead = timedelta(minutes=5)
    error = (await service.looked(3)).error
    assert error.message.endswith("It last said: no model")


async def test_a_log_that_a_node_does_not_give_keeps_no_other_from_being_read(service):
    stand_in = service.cluster.needs_stand_in("logs without a kubelet")
    await service.deploy(service.but(settings=ServiceSettings(num_replicas=2)))
    away, there = sorted(pod["metadata"]["name"] for pod in await service.pods())
    stand_in.log(there, "well", container="scoring")
    stand_in.fail_next(on("GET", f"/pods/{away}/log"), broken(500))
    printed = {log.replica: log.lines for log in await service.compute.logs(service.spec.service_id, LogQuery(tail=10))}
    assert printed[there] == ("well",)
    assert "cannot be read now: The cluster could not read the log of the pod" in printed[away][0]
