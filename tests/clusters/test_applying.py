"""Any service on any cluster, applied: all that is sent is taken and stored as it was meant, and found to be so."""

from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.compute.kubernetes.kinds import SECRET
from shared.compute.kubernetes.objects import claim, rendered
from shared.domain.computing import ServiceSpec
from tests.clusters.cluster import Cluster
from tests.clusters.deployed import deploying
from tests.clusters.specs import clusters, specs

ODD = "hello \U0001f600 \u2028 \ufeff \x7f \x85 \ud7ff \uffff \\ud83d $(HOME) $$ \x01"


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(specs, clusters, st.integers(0, 1000))
async def test_any_service_on_any_cluster_is_taken_and_kept_as_it_was_sent(
    kubernetes, cluster: Cluster, spec, any_cluster, replicas
):
    there = any_cluster.but(namespace=cluster.namespace)
    for wanted in rendered(spec, there, replicas=replicas):
        stored = await kubernetes.apply(wanted)
        assert stored["kind"] == wanted["kind"]
        if wanted["kind"] == "Deployment":
            assert environment(stored) == environment(wanted)
        if wanted["kind"] == "ScaledObject":
            assert stored["spec"] == wanted["spec"]
    wanted = claim(spec, there)
    claimed = await kubernetes.create(wanted) or await kubernetes.get(SECRET, wanted["metadata"]["name"])
    assert (
        claimed["metadata"]["annotations"]["slipway.io/address"] == wanted["metadata"]["annotations"]["slipway.io/address"]
    )


async def test_text_of_any_kind_arrives_as_it_was_written(cluster):
    async with deploying(cluster) as service:
        odd: ServiceSpec = service.but(settings=service.spec.settings.but(environment_variables={"GREETING": ODD}))
        await service.deploy(replace(odd, image_digest=service.spec.image_digest))
        (pod,) = await service.pods()
        told = environment({"spec": {"template": pod}})["GREETING"]
        assert told == ODD.replace("$", "$$")


def environment(deployment):
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return {each["name"]: each.get("value", "") for each in container["env"]}
