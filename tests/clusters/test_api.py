"""The client, as any kube-apiserver must find it."""

from dataclasses import replace

import pytest

from shared.compute.kubernetes.kinds import (
    DEPLOYMENT,
    HTTP_ROUTE,
    POD,
    SCALED_OBJECT,
    SECRET,
    SERVICE_ACCOUNT,
    Kind,
    Object,
)
from shared.domain.errors import DeployFailed, InvalidRequest
from shared.domain.fencing import LeaseLost, fenced
from tests.clusters.controllers import MERGE, NOT_READY, Said, pull_failed, unschedulable
from tests.clusters.objects import NAME, deployment, scaled_object, secret, service_account


async def test_what_is_applied_is_there(kubernetes):
    applied = await kubernetes.apply(deployment())
    found = await kubernetes.get(DEPLOYMENT, NAME)
    assert found == applied
    assert found["metadata"]["uid"]
    assert found["metadata"]["generation"] == 1
    (manager,) = found["metadata"]["managedFields"]
    assert (manager["manager"], manager["operation"]) == ("slipway", "Apply")


async def test_applying_the_same_again_changes_nothing(kubernetes):
    first = await kubernetes.apply(deployment())
    again = await kubernetes.apply(deployment())
    assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


async def test_a_change_makes_a_new_generation_of_the_same_object(kubernetes):
    first = await kubernetes.apply(deployment())
    second = await kubernetes.apply(deployment(replicas=3))
    assert second["metadata"]["uid"] == first["metadata"]["uid"]
    assert second["metadata"]["generation"] == 2
    assert second["spec"]["replicas"] == 3


async def test_what_is_not_applied_any_more_goes(kubernetes):
    labelled = deployment()
    labelled["metadata"]["labels"]["once"] = "yes"
    await kubernetes.apply(labelled)
    now = await kubernetes.apply(deployment())
    assert "once" not in now["metadata"]["labels"]


async def test_what_others_have_set_beside_stays(kubernetes, cluster):
    await kubernetes.apply(deployment())
    theirs = {"metadata": {"annotations": {"example.com/team": "red"}, "labels": {"theirs": "yes"}}}
    await cluster.request(
        "PATCH", cluster.path("apps/v1", "deployments", NAME), theirs, content_type=MERGE, fieldManager="them"
    )
    now = await kubernetes.apply(deployment(replicas=2))
    assert now["metadata"]["annotations"]["example.com/team"] == "red"
    assert now["metadata"]["labels"]["theirs"] == "yes"


async def test_what_others_have_changed_is_taken_back(kubernetes, cluster):
    await kubernetes.apply(deployment(replicas=2))
    theirs = {"spec": {"replicas": 7}}
    path = cluster.path("apps/v1", "deployments", NAME)
    changed = await cluster.request("PATCH", path, theirs, content_type=MERGE, fieldManager="kubectl")
    assert changed["spec"]["replicas"] == 7
    now = await kubernetes.apply(deployment(replicas=2))
    assert now["spec"]["replicas"] == 2


async def test_lists_are_merged_by_the_names_of_their_items(kubernetes, cluster):
    await kubernetes.apply(_with_environment(first="1", second="2"))
    path = cluster.path("apps/v1", "deployments", NAME)
    theirs = {"name": "scoring", "env": [{"name": "theirs", "value": "3"}]}
    await cluster.request(
        "PATCH",
        path,
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": NAME},
            "spec": {"template": {"spec": {"containers": [theirs]}}},
        },
        content_type="application/apply-patch+yaml",
        fieldManager="other",
    )
    now = await kubernetes.apply(_with_environment(second="4"))
    (container,) = now["spec"]["template"]["spec"]["containers"]
    assert {one["name"]: one["value"] for one in container["env"]} == {"second": "4", "theirs": "3"}
    assert container["ports"][0]["containerPort"] == 5001


async def test_another_manager_that_does_not_force_meets_a_conflict(kubernetes, cluster):
    await kubernetes.apply(deployment(replicas=2))
    path = cluster.path("apps/v1", "deployments", NAME)
    theirs = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": NAME}, "spec": {"replicas": 5}}
    refused = await cluster.request("PATCH", path, theirs, content_type="application/apply-patch+yaml", fieldManager="other")
    assert refused["reason"] == "Conflict"
    assert refused["details"]["causes"][0]["field"] == ".spec.replicas"
    assert (await kubernetes.get(DEPLOYMENT, NAME))["spec"]["replicas"] == 2


async def test_what_is_not_there_is_none(kubernetes):
    assert await kubernetes.get(DEPLOYMENT, "nobody") is None
    assert await kubernetes.annotate(DEPLOYMENT, "nobody", {"a": "b"}) is None
    await kubernetes.delete(DEPLOYMENT, "nobody")


async def test_what_is_deleted_goes(kubernetes):
    await kubernetes.apply(secret())
    await kubernetes.delete(SECRET, NAME)
    assert await kubernetes.get(SECRET, NAME) is None


async def test_lists_take_a_selector_and_say_what_their_items_are(kubernetes):
    await kubernetes.apply(service_account("one"))
    other = service_account("two")
    other["metadata"]["labels"] = {"app.kubernetes.io/name": "two", "slipway.io/service-id": "x"}
    await kubernetes.apply(other)
    (found,) = await kubernetes.list(SERVICE_ACCOUNT, "app.kubernetes.io/name=one,!slipway.io/service-id")
    assert (found["kind"], found["apiVersion"], found["metadata"]["name"]) == ("ServiceAccount", "v1", "one")
    assert {one["metadata"]["name"] for one in await kubernetes.list(SERVICE_ACCOUNT)} >= {"one", "two"}
    assert await kubernetes.list(SERVICE_ACCOUNT, "app.kubernetes.io/name in (three)") == ()


async def test_annotations_are_set_and_removed(kubernetes):
    await kubernetes.apply(secret())
    await kubernetes.annotate(SECRET, NAME, {"slipway.io/a": "1", "slipway.io/b": "2"})
    now = await kubernetes.annotate(SECRET, NAME, {"slipway.io/a": None})
    assert now["metadata"]["annotations"] == {"slipway.io/b": "2"}


async def test_kinds_of_extensions_are_served_once_they_are_defined(kubernetes):
    assert await kubernetes.served("keda.sh")
    assert await kubernetes.served("gateway.networking.k8s.io/v1")
    assert not await kubernetes.served("nothing.example.com")
    applied = await kubernetes.apply(scaled_object())
    assert applied["spec"]["scaleTargetRef"] == {"name": NAME}
    assert await kubernetes.list(HTTP_ROUTE) == ()
    await kubernetes.delete(SCALED_OBJECT, NAME)


async def test_an_object_that_the_schema_forbids_is_the_user_s_to_mend(kubernetes):
    wrong = deployment()
    wrong["spec"]["template"]["spec"]["containers"][0]["imagePullPolice"] = "Always"
    with pytest.raises(DeployFailed, match="imagePullPolice"):
        await kubernetes.apply(wrong)


async def test_the_selector_of_a_deployment_cannot_change(kubernetes):
    await kubernetes.apply(deployment())
    other = deployment()
    other["spec"]["selector"]["matchLabels"] = other["spec"]["template"]["metadata"]["labels"] = {"app": "other"}
    with pytest.raises(DeployFailed, match="field is immutable") as failure:
        await kubernetes.apply(other)
    assert failure.value.code == "KubernetesDeploymentFailed"
    assert failure.value.details[0].code == "Invalid"


async def test_a_namespace_that_is_not_there_is_named(cluster):
    async with replace(cluster, namespace="slipway-nowhere").api() as api:
        assert not await api.has_namespace()
        assert await api.list(DEPLOYMENT) == ()
        with pytest.raises(DeployFailed, match='namespaces "slipway-nowhere" not found') as failure:
            await api.apply(secret())
        assert failure.value.status_code == 500, "whoever operates the cluster has to make one"


async def test_a_name_that_would_be_another_path_is_refused(kubernetes):
    for name in ("../secrets/one", "..", "a/b", "", "a?b"):
        with pytest.raises(InvalidRequest):
            await kubernetes.log(name, container="scoring")


async def test_events_are_those_about_that_object(kubernetes, controllers):
    await kubernetes.apply(service_account())
    await kubernetes.apply(deployment(replicas=2))
    first, second = await controllers.roll_out(NAME, unschedulable("0/3 nodes are available: 3 Insufficient cpu."))
    await controllers.say(first, Said("Other", "something else"))
    found = await kubernetes.events(second["metadata"]["name"])
    assert [event["reason"] for event in found] == ["FailedScheduling"]
    both = await kubernetes.events(first["metadata"]["name"], second["metadata"]["name"])
    assert len(both) == 3


async def test_pods_come_up_and_old_ones_go(kubernetes, controllers):
    await kubernetes.apply(service_account())
    await kubernetes.apply(deployment())
    (old,) = await controllers.roll_out(NAME)
    rolled_out = await kubernetes.get(DEPLOYMENT, NAME)
    assert rolled_out["status"]["availableReplicas"] == 1
    assert rolled_out["status"]["observedGeneration"] == rolled_out["metadata"]["generation"]
    await kubernetes.apply(deployment(image="registry.example.com/one@sha256:" + "2" * 64))
    await controllers.roll_out(NAME, pull_failed("unauthorized"))
    assert len(await kubernetes.list(POD, "app=one")) == 2
    (new,) = await controllers.roll_out(NAME)
    (left,) = await kubernetes.list(POD, "app=one")
    assert left["metadata"]["name"] == new["metadata"]["name"] != old["metadata"]["name"]


async def test_what_is_owned_by_what_is_deleted_is_collected(kubernetes, controllers):
    await kubernetes.apply(service_account())
    await kubernetes.apply(deployment())
    await controllers.roll_out(NAME, NOT_READY)
    await kubernetes.delete(DEPLOYMENT, NAME)
    await controllers.collect_garbage()
    assert await kubernetes.list(POD, "app=one") == ()


async def test_no_effect_begins_when_the_lease_is_lost(kubernetes):
    await kubernetes.apply(secret())
    before = await kubernetes.get(SECRET, NAME)
    calls = kubernetes.calls

    def lost() -> None:
        raise LeaseLost("another worker has it")

    with fenced(lost):
        for effect in (
            kubernetes.apply(secret(a="YQ==")),
            kubernetes.delete(SECRET, NAME),
            kubernetes.annotate(SECRET, NAME, {"a": "b"}),
        ):
            with pytest.raises(LeaseLost):
                await effect
        assert await kubernetes.get(SECRET, NAME) == before
    assert kubernetes.calls == calls + 1


async def test_an_administrator_may_do_all(kubernetes):
    assert await kubernetes.review("patch", DEPLOYMENT)
    assert await kubernetes.review("get", POD, "log")


async def test_a_version_is_told(kubernetes):
    assert (await kubernetes.version()).startswith("v1.")


async def test_a_kind_that_is_not_defined_is_named(kubernetes):
    with pytest.raises(DeployFailed, match=r"list nothings\.example\.com") as failure:
        await kubernetes.list(Kind("example.com/v1", "Nothing", "nothings"))
    assert failure.value.status_code == 500


def _with_environment(**values: str) -> Object:
    wanted = deployment()
    (container,) = wanted["spec"]["template"]["spec"]["containers"]
    container["env"] = [{"name": name, "value": value} for name, value in values.items()]
    return wanted
