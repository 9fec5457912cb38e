"""What the rollout makes of what answers at a service's health address, and whom it shows the key."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from uuid import uuid4

import pytest
from aiohttp import web

from shared.compute.kubernetes.objects.deployment import deployment, revision
from shared.domain.compute_resources import FrontEnd
from shared.domain.service_settings import ServiceSettings
from shared.domain.services import AuthKeys
from tests.clusters.controllers import READY
from tests.clusters.deployed import ONE, Deployed, deploying

REVISION = "x-slipway-revision"
type Says = Callable[[int], web.Response]


@dataclass
class Somebody:
    """Whoever answers at an address: what that is, and what it was sent."""

    says: Says = lambda _: web.Response(text="Healthy")
    address: str = ""
    sent: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        self.sent.append(request.headers.get("Authorization", ""))
        return self.says(len(self.sent))


@asynccontextmanager
async def somebody() -> AsyncIterator[Somebody]:
    there = Somebody()
    application = web.Application()
    application.router.add_get("/{path:.*}", there.answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    there.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield there
    finally:
        await runner.cleanup()


@pytest.fixture
async def answering() -> AsyncIterator[Somebody]:
    async with somebody() as there:
        yield there


@pytest.fixture
async def service(cluster, answering) -> AsyncIterator[Deployed]:
    """A service whose pods are ready, behind that."""
    async with deploying(cluster, front_end=FrontEnd(address=answering.address)) as deployed:
        await deployed.deploy()
        yield deployed


def revision_of(service: Deployed) -> str:
    return revision(deployment(service.spec, service.settings, 1))


def saying(*revisions: str) -> Says:
    """Answers 200, each time with the next of these revisions."""
    return lambda time: web.Response(text="Healthy", headers={REVISION: revisions[(time - 1) % len(revisions)]})


async def test_whoever_answers_200_without_a_revision_is_no_replica_of_this_deployment(service):
    looked = await service.looked()
    assert not looked.ready
    assert "/api/v1/service/digits/ answers 200 and tells no revision" in looked.waiting_for


async def test_replicas_of_another_revision_are_waited_out_even_where_one_of_several_answers(service, answering):
    ours = revision_of(service)
    for told in (("0123456789abcdef",), (ours, "0123456789abcdef"), (ours, ours, "0123456789abcdef")):
        answering.sent.clear()
        answering.says = saying(*told)
        looked = await service.looked()
        assert not looked.ready
        assert "answers 200 by a replica of another revision" in looked.waiting_for
    answering.says = saying(ours)
    assert (await service.looked()).ready


async def test_the_primary_key_is_sent_and_nowhere_else_than_to_the_front_end(service, answering):
    async with somebody() as elsewhere:
        for status in (301, 302, 307, 308):
            answering.says = lambda _, status=status: web.Response(
                status=status, headers={"Location": f"{elsewhere.address}/api/v1/service/digits/"}
            )
            assert f"answers {status}" in (await service.looked()).waiting_for
    assert set(answering.sent) == {f"Bearer {service.spec.keys.primary_key}"}
    assert elsewhere.sent == []


async def test_what_the_rollout_leaves_and_says_holds_no_key(service, answering, caplog):
    caplog.set_level("DEBUG")
    secret = AuthKeys(primary_key="a-key-nobody-may-see", secondary_key="another")
    looks = [await service.compute.rollout(replace(service.spec, keys=secret), {})]
    answering.says = lambda _: web.Response(status=500)
    looks.append(await service.compute.rollout(replace(service.spec, keys=secret), {}))
    assert answering.sent[-1] == "Bearer a-key-nobody-may-see"
    assert "a-key-nobody-may-see" not in f"{looks}{caplog.text}"


async def test_a_parked_service_is_expected_to_answer_503_and_no_revision(service, answering):
    parked = await service.deploy(service.but(settings=ServiceSettings(num_replicas=0)))
    answering.says = saying(revision_of(service))
    assert "answers 200" in (await service.looked(spec=parked)).waiting_for
    answering.says = lambda _: web.Response(status=503)
    assert (await service.looked(spec=parked)).ready


async def test_the_scoring_servers_own_answer_is_what_the_rollout_wants(cluster):
    async with deploying(cluster) as service:
        before = await service.deploy()
        assert (await service.looked()).ready
        assert (await service.looked(spec=service.but(settings=with_slots(3)))).waiting_for
        after = await service.deploy(service.but(settings=with_slots(3)), READY)
        assert (await service.looked(spec=after)).ready
        assert "of another revision" in (await service.looked(spec=before)).waiting_for


async def test_keys_that_the_pods_do_not_have_yet_are_waited_for(cluster):
    async with deploying(cluster) as service:
        await service.deploy()
        newer = service.but(keys=AuthKeys(primary_key=str(uuid4()), secondary_key="second"))
        assert "one that has not read its keys yet" in (await service.looked(spec=newer)).waiting_for
        await service.compute.ensure_keys(service.spec.service_id, newer.keys)
        assert (await service.looked(spec=newer)).ready


def with_slots(slots: int) -> ServiceSettings:
    return ONE.but(max_concurrent_requests_per_container=slots)
