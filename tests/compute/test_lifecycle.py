"""Services outlive the node; replicas do not. Removal leaves nothing."""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from local.compute.serving import Options, StateInUse, serving
from shared.compute.local_process import LocalProcessCompute
from shared.domain.accounts import Account
from shared.domain.computing import LogQuery
from shared.domain.errors import Conflict, NotFound, ServiceError, Unavailable
from shared.domain.service_settings import ModelDataCollection
from shared.domain.services import AuthKeys
from tests.compute.conftest import Start
from tests.compute.images import Made
from tests.compute.running import KEYS, QUICK, TOKEN, Cluster, Process, alive, counted, until

type MakeImage = Callable[..., Made]

NEVER = "00000000-0000-4000-8000-000000000000"


async def test_a_restarted_node_brings_its_services_back(start: Start, image: MakeImage) -> None:
    async with start() as cluster:
        service = cluster.service()
        spec = await service.deploy(image(answer="one"), counted(2))
        await cluster.compute.ensure_keys(service.id, AuthKeys(primary_key="new", secondary_key="newer"))
        pid = (await service.call("new")).json()["pid"]
    assert not alive(pid)
    async with start() as cluster:
        back = cluster.service(id=service.id)
        assert (await cluster.compute.rollout(spec, {})).ready
        statuses = [(await back.call("new")).status_code]
        while statuses[-1] != 200:
            statuses.append((await back.call("new")).status_code)
        assert set(statuses) <= {503, 200}
        assert (await back.call(KEYS.primary_key)).status_code == 401


async def test_a_restarted_node_goes_on_with_what_was_pending(start: Start, image: MakeImage) -> None:
    async with start() as cluster:
        service = cluster.service()
        await service.deploy(image(answer="one"))
        pending = service.spec(image(2, answer="two", slow="0.5"))
        await cluster.compute.ensure_deployment(pending)
    async with start() as cluster:
        back = cluster.service(id=service.id)
        assert await back.outcome(pending) is None
        assert (await back.score())["answer"] == "two"


async def test_a_restarted_node_still_knows_what_failed(start: Start, image: MakeImage) -> None:
    async with start() as cluster:
        service = cluster.service()
        failing = service.spec(image(fails="no such model"))
        await cluster.compute.ensure_deployment(failing)
        error = await service.outcome(failing)
    async with start() as cluster:
        assert (await cluster.compute.rollout(failing, {})).error == error


async def test_a_withdrawn_service_takes_no_calls_and_those_under_way_finish(cluster: Cluster, image: MakeImage) -> None:
    service = cluster.service()
    spec = await service.deploy(image())
    under_way = await service.under_way(sleep=0.5)
    for _ in range(2):
        await cluster.compute.ensure_withdrawn(service.id)
        assert (await service.call()).status_code == 404
    with pytest.raises(Conflict):
        await cluster.compute.ensure_deployment(service.spec(image(2)))
    await cluster.compute.ensure_removed(service.id)
    assert under_way.done()
    assert (await under_way).status_code == 200
    with pytest.raises(NotFound):
        await cluster.compute.rollout(spec, {})


async def test_a_withdrawn_service_stays_so_when_the_node_restarts(start: Start, image: MakeImage) -> None:
    async with start() as cluster:
        service = cluster.service()
        await service.deploy(image())
        await cluster.compute.ensure_withdrawn(service.id)
    async with start() as cluster:
        assert (await cluster.service(id=service.id).call()).status_code == 404
        assert not cluster.files("replicas/*")
        await cluster.compute.ensure_removed(service.id)
        assert not cluster.files("services/*")


async def test_a_service_withdrawn_before_it_was_deployed_never_takes_calls(cluster: Cluster, image: MakeImage) -> None:
    service = cluster.service()
    await cluster.compute.ensure_withdrawn(service.id)
    with pytest.raises(Conflict):
        await cluster.compute.ensure_deployment(service.spec(image()))


async def test_nothing_of_a_removed_service_is_left(cluster: Cluster, image: MakeImage) -> None:
    service = cluster.service()
    await service.deploy(image(), counted(2))
    pid = (await service.score())["pid"]
    pending = service.spec(image(2, slow="60"))
    await cluster.compute.ensure_deployment(pending)
    for _ in range(2):
        await cluster.compute.ensure_removed(service.id)
    assert not alive(pid)
    await until(lambda: not any(cluster.files(f"{kind}/*") for kind in ("services", "replicas", "logs", "images")))
    await cluster.service().deploy(image(answer="another"))


async def test_two_removals_at_once_both_wait_for_the_end(cluster: Cluster, image: MakeImage) -> None:
    service = cluster.service()
    await service.deploy(image())
    under_way = await service.under_way(sleep=0.5)

    async def remove() -> bool:
        await cluster.compute.ensure_removed(service.id)
        return under_way.done() and not cluster.files("replicas/*")

    assert await asyncio.gather(remove(), remove()) == [True, True]


async def test_a_name_is_one_services_on_this_machine(cluster: Cluster, image: MakeImage) -> None:
    await cluster.service().deploy(image())
    other = cluster.service(account=Account("s", "other", "account"))
    with pytest.raises(Conflict) as refused:
        await cluster.compute.ensure_deployment(other.spec(image()))
    assert refused.value.code == "ServiceNameTaken"


async def test_a_replica_knows_its_service_and_nothing_of_the_nodes_secrets(
    cluster: Cluster, image: MakeImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AzureWebJobsStorage", "a connection string")
    service = cluster.service()
    collecting = counted(1, slots=7).but(data_collection=ModelDataCollection(storage_enabled=True))
    await service.deploy(image(5), collecting)
    told = await service.score()
    environment, app = told["environment"], told["cwd"]
    expected = {
        "SERVICE_NAME": "digits",
        "SERVICE_PATH_PREFIX": "api/v1/service/digits",
        "SERVICE_VERSION": "5",
        "AML_APP_INSIGHTS_ENABLED": "false",
        "AML_MODEL_DC_STORAGE_ENABLED": "true",
        "AML_MODEL_DC_EVENT_HUB_ENABLED": "false",
        "SLIPWAY_MAX_CONCURRENCY": "7",
        "SLIPWAY_DRIVER": "driver.py",
    }
    assert expected.items() <= environment.items()
    assert "AzureWebJobsStorage" not in environment
    assert environment["SLIPWAY_DEPENDENCIES"].endswith("/opt/slipway/python")
    assert app.endswith("/app")
    assert cluster.files("replicas/*/app/written"), "the one folder is writable"
    assert not cluster.files("images/*/var/azureml-app/written"), "and each replica has its own"


async def test_the_control_api_needs_its_token(cluster: Cluster) -> None:
    stranger = LocalProcessCompute(cluster.addresses.control, "another token", cluster.addresses.front_end)
    with pytest.raises(ServiceError) as refused:
        await stranger.ensure_withdrawn(NEVER)
    assert refused.value.code == "ComputeUnauthorized"
    assert not refused.value.retryable
    assert (await cluster.http.get(cluster.addresses.control)).text == "Healthy"


async def test_an_id_that_is_a_path_is_refused(cluster: Cluster) -> None:
    with pytest.raises(NotFound):
        await cluster.compute.ensure_withdrawn("..%2F..%2Fescape")
    assert not cluster.files("**/escape*")


async def test_a_node_that_is_away_is_unavailable() -> None:
    away = LocalProcessCompute("http://127.0.0.1:1", TOKEN, "http://127.0.0.1:2")
    with pytest.raises(Unavailable):
        await away.ensure_withdrawn(NEVER)


async def test_what_replicas_printed_is_told_with_the_paths_of_the_image(cluster: Cluster, image: MakeImage) -> None:
    service = cluster.service()
    failing = service.spec(image(fails="no such model"))
    await cluster.compute.ensure_deployment(failing)
    assert await service.outcome(failing) is not None
    (log,) = await cluster.compute.logs(service.id, LogQuery(tail=50))
    printed = "\n".join(log.lines)
    assert "no such model" in printed
    assert "/opt/slipway/runtime" in printed
    assert str(cluster.state) not in printed
    assert not await cluster.compute.logs(service.id, LogQuery(tail=50, replica="another"))


async def test_two_nodes_never_share_a_folder(cluster: Cluster) -> None:
    with pytest.raises(StateInUse):
        async with serving(Options(cluster.state, 0, 0, TOKEN), limits=QUICK):
            pass


async def test_a_killed_node_takes_its_replicas_with_it(tmp_path: Path, image: MakeImage) -> None:
    async with Process(tmp_path / "state") as node, httpx.AsyncClient() as http:
        cluster = Cluster(await node.addresses(), tmp_path / "state", http)
        service = cluster.service()
        await service.deploy(image(), counted(2))
        pids = {(await service.score())["pid"] for _ in range(4)}
        node.process.send_signal(signal.SIGKILL)
        await until(lambda: not any(map(alive, pids)))
    async with Process(tmp_path / "state") as node, httpx.AsyncClient() as http:
        cluster = Cluster(await node.addresses(), tmp_path / "state", http)
        back = cluster.service(id=service.id)
        statuses = [(await back.call()).status_code]
        while statuses[-1] != 200:
            statuses.append((await back.call()).status_code)
        assert set(statuses) <= {503, 200}
        pid = (await back.score())["pid"]
        node.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(node.process.wait(), 8) == 0
        assert not alive(pid)


async def test_a_node_ends_with_its_parent(tmp_path: Path) -> None:
    async with Process(tmp_path / "state") as node:
        await node.addresses()
        node.process.stdin.close()
        assert await asyncio.wait_for(node.process.wait(), 8) == 0
