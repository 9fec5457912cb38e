"""A node that runs, and a service on it: called as the engine calls it, and scored as clients score it."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import httpx

from local.compute.limits import Limits
from local.compute.serving import Addresses, Options, serving
from shared.compute.local_process import LocalProcessCompute
from shared.domain.accounts import Account
from shared.domain.computing import CollectionTargets, ServiceSpec
from shared.domain.operations import ErrorResponse
from shared.domain.service_settings import AutoScaler, ServiceSettings
from shared.domain.services import AuthKeys
from tests.compute.images import Made

TOKEN = "the token of the control API"
KEYS = AuthKeys(primary_key="the primary key", secondary_key="the secondary key")
ACCOUNT = Account("00000000-0000-0000-0000-000000000000", "local", "local")
ROOT = Path(__file__).parents[2]
NOWHERE = CollectionTargets()
QUICK = Limits(
    request_timeout=10,
    head_timeout=1,
    start_timeout=10,
    trial_backoff=0.02,
    first_backoff=0.1,
    longest_backoff=0.4,
    drain=5,
    grace=2,
    scale_in_window=1,
    most_log=256 * 1024,
)


async def until(met: Callable[[], Any], within: float = 10) -> None:
    """Wait until that is so."""
    async with asyncio.timeout(within):
        while not met():  # noqa: ASYNC110  what other processes do sets no event here
            await asyncio.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def counted(replicas: int = 1, slots: int = 10) -> ServiceSettings:
    """So many replicas."""
    off = AutoScaler(autoscale_enabled=False)
    return ServiceSettings(num_replicas=replicas, auto_scaler=off, max_concurrent_requests_per_container=slots)


def scaled(low: int, high: int, slots: int = 2) -> ServiceSettings:
    """As many replicas as the load wants."""
    scaler = AutoScaler(min_replicas=low, max_replicas=high, target_utilization=100)
    return ServiceSettings(auto_scaler=scaler, max_concurrent_requests_per_container=slots)


@dataclass
class Cluster:
    """A node, and what clients of it need."""

    addresses: Addresses
    state: Path
    http: httpx.AsyncClient
    compute: LocalProcessCompute = field(init=False)

    def __post_init__(self) -> None:
        self.compute = LocalProcessCompute(self.addresses.control, TOKEN, self.addresses.front_end)

    def service(self, name: str = "digits", **known: Any) -> "Service":
        """A service that is not there yet."""
        return Service(self, name, **known)

    def files(self, pattern: str) -> list[Path]:
        """What of the node's state is there."""
        return sorted(self.state.glob(pattern))


@asynccontextmanager
async def started(state: Path, limits: Limits = QUICK, targets: CollectionTargets = NOWHERE) -> AsyncIterator[Cluster]:
    """A node with that state, for as long as the context lasts."""
    async with (
        httpx.AsyncClient(timeout=30, limits=httpx.Limits(max_connections=None)) as http,
        serving(Options(state, 0, 0, TOKEN, targets), limits) as addresses,
    ):
        yield Cluster(addresses, state, http)


@dataclass
class Service:
    """One service, deployed and called."""

    cluster: Cluster
    name: str
    id: str = field(default_factory=lambda: str(uuid4()))
    account: Account = ACCOUNT

    @property
    def address(self) -> str:
        return self.cluster.compute.scoring_uri(self.account, self.name).removesuffix("/score")

    def spec(self, image: Made, settings: ServiceSettings | None = None, keys: AuthKeys = KEYS) -> ServiceSpec:
        return ServiceSpec(
            account=self.account,
            service_id=self.id,
            service_name=self.name,
            deployment_id=str(uuid4()),
            image_location=image.location,
            image_digest=image.digest,
            settings=settings or counted(),
            keys=keys,
        )

    async def deploy(self, image: Made, settings: ServiceSettings | None = None, **spec: Any) -> ServiceSpec:
        """Deploy that, and wait until it answers calls."""
        asked = replace(self.spec(image, settings), **spec)
        await self.cluster.compute.ensure_deployment(asked)
        assert await self.outcome(asked) is None
        return asked

    async def outcome(self, spec: ServiceSpec, within: float = 15) -> ErrorResponse | None:
        """The error of a deployment that ended; None when it is ready."""
        async with asyncio.timeout(within):
            while not (rollout := await self.cluster.compute.rollout(spec, {})).ready:
                if rollout.error:
                    return rollout.error
                assert rollout.waiting_for
                await asyncio.sleep(0.02)
        return None

    async def call(self, key: str = KEYS.primary_key, headers: dict[str, str] | None = None, **asked: Any) -> httpx.Response:
        """Score."""
        authorization = {"Authorization": f"Bearer {key}"}
        return await self.cluster.http.post(f"{self.address}/score", headers=authorization | (headers or {}), json=asked)

    async def under_way(self, **asked: Any) -> asyncio.Task[httpx.Response]:
        """Score, and return once a replica is at work on it."""
        told = self.cluster.state.with_name(f"at-work-{uuid4()}")
        call = asyncio.create_task(self.call(**asked, tells=str(told)))
        await until(told.exists)
        return call

    async def score(self, **asked: Any) -> dict[str, Any]:
        """What the driver tells."""
        answer = await self.call(**asked)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told


class Process:
    """`python -m local.compute`, as the stack runs it."""

    def __init__(self, state: Path) -> None:
        self._state = state

    async def __aenter__(self) -> Self:
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "local.compute", "--state", str(self._state)),
            *("--control-port", "0", "--front-end-port", "0"),
            cwd=ROOT,
            env=os.environ | {"SLIPWAY_LOCAL_COMPUTE_TOKEN": TOKEN, "SLIPWAY_EXIT_WITH_PARENT": "1"},
            stdin=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.communicate()

    async def addresses(self) -> Addresses:
        """Where it listens."""
        while b"listening" not in (line := await self.process.stderr.readline()):
            assert line
        urls = [word.strip('",}') for word in line.decode().split() if word.startswith("http")]
        return Addresses(*urls)
