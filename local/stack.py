"""The stack of one machine: Azurite, the compute node, the function app under the local host, and a token issuer."""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
from azure.core.exceptions import ResourceExistsError
from azure.storage.queue.aio import QueueClient

from local.azurite.install import ensure_installed
from local.azurite.server import AzuriteAddress
from local.children import Child, Program, inherited
from local.compute.limits import Limits
from local.home import Home, Ports, StackError, refuse_taken
from local.issuer import AUDIENCE, Issuer, write_private
from local.machine import this_platform
from local.upload import CONTAINER as UPLOADS
from shared.identity.roles import Role
from shared.storage.queues import COMMANDS, EVENTS, POISON

REPOSITORY = Path(__file__).parent.parent
SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"
_ACCOUNT_PATH = f"/api/subscriptions/{SUBSCRIPTION}/resourceGroups/local/accounts/local"
_COMPUTE_ID = (
    f"/subscriptions/{SUBSCRIPTION}/resourcegroups/local/providers/Microsoft.MachineLearningCompute"
    "/operationalizationClusters/local"
)
_CHOSEN = (
    "SLIPWAY_DEADLINE_",
    "SLIPWAY_ATTEMPTS_",
    "SLIPWAY_OPERATION_RETENTION_DAYS",
    "SLIPWAY_LAYER_",
    "SLIPWAY_BUILD_LOG_RETENTION_DAYS",
    "SLIPWAY_GARBAGE",
    "SLIPWAY_EVENTS_",
    "SLIPWAY_PACKAGE_INDEXES",
    "SLIPWAY_SOURCE_PACKAGES",
    "SLIPWAY_CONDA_CHANNELS",
    "SLIPWAY_REGISTRY",
    "SLIPWAY_BASE_IMAGE_",
    "SLIPWAY_TARGET_",
    "SLIPWAY_KUBECONFIG_",
    "SLIPWAY_COLLECTION_",
    "SLIPWAY_APP_INSIGHTS",
)
_TARGETS = ("SLIPWAY_COLLECTION_", "SLIPWAY_APP_INSIGHTS")
_TOKEN_SECONDS = 30 * 24 * 3600
_READY_SECONDS = 60.0
_HOST_DRAIN = 3.0
COMPUTE_STOP_SECONDS = Limits().stop + 1.0
_HOST_STOP_SECONDS = 8.0
_STORAGE_STOP_SECONDS = 1.5


@dataclass(frozen=True)
class Running:
    """How a running stack is called: what `local.json` says."""

    base_url: str
    token: str
    blob_endpoint: str
    blob_connection_string: str
    compute_resource_id: str

    def description(self) -> str:
        """It as JSON."""
        return json.dumps(
            {
                "baseUrl": self.base_url,
                "token": self.token,
                "blobEndpoint": self.blob_endpoint,
                "blobConnectionString": self.blob_connection_string,
                "computeResourceId": self.compute_resource_id,
                "pid": os.getpid(),
            },
            indent=2,
        )


def _make_private(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)


@asynccontextmanager
async def running_stack(home: Home, port: int, cache: Path) -> AsyncIterator[Running]:
    """The stack, ready to be called, until the context ends. Raises StackError."""
    await asyncio.to_thread(ensure_installed)
    with home.locked():
        refuse_taken(port, "which PORT names for the API")
        ports = home.ports(but=port)
        azurite = AzuriteAddress(ports.blob, ports.queue, ports.table)
        issuer = Issuer(home.folder / "secrets" / "issuer.pem", ports.issuer)
        issuer.start()
        await asyncio.to_thread(_make_private, cache)
        storage = Child(_storage(home, azurite))
        settings = {**_settings(home, ports, azurite, issuer), "SLIPWAY_SCRATCH": str(cache)}
        write_private(home.settings, json.dumps(settings).encode())
        workers = [Child(_compute(home, ports, settings)), Child(_host(home, port, settings))]
        running = Running(
            base_url=f"http://127.0.0.1:{port}{_ACCOUNT_PATH}",
            token=issuer.signer.token(Role.CONTRIBUTOR, seconds=_TOKEN_SECONDS),
            blob_endpoint=azurite.blob_endpoint,
            blob_connection_string=azurite.connection_string,
            compute_resource_id=_COMPUTE_ID,
        )
        try:
            await storage.start()
            await _until(lambda: asyncio.to_thread(azurite.answers), storage)
            await _provide_queues(azurite)
            for worker in workers:
                await worker.start()
            await _until(lambda: _answers(f"http://127.0.0.1:{ports.control}/", {}), workers[0])
            await _until(lambda: _answers(*_models_call(running)), workers[1])
            write_private(home.description, running.description().encode())
            yield running
        finally:
            home.description.unlink(missing_ok=True)
            granted = (COMPUTE_STOP_SECONDS, _HOST_STOP_SECONDS)
            await asyncio.gather(*(worker.stop(seconds) for worker, seconds in zip(workers, granted, strict=True)))
            await storage.stop(_STORAGE_STOP_SECONDS)
            await asyncio.to_thread(issuer.stop)


def _storage(home: Home, azurite: AzuriteAddress) -> Program:
    data = home.folder / "azurite"
    command = [sys.executable, "-m", "local.tether", *azurite.command(data)]
    return Program("Azurite", command, _environment(), home.folder / "logs" / "azurite.log")


async def _provide_queues(azurite: AzuriteAddress) -> None:
    """Those that others write to or read from before the app does."""
    for name in (COMMANDS, COMMANDS + POISON, EVENTS):
        async with QueueClient.from_connection_string(azurite.connection_string, name) as queue:
            with suppress(ResourceExistsError):
                await queue.create_queue()


def _compute(home: Home, ports: Ports, settings: Mapping[str, str]) -> Program:
    command = [sys.executable, "-m", "local.compute", "--state", str(home.folder / "compute")]
    command += ["--control-port", str(ports.control), "--front-end-port", str(ports.front_end)]
    targets = {name: value for name, value in settings.items() if name.startswith(_TARGETS)}
    token = home.secret("compute-token")
    environment = _environment(SLIPWAY_LOCAL_COMPUTE_TOKEN=token, SLIPWAY_EXIT_WITH_PARENT="1", **targets)
    return Program("the compute node", command, environment, home.folder / "logs" / "compute.log")


def _host(home: Home, port: int, settings: dict[str, str]) -> Program:
    command = [sys.executable, "-m", "local.host", "--app", str(REPOSITORY), "--port", str(port)]
    command += ["--state", str(home.folder / "host"), "--drain", str(_HOST_DRAIN), "--exit-with-parent"]
    return Program("the Functions host", command, _environment(**settings), home.folder / "logs" / "host.log")


def _settings(home: Home, ports: Ports, azurite: AzuriteAddress, issuer: Issuer) -> dict[str, str]:
    """The app settings of the function app: README, Settings."""
    chosen = _chosen()
    # Images go to the registry that was chosen, if one was, where clusters can pull them.
    images = {} if "SLIPWAY_REGISTRY" in chosen else {"SLIPWAY_IMAGES": str(home.folder / "images")}
    return {
        "SLIPWAY_COLLECTION_STORAGE": azurite.connection_string,
        **chosen,
        **images,
        # Replicas are processes of this machine, whatever others are.
        "SLIPWAY_TARGET_PLATFORM": chosen.get("SLIPWAY_TARGET_PLATFORM") or this_platform(),
        "AzureWebJobsStorage": azurite.connection_string,
        "SLIPWAY_ACCOUNTS": f"{SUBSCRIPTION}/local/local",
        "SLIPWAY_SECRET": home.secret("secret"),
        "SLIPWAY_COMMAND_ACCOUNTS": f"{SUBSCRIPTION}/local/local",
        "SLIPWAY_TOKEN_ISSUERS": issuer.signer.url,
        "SLIPWAY_TOKEN_AUDIENCES": AUDIENCE,
        "SLIPWAY_TOKEN_JWKS_URL": issuer.keys_url,
        "SLIPWAY_FETCH_ALLOW": f"127.0.0.1:{azurite.blob}",
        "SLIPWAY_FETCH_CONTAINERS": UPLOADS,
        "SLIPWAY_LOCAL_COMPUTE_URL": f"http://127.0.0.1:{ports.control}",
        "SLIPWAY_LOCAL_COMPUTE_TOKEN": home.secret("compute-token"),
        "SLIPWAY_LOCAL_FRONT_END": f"http://127.0.0.1:{ports.front_end}",
    }


def _chosen() -> dict[str, str]:
    """The settings that who starts the stack may choose."""
    return {name: value for name, value in os.environ.items() if name.startswith(_CHOSEN)}


def _environment(**settings: str) -> dict[str, str]:
    return inherited(PYTHONPATH=str(REPOSITORY), PYTHONUNBUFFERED="1", **settings)


def _models_call(running: Running) -> tuple[str, dict[str, str]]:
    url = f"{running.base_url}/models?api-version=2017-09-01-preview&count=1"
    return url, {"Authorization": f"Bearer {running.token}"}


async def _answers(url: str, headers: dict[str, str]) -> bool:
    try:
        async with httpx.AsyncClient(timeout=10) as client:
            return (await client.get(url, headers=headers)).status_code == 200
    except httpx.HTTPError:
        return False


async def _until(ready: Callable[[], Awaitable[bool]], child: Child) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while not await ready():
        if time.monotonic() > deadline:
            raise StackError(f"{child.program.name} did not get ready; its log is {child.program.log}.")
        await asyncio.sleep(0.05)
