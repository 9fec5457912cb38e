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
from subprocess import CalledProcessError

import httpx
from azure.core.exceptions import ResourceExistsError
from azure.storage.queue.aio import QueueClient

from local.app_settings import SUBSCRIPTION, app_settings, chosen_settings
from local.azurite.install import ensure_installed
from local.azurite.server import AzuriteAddress
from local.children import Child, Program, inherited
from local.compute.limits import Limits
from local.errors import StackError
from local.home import Home, ensure_writable
from local.issuer import Issuer, write_private
from local.logs import last_words
from local.ports import Ports, refuse_taken
from local.progress import SILENT, Progress
from local.proxies import call_loopback_directly
from shared.identity.roles import Role
from shared.storage.queues import COMMANDS, EVENTS, POISON

REPOSITORY = Path(__file__).parent.parent
_ACCOUNT_PATH = f"/api/subscriptions/{SUBSCRIPTION}/resourceGroups/local/accounts/local"
_COMPUTE_ID = (
    f"/subscriptions/{SUBSCRIPTION}/resourcegroups/local/providers/Microsoft.MachineLearningCompute"
    "/operationalizationClusters/local"
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


@asynccontextmanager
async def running_stack(home: Home, port: int, cache: Path, progress: Progress = SILENT) -> AsyncIterator[Running]:
    """The stack, ready to be called, until the context ends. Raises StackError."""
    os.umask(0o077)  # what a stack keeps is for nobody else on this machine, and its children are as careful
    chosen = chosen_settings(os.environ)
    call_loopback_directly()
    await asyncio.to_thread(_ensure_azurite)
    with home.locked():
        ensure_writable(cache, "SLIPWAY_SCRATCH")
        refuse_taken(port, "which PORT names for the API", "Set PORT to another.")
        ports = home.ports(but=port)
        azurite = AzuriteAddress(ports.blob, ports.queue, ports.table, home.secret("azurite-key"))
        issuer = _issuer(home, ports)
        issuer.start()
        storage = Child(_storage(home, azurite))
        settings = {**app_settings(chosen, home, ports, azurite, issuer), "SLIPWAY_SCRATCH": str(cache)}
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
            await _until(lambda: asyncio.to_thread(azurite.answers), storage, progress)
            await _provide_queues(azurite)
            for worker in workers:
                await worker.start()
            await _until(lambda: _answers(f"http://127.0.0.1:{ports.control}/", {}), workers[0], progress)
            await _until(lambda: _answers(*_models_call(running)), workers[1], progress)
            for child in (storage, *workers):
                child.keep()
            write_private(home.description, running.description().encode())
            yield running
        finally:
            progress.begin("stopping everything")
            home.description.unlink(missing_ok=True)
            granted = (COMPUTE_STOP_SECONDS, _HOST_STOP_SECONDS)
            await asyncio.gather(*(worker.stop(seconds) for worker, seconds in zip(workers, granted, strict=True)))
            await storage.stop(_STORAGE_STOP_SECONDS)
            await asyncio.to_thread(issuer.stop)


def _ensure_azurite() -> None:
    try:
        ensure_installed()
    except CalledProcessError as error:
        raise StackError(f"Azurite is not installed, and npm could not install it ({error}).") from None


def _issuer(home: Home, ports: Ports) -> Issuer:
    key = home.folder / "secrets" / "issuer.pem"
    try:
        return Issuer(key, ports.issuer)
    except ValueError:
        raise StackError(f"{key} is damaged: put it back; or delete it, and tokens that were handed out end.") from None


def _storage(home: Home, azurite: AzuriteAddress) -> Program:
    data = home.folder / "azurite"
    command = [sys.executable, "-m", "local.tether", *azurite.command(data)]
    return Program("Azurite", command, _environment(**azurite.environment), home.folder / "logs" / "azurite.log")


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


def _environment(**settings: str) -> dict[str, str]:
    return inherited(PYTHONPATH=str(REPOSITORY), PYTHONUNBUFFERED="1", **settings)


def _models_call(running: Running) -> tuple[str, dict[str, str]]:
    url = f"{running.base_url}/models?api-version=2017-09-01-preview&count=1"
    return url, {"Authorization": f"Bearer {running.token}"}


async def _answers(url: str, headers: dict[str, str]) -> bool:
    try:
        async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
            return (await client.get(url, headers=headers)).status_code == 200
    except httpx.HTTPError:
        return False


async def _until(ready: Callable[[], Awaitable[bool]], child: Child, progress: Progress) -> None:
    progress.begin(f"starting {child.program.name}")
    deadline = time.monotonic() + _READY_SECONDS
    while not await ready():
        if child.code is not None:
            said, log = last_words(child.program.log), child.program.log
            raise StackError(f"{child.program.name} cannot start: {said}\nIts log is {log}.")
        if time.monotonic() > deadline:
            raise StackError(f"{child.program.name} did not get ready; its log is {child.program.log}.")
        await asyncio.sleep(0.05)
