"""A replica's port is on loopback, where everybody on the machine reaches it: it answers only its front end."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.compute.images import Made, make_image
from tests.compute.running import KEYS, Service, counted, started, until

RUNTIME = Path(__file__).parents[2] / "runtime"
DRIVER = """
import logging, os
def run(body, request_headers):
    logging.warning("asked with %s", request_headers)
    return {"headers": dict(request_headers), "port": os.environ["SLIPWAY_PORT"]}
"""
CLOSED = [("POST", "/score"), ("GET", "/metrics"), ("HEAD", "/metrics"), ("GET", "/swagger.json"), ("GET", "/openapi.json")]
WITHOUT = [None, "Bearer", "Bearer ", f"Bearer {KEYS.primary_key}", f"Bearer {KEYS.secondary_key}", "Basic Og=="]


def real(layout: Path) -> Made:
    return make_image(layout, runtime=RUNTIME, **{"driver.py": DRIVER, "swagger.json": '{"swagger": "2.0"}'})


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    """A service of one replica with Slipway's own scoring server."""
    async with started(tmp_path / "state") as cluster:
        service = cluster.service()
        await service.deploy(real(tmp_path / "layout"), counted(1))
        yield service


async def port(service: Service) -> int:
    return int((await service.score())["port"])


def credential(service: Service) -> str:
    (file,) = service.cluster.files("replicas/*/keys/primary")
    return file.read_text()


async def raw(port: int, method: str, target: str, authorization: str | None) -> tuple[bytes, bytes]:
    """The first line and all of the answer to a stranger."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    sent = f"Authorization: {authorization}\r\n" if authorization is not None else ""
    head = f"{method} {target} HTTP/1.1\r\nHost: x\r\n{sent}Content-Length: 2\r\nConnection: close\r\n\r\n"
    writer.write(head.encode() + b"{}")
    answer = await reader.read()
    writer.close()
    return answer.partition(b"\r\n")[0], answer


@pytest.mark.parametrize(("method", "path"), CLOSED)
async def test_a_stranger_is_refused(service: Service, method: str, path: str) -> None:
    there = await port(service)
    for authorization in WITHOUT:
        first, _ = await raw(there, method, path, authorization)
        assert first.split()[1] == b"401"
        for target in (f"http://x{path}", f"{path}?a=b", f"/api/v1/service/digits{path}", f"/{path}"):
            first, _ = await raw(there, method, target, authorization)
            assert first.split()[1] in (b"401", b"400", b"404")


async def test_a_stranger_is_told_one_word_of_health(service: Service) -> None:
    first, answer = await raw(await port(service), "GET", "/", None)
    assert first.split()[1] == b"200"
    assert answer.endswith(b"\r\n\r\nHealthy")


async def test_callers_of_the_front_end_get_what_strangers_do_not(service: Service) -> None:
    key = {"Authorization": f"Bearer {KEYS.primary_key}"}
    described = await service.cluster.http.get(f"{service.address}/swagger.json", headers=key)
    assert (described.status_code, described.json()) == (200, {"swagger": "2.0"})
    assert (await service.cluster.http.get(f"{service.address}/", headers=key)).text == "Healthy"


async def test_the_credential_reaches_neither_callers_nor_the_driver_nor_a_log(service: Service) -> None:
    answer = await service.call(headers={"x-seen": "yes", "Connection": "authorization"})
    told = answer.json()["headers"]
    assert told["x-seen"] == "yes"
    assert "authorization" not in {name.lower() for name in told}
    (log,) = service.cluster.files("logs/*/*.log")
    await until(lambda: "POST /score 200" in log.read_text())
    assert "asked with" in log.read_text()
    said = log.read_text() + answer.text + json.dumps(list(answer.headers.items()))
    for secret in (credential(service), KEYS.primary_key):
        assert secret not in said


async def test_the_credential_is_the_user_s_own_file_and_each_replica_has_its_own(tmp_path: Path) -> None:
    async with started(tmp_path / "state") as cluster:
        await cluster.service().deploy(real(tmp_path / "layout"), counted(2))
        one, two = cluster.files("replicas/*/keys")
        assert [folder.stat().st_mode & 0o777 for folder in (one, two)] == [0o700, 0o700]
        assert (one / "primary").read_text() != (two / "primary").read_text()


async def test_the_credential_opens_what_is_closed(service: Service) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{await port(service)}") as front_end:
        front_end.headers["Authorization"] = f"Bearer {credential(service)}"
        assert "slipway_busy_ratio" in (await front_end.get("/metrics")).text
