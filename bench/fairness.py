"""How soon an account is served while another has 200 builds stuck. Run by `make bench NAME=fairness`."""

import asyncio
import logging
import os
import statistics
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from aiohttp import web

from bench.reporting.measures import at_most, noted
from local.azurite.server import free_ports
from local.demo.client import API_VERSION, Client
from local.home import Home
from local.stack import SUBSCRIPTION, Running, running_stack

STUCK = int(os.environ.get("SLIPWAY_BENCH_STUCK", "200"))
ROUNDS = 5
DRIVER = b"def run(body):\n    return body\n"
_DRIP = 12 * 1024
"""Bytes a second: above the least rate, so that no source is given up."""


class Sources:
    """A driver that comes at once, and one that hardly comes at all."""

    async def driver(self, _: web.Request) -> web.Response:
        """The first."""
        return web.Response(body=DRIVER)

    async def slow(self, request: web.Request) -> web.StreamResponse:
        """The second."""
        answer = web.StreamResponse(headers={"Content-Length": str(2**30)})
        await answer.prepare(request)
        with suppress(ConnectionError):  # the app is stopped at the end
            while True:
                await answer.write(b"#" * _DRIP)
                await asyncio.sleep(1)
        return answer


async def serving(port: int) -> web.AppRunner:
    """The sources, on that port."""
    sources, app = Sources(), web.Application()
    app.router.add_get("/driver.py", sources.driver)
    app.router.add_get("/slow.bin", sources.slow)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    return runner


def of_account(running: Running, name: str) -> Client:
    """A caller of that account."""
    url = running.base_url.replace("/accounts/local", f"/accounts/{name}")
    return Client(Running(**{**running.__dict__, "base_url": url}))


async def manifest(client: Client, *urls: str) -> str:
    """The id of a manifest whose driver is at the first of those, and whose other assets at the others."""
    body = {
        "name": "echo",
        "driverProgram": "driver",
        "assets": [{"id": "driver" if url == urls[0] else "other", "url": url} for url in urls],
        "targetRuntime": {"runtimeType": "Python", "properties": {}},
    }
    return str((await client.call("POST", "manifests", body, status=200)).json()["id"])


async def build(client: Client, manifest_id: str) -> Any:
    """What is answered to a build that was asked for."""
    compute = client.running.compute_resource_id
    body = {"name": "echo", "manifestId": manifest_id, "imageType": "Docker", "computeResourceId": compute}
    return await client.call("POST", "images", body, status=202)


async def create(client: Client, image_id: str, name: str) -> Any:
    """What is answered to a service that was asked for."""
    resource = {"id": client.running.compute_resource_id, "type": "Cluster"}
    body = {"name": name, "imageId": image_id, "computeResource": resource, "numReplicas": 0}
    return await client.call("POST", "services", body, status=202)


async def begun(client: Client, accepted: Any) -> float:
    """Seconds from now until that operation's first step runs, or has run."""
    began = time.monotonic()
    while (await client.get(accepted.headers["Operation-Location"]))["state"] == "NotStarted":  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    return time.monotonic() - began


async def measured(client: Client, manifest_id: str, image_id: str, prefix: str) -> tuple[float, float]:
    """Seconds until a build and a service begin, medians."""
    builds, services = [], []
    for number in range(ROUNDS):
        builds.append(await begun(client, accepted := await build(client, manifest_id)))
        await client.finished(accepted)
        services.append(await begun(client, accepted := await create(client, image_id, f"{prefix}-{number}")))
        await client.finished(accepted)
    return statistics.median(builds), statistics.median(services)


async def compare(running: Running, port: int) -> None:
    """Measure idle, and beside the stuck builds."""
    one, other = of_account(running, "local"), of_account(running, "other")
    quick = await manifest(other, f"http://127.0.0.1:{port}/driver.py")
    image_id = await other.finished(await build(other, quick))
    idle = await measured(other, quick, image_id, "idle")
    stuck = await manifest(one, f"http://127.0.0.1:{port}/driver.py", f"http://127.0.0.1:{port}/slow.bin")
    for _ in range(STUCK):
        await build(one, stuck)
    beside = await measured(other, quick, image_id, "beside")
    for what, alone, crowded in zip(("a build", "a service"), idle, beside, strict=True):
        at_most(f"{what} begins beside {STUCK} stuck builds of another account, against idle", crowded / alone, 2.0)
        noted("the same: idle, beside", f"{alone * 1000:.0f} ms, {crowded * 1000:.0f} ms")
    counts = {}
    for state in ("Running", "NotStarted"):
        url = f"{one.running.base_url}/operations?api-version={API_VERSION}&count=1000&state={state}"
        counts[state] = len((await one.get(url))["value"])
    noted("of the stuck builds: running, waiting", f"{counts['Running']}, {counts['NotStarted']}")
    await asyncio.gather(one.http.aclose(), other.http.aclose())


async def main() -> None:
    """Measure and print."""
    logging.getLogger().setLevel(logging.WARNING)
    port, api = free_ports(2)
    os.environ["SLIPWAY_ACCOUNTS"] = f"{SUBSCRIPTION}/local/other"
    os.environ["SLIPWAY_FETCH_ALLOW"] = f"127.0.0.1:{port}"
    sources = await serving(port)
    with tempfile.TemporaryDirectory() as folder:
        async with running_stack(Home(Path(folder) / "home"), api, Path(folder) / "cache") as running:
            await compare(running, port)
    await sources.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
