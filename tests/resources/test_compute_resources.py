"""Where services can run: records, and what may be done to them while services run there."""

import pytest

from shared.domain.compute_resources import ComputeKind, ComputeResourceRequest
from shared.domain.documents import Insert, Remove
from shared.domain.errors import Conflict, InvalidRequest, NotFound, PreconditionFailed
from shared.domain.filters import Filters
from shared.domain.ids import new_id
from shared.domain.plans import BUILD_IMAGE
from shared.domain.wire import validate
from shared.resources.compute_resources import ComputeResources
from tests.twins import ACCOUNT, COMPUTE_ID, TwinKinds, World

CLUSTER = {
    "kind": "kubernetes",
    "cluster": {
        "connection": {"kubeconfigSetting": "SLIPWAY_KUBECONFIG_PROD"},
        "namespace": "models",
        "frontEnd": {"address": "https://scoring.example.com"},
    },
}


def cluster(**changes) -> ComputeResourceRequest:
    return validate(ComputeResourceRequest, {**CLUSTER, "cluster": {**CLUSTER["cluster"], **changes}})


def without_a_node(world: World) -> ComputeResources:
    return ComputeResources(world.store, world.clock, TwinKinds(world.compute, local=False))


async def names(resources: ComputeResources) -> list[str]:
    return [record.name for record in (await resources.page(ACCOUNT, Filters(), 10, None)).items]


async def serving_on_prod(world: World) -> str:
    """A service on the cluster `prod`."""
    image_id = await world.built()
    record = await world.compute_resources.put(ACCOUNT, "prod", cluster())
    return await world.serving(image_id, compute_resource={"id": record.shown(ACCOUNT).id})


async def test_every_account_has_the_node_that_the_settings_give():
    world = World()
    assert await names(world.compute_resources) == ["local"]
    assert (await world.compute_resources.get(ACCOUNT, "LOCAL")).shown(ACCOUNT).kind is ComputeKind.LOCAL
    assert await world.compute_resources.find(ACCOUNT, COMPUTE_ID, field="x") is world.compute


async def test_there_is_none_where_the_settings_give_none():
    resources = without_a_node(World())
    assert await names(resources) == []
    with pytest.raises(InvalidRequest, match=r"x: got '/subscriptions/.*there are: none"):
        await resources.find(ACCOUNT, COMPUTE_ID, field="x")


async def test_a_record_is_found_by_its_name_in_any_case_and_shown_with_the_id_services_name_it_by():
    world = World()
    put = await world.compute_resources.put(ACCOUNT, "Prod", cluster())
    shown = put.shown(ACCOUNT)
    assert shown.id.startswith("/subscriptions/sub/resourcegroups/group/providers/")
    assert shown.id.endswith("/operationalizationClusters/Prod")
    assert await world.compute_resources.find(ACCOUNT, shown.id.upper(), field="x") is world.compute
    assert await world.compute_resources.get(ACCOUNT, "pROD") == put
    assert await names(world.compute_resources) == ["local", "Prod"]


async def test_putting_it_again_changes_it_and_keeps_its_age():
    world = World()
    first = await world.compute_resources.put(ACCOUNT, "prod", cluster())
    second = await world.compute_resources.put(ACCOUNT, "PROD", cluster(namespace="others"))
    assert (second.id, second.name, second.created_at) == (first.id, "prod", first.created_at)
    assert second.settings.cluster is not None
    assert second.settings.cluster.namespace == "others"
    assert second.updated_at > first.updated_at


async def test_services_keep_the_place_they_run_in():
    world = World()
    service_id = await serving_on_prod(world)
    await world.compute_resources.put(ACCOUNT, "prod", cluster(connection={"inCluster": True}))
    for moved in (
        cluster(namespace="others"),
        cluster(frontEnd={"address": "https://elsewhere.example.com"}),
        cluster(frontEnd={"address": "https://scoring.example.com", "kind": "gateway", "gateway": "public"}),
        cluster(frontEnd={"address": "https://scoring.example.com", "path": "/{account}/{service}"}),
        cluster(frontEnd={"address": "https://scoring.example.com", "claimNamespace": "front-end"}),
        cluster(scaling={"kind": "keda"}),
    ):
        with pytest.raises(Conflict, match=f"prod is still used by service {service_id}"):
            await world.compute_resources.put(ACCOUNT, "prod", moved)
    with pytest.raises(Conflict, match=f"still used by service {service_id}"):
        await world.compute_resources.delete(ACCOUNT, "prod")


async def test_a_record_stays_until_the_last_service_is_cleared():
    world = World()
    await world.services.delete(ACCOUNT, await serving_on_prod(world))
    with pytest.raises(Conflict, match="still used by operation"):
        await world.compute_resources.delete(ACCOUNT, "prod")
    await world.settle()
    assert await world.compute_resources.delete(ACCOUNT, "Prod")
    assert not await world.compute_resources.delete(ACCOUNT, "prod")
    with pytest.raises(NotFound, match="'prod'"):
        await world.compute_resources.get(ACCOUNT, "prod")


async def test_it_stays_however_many_operations_have_begun_since():
    world = World()
    await world.services.delete(ACCOUNT, await serving_on_prod(world))
    for _ in range(100):
        identifier = new_id(world.clock.now(), world.clock.random_bits)
        other = world.operations.accepted(BUILD_IMAGE, identifier=identifier, resource_id=identifier, checkpoint={})
        await world.store.commit(ACCOUNT, [Insert(other)])
    with pytest.raises(Conflict, match="still used by operation"):
        await world.compute_resources.delete(ACCOUNT, "prod")


async def test_what_the_settings_give_can_neither_be_deleted_nor_made_something_else():
    resources = World().compute_resources
    with pytest.raises(Conflict, match="settings"):
        await resources.delete(ACCOUNT, "Local")
    with pytest.raises(Conflict, match="settings"):
        await resources.put(ACCOUNT, "Local", cluster())
    assert (await resources.put(ACCOUNT, "Local", ComputeResourceRequest(kind=ComputeKind.LOCAL))).name == "local"


async def test_a_service_that_begins_while_its_compute_resource_goes_is_refused():
    world = World()
    image_id = await world.built()
    record = await world.compute_resources.put(ACCOUNT, "prod", cluster())
    stored = await world.store.get(ACCOUNT, type(record), record.id)
    await world.serving(image_id, compute_resource={"id": record.shown(ACCOUNT).id})
    with pytest.raises(PreconditionFailed):
        await world.store.commit(ACCOUNT, [Remove(stored)])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"connection": {}}, "exactly one of aksResourceId"),
        ({"connection": {"inCluster": True, "kubeconfigSecret": "x"}}, "exactly one of"),
        ({"connection": {"kubeconfigSetting": "SLIPWAY_SECRET"}}, "SLIPWAY_KUBECONFIG_"),
        ({"connection": {"aksResourceId": "/subscriptions/x"}}, "managedClusters"),
        ({"namespace": "Not A Label"}, "as a DNS label"),
        ({"frontEnd": {"address": "https://x.y", "kind": "gateway"}}, "gateway with kind gateway"),
        ({"frontEnd": {"address": "https://x.y/?a=b"}}, "without a query"),
        ({"frontEnd": {"address": "https://x.y/#a"}}, "without a query"),
        ({"scaling": {"prometheusAddress": "http://prometheus"}}, "prometheusAddress and activationQuery together"),
        ({"scaling": {"kind": "vpa"}}, "'hpa' or 'keda'"),
    ],
)
def test_a_record_that_makes_no_sense_names_the_field_and_what_it_accepts(changes, said):
    with pytest.raises(InvalidRequest, match=said) as refused:
        cluster(**changes)
    assert refused.value.message.startswith("cluster.")
