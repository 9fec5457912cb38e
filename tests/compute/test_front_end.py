"""The front end: addresses, keys, slots, headers, and what callers get when something goes wrong."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from yarl import URL

from shared.domain.services import AuthKeys
from tests.compute.conftest import Start
from tests.compute.images import Made, make_image
from tests.compute.running import KEYS, QUICK, Cluster, Service, counted, started, until

type MakeImage = Callable[..., Made]

BEARER = {"Authorization": f"Bearer {KEYS.primary_key}"}


@pytest.fixture(scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """A service with one replica of two slots, which no test changes."""
    folder = tmp_path_factory.mktemp("front-end")
    async with started(folder / "state") as cluster:
        service = cluster.service()
        await service.deploy(make_image(folder / "layout", answer="one"), counted(1, slots=2))
        yield service


async def test_both_keys_are_good_and_no_other_is(service: Service) -> None:
    assert (await service.call(KEYS.primary_key)).status_code == 200
    assert (await service.call(KEYS.secondary_key)).status_code == 200
    refused = await service.call("another")
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"] == "Bearer"
    assert refused.json()["code"] == "Unauthenticated"
    assert refused.json()["statusCode"] == 401


@pytest.mark.parametrize("authorization", [None, b"Basic eDp5", b"Bearer", b"Bearer \xff\xfe"])
async def test_a_call_without_a_key_is_refused(service: Service, authorization: bytes | None) -> None:
    headers = {b"Authorization": authorization} if authorization else {}
    for path in ("/swagger.json", "/openapi.json"):
        assert (await service.cluster.http.get(service.address + path, headers=headers)).status_code == 401
    health = await service.cluster.http.get(f"{service.address}/", headers=headers)
    assert (health.status_code, health.text, "x-slipway-revision" in health.headers) == (200, "Healthy", False)


async def test_a_stranger_is_told_no_version_of_anything(service: Service) -> None:
    for path in ("/", "/score", "/swagger.json"):
        answer = await service.cluster.http.get(service.address + path)
        told = f"{answer.headers} {answer.text}".lower()
        assert not [word for word in ("aiohttp", "python", "x-slipway-revision", "sha256") if word in told], told


async def test_who_sends_a_key_is_told_which_deployment_answers(cluster: Cluster, image: MakeImage) -> None:
    service = cluster.service()
    for version in (1, 2):
        spec = await service.deploy(image(version))
        for key in (KEYS.primary_key, KEYS.secondary_key):
            health = await cluster.http.get(f"{service.address}/", headers={"Authorization": f"Bearer {key}"})
            assert (health.text, health.headers["x-slipway-revision"]) == ("Healthy", spec.deployment_id)


async def test_a_health_check_takes_no_slot_and_waits_in_no_line(start: Start, image: MakeImage) -> None:
    async with start(replace(QUICK, waiting_per_replica=0)) as cluster:
        service = cluster.service()
        await service.deploy(image(), counted(1, slots=1))
        at_work = await service.under_way(sleep=9)
        assert (await service.call()).status_code == 503
        assert (await cluster.http.get(f"{service.address}/")).status_code == 200
        at_work.cancel()
        await asyncio.wait([at_work])


async def test_a_service_without_replicas_is_not_healthy(cluster: Cluster, image: MakeImage) -> None:
    service = cluster.service()
    await service.deploy(image(), counted(0))
    assert (await cluster.http.get(f"{service.address}/")).status_code == 503


async def test_new_keys_count_from_the_moment_they_are_set(cluster: Cluster, image: MakeImage) -> None:
    service = cluster.service()
    await service.deploy(image())
    await service.cluster.compute.ensure_keys(service.id, AuthKeys(primary_key="new", secondary_key=KEYS.secondary_key))
    assert (await service.call(KEYS.primary_key)).status_code == 401
    assert (await service.call("new")).status_code == 200
    assert (await service.call(KEYS.secondary_key)).status_code == 200


async def test_an_update_that_read_the_keys_early_brings_no_old_one_back(cluster: Cluster, image: MakeImage) -> None:
    service = cluster.service()
    await service.deploy(image())
    await service.cluster.compute.ensure_keys(service.id, AuthKeys(primary_key="new", secondary_key="newer"))
    await service.deploy(image(2), keys=KEYS)
    assert (await service.call(KEYS.primary_key)).status_code == 401
    assert (await service.call("new")).status_code == 200


async def test_keys_are_kept_nowhere(service: Service) -> None:
    kept = b"".join(path.read_bytes() for path in service.cluster.state.rglob("*") if path.is_file())
    assert KEYS.primary_key.encode() not in kept
    assert KEYS.secondary_key.encode() not in kept


async def test_a_service_that_is_not_there_is_not_found(service: Service) -> None:
    answer = await service.cluster.service("unknown").call()
    assert answer.status_code == 404
    assert answer.json()["code"] == "ServiceNotFound"


async def test_names_are_case_sensitive(service: Service) -> None:
    address = service.address.replace("digits", "Digits")
    assert (await service.cluster.http.post(f"{address}/score", headers=BEARER)).status_code == 404


async def test_health_and_swagger_are_the_replicas_own(service: Service) -> None:
    health = await service.cluster.http.get(f"{service.address}/", headers=BEARER)
    assert (health.status_code, health.text) == (200, "Healthy")
    swagger = await service.cluster.http.get(f"{service.address}/swagger.json", headers=BEARER)
    assert (swagger.status_code, swagger.json()) == (404, {"no": "swagger"})


async def test_other_paths_and_methods_are_refused(service: Service) -> None:
    http = service.cluster.http
    assert (await http.get(f"{service.address}/metrics", headers=BEARER)).json()["code"] == "NotFound"
    answer = await http.get(f"{service.address}/score", headers=BEARER)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
    assert answer.json()["code"] == "MethodNotAllowed"


async def test_a_replica_gets_the_call_without_the_key_and_the_caller_the_answer_without_its_connection(
    service: Service,
) -> None:
    headers = {"x-kept": "yes", "Connection": "keep-alive, x-dropped", "x-dropped": "no"}
    answer = await service.call(headers=headers)
    told = {name.lower(): value for name, value in answer.json()["headers"].items()}
    assert told["x-kept"] == "yes"
    assert told["content-type"] == "application/json"
    assert not {"authorization", "x-dropped"} & told.keys()
    assert "x-one-hop" not in answer.headers
    assert answer.json()["path"] == "/score"


async def test_the_query_is_passed_on_as_it_is(service: Service) -> None:
    answer = await service.cluster.http.post(f"{service.address}/score?a=b%20c&d", headers=BEARER)
    assert answer.json()["path"] == "/score?a=b%20c&d"


async def test_a_requests_id_is_passed_on_or_made(service: Service) -> None:
    answer = await service.call(headers={"x-request-id": "mine"})
    assert answer.headers["x-request-id"] == "mine"
    assert answer.json()["headers"]["x-request-id"] == "mine"
    made = await service.call()
    assert made.headers["x-request-id"] == made.json()["headers"]["x-request-id"]
    assert (await service.call("another")).headers["x-request-id"]


async def test_a_replica_never_works_on_more_than_its_slots(service: Service) -> None:
    told = await asyncio.gather(*(service.score(sleep=0.02) for _ in range(10)))
    assert max(each["peak"] for each in told) == 2


async def test_past_the_slots_and_the_places_to_wait_callers_are_sent_away_at_once(start: Start, image: MakeImage) -> None:
    async with start(replace(QUICK, waiting_per_replica=3)) as cluster:
        service = cluster.service()
        await service.deploy(image(), counted(1, slots=2))
        calls = [asyncio.create_task(service.call(sleep=0.5)) for _ in range(7)]
        first, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        answers = await asyncio.gather(*calls)
    statuses = [answer.status_code for answer in answers]
    assert sorted(statuses) == [200] * 5 + [503] * 2
    assert {each.result().status_code for each in first} == {503}
    sent_away = answers[statuses.index(503)]
    assert sent_away.headers["Retry-After"] == "1"
    assert sent_away.json()["code"] == "TooManyRequests"


async def test_a_caller_that_goes_away_frees_its_place(start: Start, image: MakeImage) -> None:
    async with start(replace(QUICK, waiting_per_replica=1)) as cluster:
        service = cluster.service()
        await service.deploy(image(), counted(1, slots=1))
        at_work = await service.under_way(sleep=9)
        others = [asyncio.create_task(service.call(sleep=9)) for _ in range(2)]
        (sent_away,), (waiting,) = await asyncio.wait(others, return_when=asyncio.FIRST_COMPLETED)
        assert sent_away.result().status_code == 503, "one is at work, and one has the place to wait"
        for call in (at_work, waiting):
            call.cancel()
        await asyncio.wait([at_work, waiting])
        async with asyncio.timeout(5):  # their connections close
            while (answer := await service.call()).status_code == 503:
                pass
        assert answer.status_code == 200


async def test_the_least_busy_replica_has_the_next_request(cluster: Cluster, image: MakeImage) -> None:
    service = cluster.service()
    await service.deploy(image(), counted(2, slots=4))
    told = await asyncio.gather(*(service.score(sleep=0.2) for _ in range(8)))
    assert max(each["peak"] for each in told) == 4
    assert len({each["pid"] for each in told}) == 2


async def test_a_request_that_takes_too_long_is_answered_504(start: Start, image: MakeImage) -> None:
    async with start(replace(QUICK, request_timeout=0.3)) as cluster:
        service = cluster.service()
        await service.deploy(image())
        answer = await service.call(sleep=3)
    assert (answer.status_code, answer.json()["code"]) == (504, "RequestTimedOut")


async def test_a_body_past_the_limit_is_refused(start: Start, image: MakeImage) -> None:
    async with start(replace(QUICK, most_body=1000)) as cluster:
        service = cluster.service()
        await service.deploy(image())
        assert (await service.call(padding="x" * 900)).status_code == 200
        answer = await service.call(padding="x" * 1000)
    assert (answer.status_code, answer.json()["code"]) == (413, "TooLarge")


async def test_a_body_that_never_arrives_takes_no_slot(start: Start, image: MakeImage) -> None:
    async with start(replace(QUICK, request_timeout=2)) as cluster:
        service = cluster.service()
        await service.deploy(image(), counted(1, slots=1))
        reader, writer = await asyncio.open_connection("127.0.0.1", int(cluster.addresses.front_end.rpartition(":")[2]))
        head = f"POST /api/v1/service/digits/score HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEYS.primary_key}\r\n"
        writer.write(f"{head}Content-Length: 10\r\n\r\n{{".encode())
        assert (await service.call()).status_code == 200
        assert b" 408 " in await reader.readline()
        writer.close()
        await writer.wait_closed()


async def test_a_caller_may_ask_before_it_sends_its_body(service: Service) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(service.cluster.addresses.front_end.rpartition(":")[2]))
    head = f"POST /api/v1/service/digits/score HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEYS.primary_key}\r\n"
    writer.write(f"{head}Expect: 100-continue\r\nContent-Length: 2\r\n\r\n".encode())
    assert b"100 Continue" in await reader.readline()
    writer.write(b"{}")
    await reader.readline()
    assert b" 200 " in await reader.readline()
    writer.close()
    await writer.wait_closed()


async def test_what_a_compressed_body_holds_is_the_replicas_to_find_out(service: Service) -> None:
    body = json.dumps({}).encode()  # the replica here does not mind
    answer = await service.cluster.http.post(
        f"{service.address}/score", headers=BEARER | {"Content-Encoding": "gzip"}, content=body
    )
    assert answer.json()["headers"]["Content-Encoding"] == "gzip"


async def test_a_replica_that_dies_under_a_request_is_a_502_and_comes_back(cluster: Cluster, image: MakeImage) -> None:
    service = cluster.service()
    await service.deploy(image())
    pid = (await service.score())["pid"]
    died = await service.call(die=3)
    assert (died.status_code, died.json()["code"]) == (502, "ReplicaFailed")
    away = await service.call()
    assert (away.status_code, away.json()["code"]) == (503, "NoReplica")
    assert "Retry-After" in away.headers
    statuses: list[int] = []
    while not statuses or statuses[-1] != 200:
        statuses.append((await service.call()).status_code)
    assert (await service.score())["pid"] != pid


async def test_when_one_replica_dies_the_others_answer(cluster: Cluster, image: MakeImage) -> None:
    service = cluster.service()
    await service.deploy(image(), counted(2))
    assert (await service.call(die=3)).status_code == 502
    await until(lambda: len(cluster.files("replicas/*")) < 2)
    assert [(await service.call()).status_code for _ in range(20)] == [200] * 20


async def test_a_parked_service_sends_its_callers_away(cluster: Cluster, image: MakeImage) -> None:
    service = cluster.service()
    await service.deploy(image(), counted(0))
    answer = await service.call()
    assert (answer.status_code, answer.json()["code"]) == (503, "NoReplica")


@asynccontextmanager
async def connected(service: Service) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    url = URL(service.address)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@pytest.mark.parametrize("sent", [b"", b"POST /score HTTP/1.1\r\nHost: a\r\n"], ids=["nothing", "half"])
async def test_a_connection_on_which_no_request_comes_is_ended(service: Service, sent: bytes) -> None:
    async with connected(service) as (reader, writer):
        writer.write(sent)
        async with asyncio.timeout(10):
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
        assert reader.at_eof() or reader.exception()


async def test_a_connection_that_brought_a_request_stays(service: Service) -> None:
    request = f"GET {URL(service.address).path}/ HTTP/1.1\r\nHost: a\r\n\r\n".encode()
    async with connected(service) as (reader, writer), connected(service) as (silent, _):
        writer.write(request)
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 ")
        async with asyncio.timeout(10):  # by then the other's time is over, and this one would have ended, too
            with contextlib.suppress(ConnectionResetError):
                await silent.read()
        assert not reader.at_eof()
        writer.write(request)
        assert b"HTTP/1.1 " in await reader.readuntil(b"HTTP/1.1 ")


async def test_no_answer_is_sniffed(service: Service) -> None:
    assert (await service.call()).headers["X-Content-Type-Options"] == "nosniff"
    assert (await service.call("another")).headers["X-Content-Type-Options"] == "nosniff"
