"""The autoscaler at work: out at once, in slowly, down to none and back."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from tests.compute.conftest import Start
from tests.compute.images import Made
from tests.compute.running import QUICK, Cluster, counted, scaled, until

type MakeImage = Callable[..., Made]


async def test_load_brings_replicas_and_rest_takes_them_away(cluster: Cluster, image: MakeImage) -> None:
    service = cluster.service()
    await service.deploy(image(), scaled(1, 3, slots=2))
    assert len(cluster.files("replicas/*")) == 1
    calls = [asyncio.create_task(service.call(sleep=2)) for _ in range(6)]
    await until(lambda: len(cluster.files("replicas/*")) == 3)
    assert {answer.status_code for answer in await asyncio.gather(*calls)} == {200}
    await until(lambda: len(cluster.files("replicas/*")) == 1)
    assert (await service.call()).status_code == 200


async def test_a_service_that_may_have_no_replica_starts_one_when_it_is_called(cluster: Cluster, image: MakeImage) -> None:
    service = cluster.service()
    await service.deploy(image(), scaled(0, 2))
    await until(lambda: not cluster.files("replicas/*"))
    answers = await asyncio.gather(*(service.call() for _ in range(5)))
    assert {answer.status_code for answer in answers} == {200}


async def test_only_so_many_wait_for_the_first_replica(start: Start, image: MakeImage) -> None:
    async with start(replace(QUICK, waiting_per_replica=2)) as cluster:
        service = cluster.service()
        await service.deploy(image(), scaled(0, 2))
        await until(lambda: not cluster.files("replicas/*"))
        answers = await asyncio.gather(*(service.call() for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 503, 503, 503]


async def test_an_update_starts_as_many_replicas_as_answer_now(cluster: Cluster, image: MakeImage) -> None:
    service = cluster.service()
    await service.deploy(image(), counted(3))
    second = await service.deploy(image(2), scaled(1, 2))
    assert len(cluster.files(f"replicas/{second.deployment_id}-*")) == 2
