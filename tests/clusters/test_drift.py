"""What is recorded is what runs: each difference between a service's record and its cluster is found."""

import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from shared.compute.kubernetes.differences import differences
from shared.compute.kubernetes.names import object_name
from shared.compute.kubernetes.objects import rendered
from shared.domain.computing import ServiceSpec
from shared.domain.service_settings import ServiceSettings
from tests.clusters.controllers import MERGE, NOT_READY, Said, crashed
from tests.clusters.deployed import Deployed, deploying, scaled
from tests.clusters.specs import clusters, specs

EVIL = "registry.example.com/evil/image:1"


@pytest.fixture
async def service(cluster) -> AsyncIterator[Deployed]:
    async with deploying(cluster) as deployed:
        yield deployed


async def drift(service: Deployed, spec: ServiceSpec | None = None) -> tuple[str, ...]:
    spec = spec or service.spec
    seen = await service.compute.survey(spec.account, [spec], [spec.service_id])
    return seen.services[spec.service_id].drift


async def edit(service: Deployed, api_version: str, plural: str, patch: dict[str, Any]) -> None:
    """As `kubectl edit` does."""
    path = service.cluster.path(api_version, plural, service.name)
    await service.cluster.request("PATCH", path, patch, content_type=MERGE, fieldManager="kubectl-edit")


def scoring(**changes: Any) -> dict[str, Any]:
    return {"spec": {"template": {"spec": {"containers": [changes]}}}}


EDITS = {
    "the number of replicas": ("apps/v1", "deployments", {"spec": {"replicas": 3}}, "Deployment spec.replicas"),
    "the selector of pods": (
        "v1",
        "services",
        {"spec": {"selector": {"slipway.io/service-id": "another"}}},
        "Service spec.selector.slipway.io/service-id",
    ),
    "a key": (
        "v1",
        "secrets",
        {"data": {"primary": base64.b64encode(b"mine").decode()}},
        "Secret data.primary",
    ),
    "the selector of pods, by a label more": (
        "v1",
        "services",
        {"spec": {"selector": {"track": "canary"}}},
        "Service spec.selector",
    ),
    "what may reach pods": (
        "networking.k8s.io/v1",
        "networkpolicies",
        {"spec": {"ingress": [{"ports": [{"protocol": "TCP", "port": 5001}, {"protocol": "TCP", "port": 22}]}]}},
        "NetworkPolicy spec.ingress.0.ports",
    ),
    "where calls lead": (
        "networking.k8s.io/v1",
        "ingresses",
        {"metadata": {"annotations": {"nginx.ingress.kubernetes.io/proxy-body-size": None}}},
        "Ingress metadata.annotations.nginx.ingress.kubernetes.io/proxy-body-size",
    ),
}


@pytest.mark.parametrize(("api_version", "plural", "patch", "named"), EDITS.values(), ids=EDITS)
async def test_a_hand_made_change_of_a_field_that_is_applied_is_found_and_put_back(
    service, api_version, plural, patch, named
):
    await service.deploy()
    assert await drift(service) == ()
    await edit(service, api_version, plural, patch)
    assert named in await drift(service)
    await service.compute.ensure_deployment(replace(service.spec, answered=True))
    assert await drift(service) == ()


async def test_a_hand_made_change_of_the_image_or_the_environment_is_found_and_put_back(service):
    await service.deploy()
    container = (await service.get("apps/v1", "deployments"))["spec"]["template"]["spec"]["containers"][0]
    environment = [each if each["name"] != "SERVICE_NAME" else {**each, "value": "x"} for each in container["env"]]
    await edit(service, "apps/v1", "deployments", scoring(**{**container, "image": EVIL, "env": environment}))
    found = [path.removeprefix("Deployment spec.template.spec.containers.scoring.") for path in await drift(service)]
    assert found == ["image", "env.SERVICE_NAME.value"]
    await service.compute.ensure_deployment(replace(service.spec, answered=True))
    assert await drift(service) == ()


async def test_what_others_put_beside_ours_is_no_difference(service):
    await service.deploy()
    container = (await service.get("apps/v1", "deployments"))["spec"]["template"]["spec"]["containers"][0]
    beside = {"env": [*container["env"], {"name": "TRACING", "value": "on"}], "workingDir": "/tmp"}
    sidecar = {"name": "proxy", "image": "proxy:1", "securityContext": container["securityContext"]}
    patch = {"metadata": {"labels": {"team": "a"}}, **scoring(**{**container, **beside})}
    patch["spec"]["template"]["spec"]["containers"].append(sidecar)
    await edit(service, "apps/v1", "deployments", patch)
    assert await drift(service) == ()


async def test_keys_that_are_put_back_reach_the_pods_that_run(service):
    await service.deploy()
    await edit(service, "v1", "secrets", {"data": {"primary": base64.b64encode(b"mine").decode()}})
    await service.compute.ensure_deployment(replace(service.spec, answered=True))
    (pod,) = await service.pods()
    assert "slipway.io/keys" in pod["metadata"]["annotations"]


async def test_no_difference_holds_a_value_of_a_secret(service):
    await service.deploy()
    await edit(service, "v1", "secrets", {"data": {"primary": base64.b64encode(b"mine").decode()}})
    assert "bWluZQ" not in str(await drift(service))


async def test_an_autoscaler_that_is_not_to_be_there_is_a_difference(service):
    await service.deploy(service.but(settings=scaled(1, 4)))
    assert "HorizontalPodAutoscaler that is not to be there" in await drift(service)


async def test_what_an_autoscaler_has_set_is_no_difference(service):
    spec = await service.deploy(service.but(settings=scaled(1, 8)))
    await edit(service, "apps/v1", "deployments", {"spec": {"replicas": 5}})
    assert await drift(service, spec) == ()
    await edit(service, "apps/v1", "deployments", {"spec": {"replicas": 0}})
    assert await drift(service, spec) == ("Deployment spec.replicas",)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(specs, clusters)
async def test_nothing_that_was_just_applied_is_different(kubernetes, cluster, spec, any_cluster):
    for wanted in rendered(spec, any_cluster.but(namespace=cluster.namespace), replicas=1):
        assert differences(wanted, await kubernetes.apply(wanted)) == ()


@pytest.mark.parametrize(
    ("wanted", "live"),
    [
        ({"resources": {"requests": {"cpu": "0.5"}}}, {"resources": {"requests": {"cpu": "500m"}}}),
        ({"resources": {"limits": {"memory": "1024Mi"}}}, {"resources": {"limits": {"memory": "1Gi"}}}),
        ({"resources": {"limits": {"memory": "1e9"}}}, {"resources": {"limits": {"memory": "1G"}}}),
        ({"target": {"averageValue": "1000m"}}, {"target": {"averageValue": "1"}}),
        ({"env": [{"name": "A", "value": ""}]}, {"env": [{"name": "A"}]}),
        ({"volumes": [{"name": "a", "emptyDir": {}}]}, {"volumes": [{"name": "b"}, {"name": "a", "emptyDir": {}}]}),
        ({"spec": {"a": 1}}, {"spec": {"a": 1, "defaulted": True}, "status": {}}),
        (
            {"topologySpreadConstraints": [{"topologyKey": "node", "whenUnsatisfiable": "ScheduleAnyway"}]},
            {
                "topologySpreadConstraints": [
                    {"topologyKey": "node", "whenUnsatisfiable": "ScheduleAnyway"},
                    {"topologyKey": "node", "whenUnsatisfiable": "DoNotSchedule"},
                ]
            },
        ),
    ],
)
def test_what_the_cluster_writes_otherwise_or_adds_is_no_difference(wanted, live):
    assert differences(wanted, live) == ()


@pytest.mark.parametrize(
    ("wanted", "live", "path"),
    [
        ({"env": [{"name": "A", "value": "1"}]}, {"env": [{"name": "A", "value": "1.0"}]}, "env.A.value"),
        ({"resources": {"requests": {"cpu": "1"}}}, {"resources": {"requests": {"cpu": "2"}}}, "resources.requests.cpu"),
        ({"token": False}, {}, "token"),
        ({"selector": {"id": "1"}}, {"selector": {"id": "1", "track": "canary"}}, "selector"),
        ({"nodeSelector": {"os": "linux"}}, {"nodeSelector": {"os": "linux", "disk": "ssd"}}, "nodeSelector"),
        (
            {"podSelector": {"matchLabels": {"id": "1"}}},
            {"podSelector": {"matchLabels": {"id": "1"}, "matchExpressions": [{"key": "a", "operator": "Exists"}]}},
            "podSelector",
        ),
        ({"rules": [{"host": "a"}]}, {"rules": [{"host": "a"}, {"host": "b"}]}, "rules"),
        ({"env": [{"name": "A", "value": "1"}]}, {"env": []}, "env.A"),
        ({"resources": {"requests": {"cpu": "1"}}}, {"resources": {"requests": {"cpu": "odd"}}}, "resources.requests.cpu"),
    ],
)
def test_any_other_difference_is_one(wanted, live, path):
    assert differences(wanted, live) == (path,)


async def test_the_number_of_calls_of_a_survey_does_not_grow_with_the_services_that_are_down(service):
    spec_of = [service.but(service_id=f"6f1c2a0e-4f0b-4e34-9a52-2f3d6f0c9b{number:02}") for number in range(10, 15)]
    spec_of = [replace(spec, service_name=f"digits-{number}") for number, spec in enumerate(spec_of)]
    for spec in spec_of:
        await service.compute.ensure_deployment(spec)
        await service.controllers.roll_out(object_name(spec.service_id), crashed())
    service.clock.ahead = timedelta(minutes=10)
    before = service.api.calls
    seen = await service.compute.survey(service.spec.account, spec_of, [spec.service_id for spec in spec_of])
    assert all(each.error is not None for each in seen.services.values())
    assert service.api.calls - before == 11


async def test_events_say_why_a_service_is_down(service):
    how = replace(NOT_READY, events=(Said("Unhealthy", "Readiness probe failed: connection refused"),))
    await service.deploy(how=how)
    service.clock.ahead = timedelta(minutes=6)
    seen = await service.compute.survey(service.spec.account, [service.spec], [service.spec.service_id])
    assert "Readiness probe failed: connection refused" in seen.services[service.spec.service_id].error.message


async def test_a_paused_deployment_is_the_cause(service):
    await service.deploy()
    await edit(service, "apps/v1", "deployments", {"spec": {"paused": True}})
    spec = service.but(settings=ServiceSettings(num_replicas=1, app_insights_enabled=True))
    await service.compute.ensure_deployment(spec)
    deployment = await service.get("apps/v1", "deployments")
    status = {"status": {**deployment["status"], "observedGeneration": deployment["metadata"]["generation"]}}
    status["status"]["updatedReplicas"] = 0
    path = service.cluster.path("apps/v1", "deployments", service.name)
    await service.cluster.request("PATCH", f"{path}/status", status, content_type=MERGE)
    error = (await service.looked(3, spec)).error
    assert error.details[0].code == "DeploymentPaused"
    assert f"kubectl rollout resume deployment/{service.name}" in error.message
