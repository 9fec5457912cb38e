"""An API server that somebody else runs: its controllers are left to work, and nothing of the tests' is left there."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.clusters.cluster import VARIABLE, leave_no_definitions, running_cluster
from tests.clusters.controllers import Controllers
from tests.clusters.objects import deployment, service_account
from tests.clusters.stand_in import StandIn
from tests.clusters.stand_in.resources import NAMESPACES, SERVICE_ACCOUNTS
from tests.clusters.stand_in.store import Writer
from tests.clusters.whole import whole_cluster

ROUTES = "CustomResourceDefinition httproutes.gateway.networking.k8s.io"
OBJECTS = "CustomResourceDefinition scaledobjects.keda.sh"


@pytest.fixture
async def given(monkeypatch):
    """One that is there before the tests and after them."""
    async with StandIn() as server:
        monkeypatch.setenv(VARIABLE, server.admin_kubeconfig)
        yield server


def names(server: StandIn) -> set[str]:
    return {f"{resource.kind} {name}" for resource, found in server.store.objects.items() for _, name in found}


async def test_nothing_is_left_behind(given):
    async with running_cluster(patience=0.1) as cluster:
        await cluster.request("POST", cluster.path("apps/v1", "deployments"), deployment())
        assert {ROUTES, OBJECTS} <= names(given)
    await leave_no_definitions(given.admin_kubeconfig)
    assert names(given) == {"Namespace default"}


async def test_kinds_that_were_there_before_stay(given):
    async with running_cluster(patience=0.1) as cluster:
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/scaledobjects.keda.sh"
        theirs = {"metadata": {"labels": {"app.kubernetes.io/managed-by": "Helm"}}}
        await cluster.request("PATCH", path, theirs, content_type="application/merge-patch+json")
    await leave_no_definitions(given.admin_kubeconfig)
    assert names(given) == {"Namespace default", OBJECTS}


async def test_controllers_are_played_where_there_are_none(given):
    async with running_cluster(patience=0.1) as cluster:
        await cluster.request("POST", cluster.path("apps/v1", "deployments"), deployment())
        assert len(await Controllers(cluster).roll_out("one")) == 1


async def test_a_test_that_plays_controllers_is_left_out_where_there_are_some_and_says_so(given):
    async with given_service_accounts(given), running_cluster(patience=10) as cluster:
        await cluster.request("POST", cluster.path("apps/v1", "deployments"), deployment())
        with pytest.raises(pytest.skip.Exception, match="own controllers are at work"):
            await Controllers(cluster).roll_out("one")


@asynccontextmanager
async def given_service_accounts(server: StandIn) -> AsyncIterator[None]:
    """As a controller does, each namespace is given a ServiceAccount `default`."""
    async with asyncio.TaskGroup() as tasks:
        working = tasks.create_task(_give(server))
        yield
        working.cancel()


async def _give(server: StandIn) -> None:
    while True:
        for _, namespace in list(server.store.objects[NAMESPACES]):
            if (namespace, "default") not in server.store.objects.get(SERVICE_ACCOUNTS, {}):
                document = service_account("default")
                server.store.create(SERVICE_ACCOUNTS, namespace, document, Writer("kube-controller-manager"))
        await asyncio.sleep(0.02)


def test_a_node_of_the_tests_own_is_left_out(given):
    with pytest.raises(pytest.skip.Exception, match="names an API server"), whole_cluster():
        pass
