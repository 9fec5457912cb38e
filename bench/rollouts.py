"""What services on a cluster cost: 200 created at once through the API, on the API server stand-in of the tests, whose
controllers are played here. No process runs in a pod, but what answers for its health is the scoring server's own code.
Run by `make bench NAME=rollouts`. Needs Debian's docker-registry.
"""

import asyncio
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from bench.reporting.measures import at_least, at_most, noted
from local.azurite.server import free_ports
from local.home import Home
from local.stack import Running, running_stack
from local.upload import Uploads
from tests.clusters.cluster import Cluster, running_cluster
from tests.clusters.controllers import Controllers
from tests.clusters.front_end.played import FrontEndOfTest
from tests.images.bases import push_base, small_layer
from tests.registries.running import registry

SERVICES = int(os.environ.get("SLIPWAY_BENCH_SERVICES", "200"))
ASKED_AT_ONCE = 32
DRIVER = b"def init():\n    pass\n\n\ndef run(body):\n    return body\n"
VERSION = {"api-version": "2017-09-01-preview"}
IMPORTING = """
import sys, time
sys.modules["kubernetes_validate"] = None  # a tool of the tests, which the client would import
began = time.perf_counter()
import shared.compute.kubernetes.clusters
from kubernetes.aio.client import ApiClient
print(time.perf_counter() - began)
"""


class PlayedCluster:
    """Controllers that roll out what is applied; the Deployment of `slow` only when that is allowed."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._controllers = Controllers(cluster)
        self._done: set[str] = set()
        self.slow = ""
        self.slow_may = False

    async def play(self) -> None:
        while True:
            path = self._cluster.path("apps/v1", "deployments")
            for deployment in (await self._cluster.request("GET", path))["items"]:
                name = deployment["metadata"]["name"]
                waits = deployment["metadata"]["labels"]["slipway.io/service-name"] == self.slow and not self.slow_may
                if name not in self._done and not waits:
                    await self._controllers.roll_out(name)
                    self._done.add(name)
            await asyncio.sleep(0.2)


@asynccontextmanager
async def a_stack(folder: Path, kubeconfig: str, registry_host: str) -> AsyncIterator[Running]:
    push_base(registry_host, "base/python", small_layer())  # no pod runs: what matters of the base is that it is there
    os.environ |= {
        "SLIPWAY_KUBECONFIG_BENCH": kubeconfig,
        "SLIPWAY_REGISTRY": f"{registry_host}/slipway",
        "SLIPWAY_BASE_IMAGE_PYTHON": f"{registry_host}/base/python:1",
    }
    async with running_stack(Home(folder / "home"), free_ports(1)[0], folder / "cache") as running:
        yield running


class Api:
    """What a client does."""

    def __init__(self, running: Running, client: httpx.AsyncClient) -> None:
        self._running = running
        self._client = client

    async def call(self, method: str, path: str, body: Any = None) -> httpx.Response:
        url = path if path.startswith("http") else f"{self._running.base_url}/{path}"
        headers = {"Authorization": f"Bearer {self._running.token}"}
        answer = await self._client.request(method, url, params=VERSION, json=body, headers=headers)
        answer.raise_for_status()
        return answer

    async def ended(self, accepted: httpx.Response) -> dict[str, Any]:
        while True:
            operation: dict[str, Any] = (await self.call("GET", accepted.headers["Operation-Location"])).json()
            if operation["state"] not in ("NotStarted", "Running"):
                return operation
            await asyncio.sleep(1)

    async def image(self) -> str:
        uploads = Uploads(self._running.blob_connection_string, self._running.blob_endpoint)
        url = await uploads.put("driver.py", DRIVER)
        manifest = {
            "name": "bench",
            "driverProgram": "driver",
            "assets": [{"id": "driver", "mimeType": "application/x-python", "url": url}],
            "targetRuntime": {"runtimeType": "Python", "properties": {}},
        }
        manifest_id = (await self.call("POST", "manifests", manifest)).json()["id"]
        on = {"computeResourceId": self._running.compute_resource_id}
        image = {"name": "bench", "manifestId": manifest_id, "imageType": "Docker", **on}
        operation = await self.ended(await self.call("POST", "images", image))
        assert operation["state"] == "Succeeded", operation
        return str(operation["resourceLocation"].rpartition("/")[2])


async def measured(folder: Path) -> None:
    with registry(folder / "registry") as host:
        async with (
            running_cluster() as cluster,
            FrontEndOfTest(cluster).running() as front_end,
            a_stack(folder, cluster.kubeconfig, host) as running,
            httpx.AsyncClient(timeout=120) as client,
        ):
            api, played = Api(running, client), PlayedCluster(cluster)
            settings = {
                "connection": {"kubeconfigSetting": "SLIPWAY_KUBECONFIG_BENCH"},
                "namespace": cluster.namespace,
                "frontEnd": {"address": front_end.address},
            }
            body = {"kind": "kubernetes", "cluster": settings}
            compute = (await api.call("PUT", "computeResources/cluster", body)).json()["id"]
            image = await api.image()
            playing = asyncio.create_task(played.play())
            await at_once(api, cluster, played, {"imageId": image, "computeResource": {"id": compute}, "numReplicas": 1})
            playing.cancel()


async def at_once(api: Api, cluster: Cluster, played: PlayedCluster, service: dict[str, Any]) -> None:
    assert cluster.stand_in is not None, "measured on the stand-in"
    calls, played.slow, asking = len(cluster.stand_in.calls), "service-0", asyncio.Semaphore(ASKED_AT_ONCE)
    began = time.perf_counter()

    async def create(number: int) -> tuple[float, dict[str, Any]]:
        async with asking:
            accepted = await api.call("POST", "services", {**service, "name": f"service-{number}"})
        operation = await api.ended(accepted)
        return time.perf_counter() - began, operation

    slow = asyncio.create_task(create(0))
    ended = await asyncio.gather(*(create(number) for number in range(1, SERVICES)))
    waited = not slow.done()
    played.slow_may = True
    ended.append(await slow)
    succeeded = sum(operation["state"] == "Succeeded" for _, operation in ended)
    times = [seconds for seconds, _ in ended[:-1]]
    at_least(f"services of {SERVICES} created at once that succeed", succeeded, SERVICES)
    at_least("of them while the first to be asked for was not ready", len(times) if waited else 0, SERVICES - 1)
    noted("until a service is ready, median and last", f"{statistics.median(times):.0f} s, {max(times):.0f} s")
    told(cluster.stand_in.calls[calls:])
    at_most("peak memory of the worker", peak_memory(), 300, " MiB")


def told(calls: list[tuple[str, str]]) -> None:
    looks = sum(method == "GET" and re.search("/(deployments/|pods)", path) is not None for method, path in calls)
    at_most("API calls a rollout, looks apart", (len(calls) - looks) / SERVICES + 1, 12)  # the first reads the Deployment
    noted("looks a rollout", f"{looks / SERVICES - 1:.1f}")


def peak_memory() -> float:
    """MiB, of the Functions host below this process."""
    for status in Path("/proc").glob("[0-9]*/status"):
        text = status.read_text() if status.exists() else ""
        command = (status.parent / "cmdline").read_bytes() if status.exists() else b""
        if b"local.host" in command and f"PPid:\t{os.getpid()}\n" in text:
            return int(re.findall(r"VmHWM:\s+(\d+) kB", text)[0]) / 1024
    raise RuntimeError("the Functions host is not below this process")


def importing() -> None:
    runs = [
        float(subprocess.run([sys.executable, "-c", IMPORTING], capture_output=True, text=True, check=True).stdout)
        for _ in range(7)
    ]
    at_most("importing the deployer, best of 7", min(runs), 0.5, " s")


if __name__ == "__main__":
    importing()
    with tempfile.TemporaryDirectory() as scratch:
        asyncio.run(measured(Path(scratch)))
