"""What a cluster has against a service's route is found where it says so, and told."""

from datetime import timedelta

import pytest

from shared.compute.kubernetes.routing import route_error, what_is_said_of
from shared.domain.compute_resources import FrontEnd, FrontEndKind
from tests.clusters.controllers import MERGE
from tests.clusters.deployed import deploying
from tests.clusters.told import NOW, condition

NOT_ALLOWED = {"reason": "NotAllowedByListeners", "message": "no listener allows this namespace"}


def http_route(*conditions):
    parents = [{"parentRef": {"name": "public"}, "conditions": list(conditions)}] if conditions else []
    return {"kind": "HTTPRoute", "spec": {"parentRefs": [{"name": "public"}]}, "status": {"parents": parents}}


@pytest.mark.parametrize("kind", ["Accepted", "ResolvedRefs"])
def test_a_gateway_that_does_not_take_a_route_says_why(kind):
    refused = http_route(condition(kind, "False", 120, **NOT_ALLOWED))
    said = what_is_said_of(refused)
    assert said == (
        "The Gateway public does not take the HTTPRoute (NotAllowedByListeners): no listener allows this namespace"
    )
    error = route_error(refused, NOW, timedelta(minutes=1))
    assert (error.code, error.details[0].code) == ("FrontEndRefused", "NotAllowedByListeners")
    assert route_error(refused, NOW, timedelta(minutes=5)) is None


def test_a_route_that_is_taken_has_no_error():
    taken = http_route(condition("Accepted", "True", 900), condition("ResolvedRefs", "True", 900))
    assert (what_is_said_of(taken), route_error(taken, NOW, timedelta(0))) == ("", None)


NOT_ITS_OWN = condition("Accepted", "False", 900, reason="NoMatchingParent")
TAKEN = [condition("Accepted", "True", 900), condition("ResolvedRefs", "True", 900)]


@pytest.mark.parametrize("order", [1, -1])
def test_a_gateway_of_which_one_controller_takes_the_route_takes_it(order):
    own = {"parentRef": {"name": "public"}, "controllerName": "example.com/one", "conditions": TAKEN}
    other = {"parentRef": {"name": "public"}, "controllerName": "example.com/two", "conditions": [NOT_ITS_OWN]}
    route = {**http_route(), "status": {"parents": [own, other][::order]}}
    assert (what_is_said_of(route), route_error(route, NOW, timedelta(0))) == ("", None)


def test_what_is_said_of_a_gateway_that_the_route_does_not_name_any_more_is_past():
    before = {"parentRef": {"name": "old"}, "controllerName": "example.com/one", "conditions": [NOT_ITS_OWN]}
    route = {**http_route(), "status": {"parents": [before]}}
    assert what_is_said_of(route).endswith("is there a Gateway public?")
    assert route_error(route, NOW, timedelta(0)) is None


def test_what_is_said_of_the_route_as_it_was_before_is_past():
    refused = http_route({**NOT_ITS_OWN, "observedGeneration": 1})
    assert route_error({**refused, "metadata": {"generation": 1}}, NOW, timedelta(0)) is not None
    assert route_error({**refused, "metadata": {"generation": 2}}, NOW, timedelta(0)) is None


def test_a_route_that_no_controller_has_looked_at_asks_for_its_gateway():
    assert what_is_said_of(http_route()).endswith("is there a Gateway public?")
    assert route_error(http_route(), NOW, timedelta(0)) is None


def test_an_ingress_without_an_address_asks_for_its_controller():
    ingress = {"kind": "Ingress", "spec": {"ingressClassName": "nginx"}}
    assert what_is_said_of(ingress).endswith("is there one of the class nginx?")
    assert what_is_said_of({**ingress, "status": {"loadBalancer": {"ingress": [{"ip": "20.1.2.3"}]}}}) == ""


async def test_a_rollout_behind_a_gateway_that_refuses_it_fails_with_the_gateways_words(cluster):
    refusing = FrontEnd(address="http://127.0.0.1:9", kind=FrontEndKind.GATEWAY, gateway="public")
    async with deploying(cluster, front_end=refusing) as service:
        await service.deploy()
        assert "is there a Gateway public?" in (await service.looked()).waiting_for
        since = {"lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1}
        refusal = {"type": "Accepted", "status": "False", **NOT_ALLOWED, **since}
        parent = {"parentRef": {"name": "public"}, "controllerName": "example.com/gateway", "conditions": [refusal]}
        path = cluster.path("gateway.networking.k8s.io/v1", "httproutes", service.name)
        await cluster.request("PATCH", f"{path}/status", {"status": {"parents": [parent]}}, content_type=MERGE)
        error = (await service.looked()).error
        assert error.code == "FrontEndRefused"
        assert "no listener allows this namespace" in error.message
        service.clock.ahead = timedelta(minutes=6)
        seen = await service.compute.survey(service.spec.account, [service.spec], [service.spec.service_id])
        assert seen.services[service.spec.service_id].error.code == "FrontEndRefused"
