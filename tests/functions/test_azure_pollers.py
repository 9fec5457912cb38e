"""The pollers of Azure's SDKs follow an operation by its headers and its `status`. Source: azure-core, LROBasePolling."""

from collections.abc import Iterator

import pytest
from azure.core import PipelineClient
from azure.core.exceptions import HttpResponseError
from azure.core.pipeline.policies import HeadersPolicy, RequestIdPolicy
from azure.core.polling import LROPoller
from azure.core.polling.base_polling import LROBasePolling
from azure.core.rest import HttpRequest

from shared.domain.operations import State


@pytest.fixture
def client(stack, api) -> Iterator[PipelineClient]:
    headers = HeadersPolicy({"Authorization": api.headers["Authorization"]})
    with PipelineClient(stack.description["baseUrl"], policies=[RequestIdPolicy(), headers]) as made:
        yield made


def poller(client: PipelineClient, road, manifest: str) -> LROPoller:
    body = {"name": "echo", "manifestId": manifest, "imageType": "Docker", "computeResourceId": road.compute["id"]}
    request = HttpRequest("POST", "/images?api-version=2017-09-01-preview", json=body)
    request.url = client.format_url(request.url)
    accepted = client.send_request(request, stream=False, _return_pipeline_response=True)
    polling = LROBasePolling(timeout=30, lro_options={"final-state-via": "operation-location"})
    return LROPoller(client, accepted, lambda response: response.http_response.json(), polling)


def test_a_poller_of_azures_own_sees_a_build_succeed(client, road):
    polled = poller(client, road, road.manifest())
    assert polled.result(120)["state"] == "Succeeded"
    assert polled.status() == "Succeeded"


def test_a_poller_of_azures_own_sees_a_build_fail(client, road):
    polled = poller(client, road, road.manifest(requirements=b"no-such-package-of-slipways\n"))
    with pytest.raises(HttpResponseError):
        polled.result(120)
    assert polled.status() == "Failed"


def test_the_202_says_when_to_look_first(api, road):
    assert road.build(road.manifest()).headers["Retry-After"] == "1"


@pytest.mark.parametrize("state", list(State))
def test_a_status_is_the_state_with_azures_spelling(state):
    assert state.status.lower() in ("notstarted", "running", "succeeded", "failed", "canceled")
    assert (state.status == state) == (state is not State.CANCELLED)
