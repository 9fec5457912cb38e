"""Whose is it: of services that want one address one gets it, and nobody touches the objects of another app."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from shared.compute.kubernetes.access import checked
from shared.compute.kubernetes.deployer import KubernetesCompute
from shared.compute.kubernetes.names import app_id
from shared.compute.kubernetes.objects import rendered
from shared.compute.kubernetes.objects.front_end import places
from shared.domain.accounts import Account
from shared.domain.compute_resources import FrontEnd, FrontEndKind
from shared.domain.computing import ServiceSpec
from shared.domain.errors import Conflict, InvalidRequest, Unavailable
from shared.domain.wire import validate
from tests.clusters.deployed import Deployed, deploying
from tests.clusters.specs import CLUSTER, SPEC
from tests.clusters.stand_in import faults
from tests.clusters.stand_in.faults import on

ELSEWHERE = Account("another", "group", "account")
OURS, THEIRS = app_id(b"ours"), app_id(b"theirs")


@pytest.fixture
async def service(cluster) -> AsyncIterator[Deployed]:
    async with deploying(cluster) as deployed:
        yield deployed


def of_app(service: Deployed, app: str, **front_end: Any) -> KubernetesCompute:
    """The same cluster, as an app has it."""
    settings = service.settings.but(front_end=service.settings.front_end.but(**front_end))
    return KubernetesCompute(settings, service.api, service.clock, app=app)


def namesake(service: Deployed, **changes: Any) -> ServiceSpec:
    """Another service of the same name."""
    return service.but(service_id=str(uuid4()), **changes)


async def claims(service: Deployed) -> list[str]:
    """The ids of the services that claim an address."""
    secrets = await service.cluster.request("GET", service.cluster.path("v1", "secrets"))
    labels = [each["metadata"]["labels"] for each in secrets["items"]]
    return [each["slipway.io/service-id"] for each in labels if "slipway.io/claim" in each]


async def test_of_two_that_want_one_address_at_once_one_gets_it(service):
    wanting = [service.spec, namesake(service, account=ELSEWHERE)]
    results = await asyncio.gather(*map(service.compute.ensure_deployment, wanting), return_exceptions=True)
    (refused,) = [result for result in results if result is not None]
    assert isinstance(refused, Conflict)
    assert refused.code == "ServiceNameTaken"
    assert len(await claims(service)) == 1


async def test_an_address_is_claimed_before_anything_is_applied(service):
    stand_in = service.cluster.needs_stand_in("the order of calls")
    await service.deploy()
    del stand_in.calls[:]
    with pytest.raises(Conflict, match="Another service named 'digits' is called at http"):
        await of_app(service, THEIRS).ensure_deployment(namesake(service, account=ELSEWHERE))
    assert stand_in.called("PATCH") == 0


async def test_a_claim_whose_answer_was_lost_is_still_its_own(service):
    stand_in = service.cluster.needs_stand_in("answers that are lost")
    stand_in.fail_next(on("POST", "/secrets"), faults.dropped(done=True))
    with pytest.raises(Unavailable, match="create secrets"):
        await service.compute.ensure_deployment(service.spec)
    await service.compute.ensure_deployment(service.spec)
    assert await claims(service) == [service.spec.service_id]


async def test_a_service_that_goes_gives_its_address_to_the_next(service):
    await service.deploy()
    await service.compute.ensure_withdrawn(service.spec.service_id)
    await service.compute.ensure_removed(service.spec.service_id)
    assert await claims(service) == []
    after = namesake(service, account=ELSEWHERE)
    await service.compute.ensure_deployment(after)
    assert await claims(service) == [after.service_id]


async def test_a_create_that_failed_claims_nothing(service):
    failing = await service.deploy()
    await service.compute.ensure_rolled_back(failing.service_id, failing.deployment_id, None)
    assert await claims(service) == []


async def test_the_route_of_a_service_from_before_there_were_claims_holds_its_address(service):
    for wanted in rendered(service.spec, service.settings, replicas=1):
        await service.api.apply(wanted)
    with pytest.raises(Conflict, match="Choose another name"):
        await service.compute.ensure_deployment(namesake(service))
    seen = await service.compute.survey(service.spec.account, [service.spec], [service.spec.service_id])
    assert seen.services[service.spec.service_id].missing == ("claim of its address",)
    await service.compute.ensure_deployment(service.spec)
    assert await claims(service) == [service.spec.service_id]


@pytest.mark.parametrize(
    ("kind", "spec", "found"),
    [
        ("Ingress", {"defaultBackend": {}}, set()),
        ("Ingress", {"rules": [{"host": "a"}, {"http": {"paths": [{"pathType": "ImplementationSpecific"}]}}]}, {""}),
        ("Ingress", {"rules": [{"host": "a", "http": {"paths": [{"path": "/x"}, {"path": "/y"}]}}]}, {"a/x", "a/y"}),
        ("HTTPRoute", {"rules": None, "hostnames": None}, set()),
        ("HTTPRoute", {"rules": [{"matches": None}, {"matches": [{"method": "GET"}]}]}, set()),
        ("HTTPRoute", {"hostnames": ["a", "b"], "rules": [{"matches": [{"path": {"value": "/x"}}]}]}, {"a/x", "b/x"}),
    ],
)
def test_a_route_of_any_form_holds_the_places_that_it_names(kind, spec, found):
    assert places({"kind": kind, "spec": spec}) == found


async def test_services_of_one_name_in_two_accounts_live_side_by_side_where_the_path_names_the_account(service):
    compute = of_app(service, OURS, path="/ml/{account}/{service}")
    other = namesake(service, account=Account("sub", "group", "research"))
    await compute.ensure_deployment(service.spec)
    await compute.ensure_deployment(other)
    assert compute.scoring_uri(other.account, "digits") == f"{service.front_end.address}/ml/research/digits/score"
    assert sorted(await claims(service)) == sorted([service.spec.service_id, other.service_id])
    with pytest.raises(Conflict):
        await compute.ensure_deployment(namesake(service, account=replace(other.account, resource_group="another")))


async def test_two_accounts_of_one_name_are_told_apart_by_their_scope(service):
    compute = of_app(service, OURS, path="/{scope}/{account}/{service}")
    await compute.ensure_deployment(service.spec)
    other = replace(service.spec.account, resource_group="another")
    await compute.ensure_deployment(namesake(service, account=other))
    assert compute.scoring_uri(other, "digits") != compute.scoring_uri(service.spec.account, "digits")
    same = replace(other, resource_group="ANOTHER", name=other.name.upper())
    assert compute.scoring_uri(other, "digits") == compute.scoring_uri(same, "digits")


async def test_claims_may_be_kept_where_several_namespaces_see_them(cluster):
    stand_in = cluster.needs_stand_in("a second namespace of the tests")
    stand_in.add_namespace("front-end")
    stand_in.add_namespace("others")
    async with deploying(cluster) as service, deploying(replace(cluster, namespace="others")) as others:
        shared = FrontEnd(address=service.front_end.address, claim_namespace="front-end")
        async with replace(cluster, namespace="front-end").api() as claiming:
            one, other = (
                KubernetesCompute(each.settings.but(front_end=shared), each.api, each.clock, app=app, claiming=claiming)
                for each, app in ((service, OURS), (others, THEIRS))
            )
            await one.ensure_deployment(service.spec)
            with pytest.raises(Conflict):
                await other.ensure_deployment(namesake(service))
            await one.ensure_removed(service.spec.service_id)
            await other.ensure_deployment(namesake(service))
            stand_in.denied.add("create secrets")
            with pytest.raises(InvalidRequest, match="permission to create secrets in the namespace front-end"):
                await checked(service.api, service.settings.but(front_end=shared), claiming)


# Apps.


async def test_a_survey_of_one_app_removes_nothing_of_another(service):
    await of_app(service, THEIRS).ensure_deployment(service.spec)
    assert (await of_app(service, OURS).survey(service.spec.account, [], [])).orphans == ()
    assert (await of_app(service, THEIRS).survey(service.spec.account, [], [])).orphans == (service.spec.service_id,)


async def test_objects_from_before_there_were_apps_are_made_ours_without_new_pods(service):
    await service.deploy()
    before = await service.get("apps/v1", "deployments")
    ours = of_app(service, OURS)
    known = [service.spec.service_id]
    seen = await ours.survey(service.spec.account, [service.spec], known)
    assert "Deployment metadata.labels.slipway.io/app" in seen.services[known[0]].changed
    await ours.ensure_deployment(replace(service.spec, answered=True))
    after = await service.get("apps/v1", "deployments")
    assert after["metadata"]["labels"]["slipway.io/app"] == OURS
    assert after["metadata"]["generation"] == before["metadata"]["generation"]


def test_an_app_is_told_from_others_by_nothing_that_tells_its_secret():
    assert app_id(b"ours") == OURS != THEIRS
    assert len(OURS) == 32
    assert b"ours".hex() not in OURS


# Paths.


@pytest.mark.parametrize("kind", FrontEndKind)
def test_all_that_says_where_a_service_is_called_agrees(kind):
    gateway = "public" if kind is FrontEndKind.GATEWAY else None
    led = FrontEnd(address="https://models.example.com", kind=kind, gateway=gateway, path="/{account}/v2/{service}")
    found = {each["kind"]: each for each in rendered(SPEC, CLUSTER.but(front_end=led), replicas=1)}
    environment = found["Deployment"]["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {"name": "SERVICE_PATH_PREFIX", "value": "account/v2/fraud.v2"} in environment
    route = found.get("Ingress") or found["HTTPRoute"]
    assert "'/account/v2/fraud.v2'" in str(route["spec"])
    assert led.service_uri(SPEC.account, "fraud.v2") == "https://models.example.com/account/v2/fraud.v2"


NO_PATHS = (
    "{service}",
    "/x",
    "/{service}/x",
    "/../{service}",
    "/./{service}",
    "//{service}",
    "/{who}/{service}",
    "/a b/{service}",
    "/{service}/{service}",
    "/" + "a" * 200 + "/{service}",
    "/{account}{/{service}",
    "/{0}/{service}",
)


@pytest.mark.parametrize("path", NO_PATHS)
def test_a_path_that_is_none_is_refused_by_the_name_of_its_field(path):
    with pytest.raises(InvalidRequest, match=r"^path: got .*accepts a path such as /\{account\}/\{service\}"):
        validate(FrontEnd, {"address": "https://models.example.com", "path": path})


@pytest.mark.parametrize(
    ("name", "segment"), [("team", "team"), ("Team", "team"), ("te am", "te-am-"), ("é/../x", "-"), ("a.b", "a-b-")]
)
def test_an_account_of_any_name_is_one_segment(name, segment):
    led = FrontEnd(address="https://models.example.com", path="/{account}/{service}")
    path = led.service_path(Account("s", "g", name), "digits")
    assert path.startswith(f"/{segment}")
    assert path.count("/") == 2
    assert ".." not in path
