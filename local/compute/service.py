"""One service on this node: runs what its state says, and takes note of what comes of it."""

import asyncio
import hmac
from collections.abc import Callable
from dataclasses import dataclass

import aiohttp

from local.compute.autoscaler import ScalePolicy, Scaler
from local.compute.background import Background
from local.compute.launcher import Launcher
from local.compute.limits import Limits
from local.compute.logs import Logs
from local.compute.pool import Pool
from local.compute.replica_set import ReplicaSet
from local.compute.state import Deployment, ServiceFiles, ServiceState
from shared.compute.local_process import KeyDigests, RolloutStatus, digest_of


@dataclass(frozen=True)
class Ground:
    """What all services of a node stand on. `changed` is called when a service is named or needs otherwise."""

    files: ServiceFiles
    launcher: Launcher
    logs: Logs
    session: aiohttp.ClientSession
    limits: Limits
    changed: Callable[[], None]


class Service:
    """Level-triggered: a change goes into the state, the state is kept, and what runs is made to fit it."""

    def __init__(self, state: ServiceState, ground: Ground) -> None:
        self.state = state
        self.pool = Pool(ground.limits.waiting_per_replica)
        self._ground = ground
        self._live: ReplicaSet | None = None
        self._candidate: ReplicaSet | None = None
        self._retiring: set[ReplicaSet] = set()
        self._scaling: asyncio.Task[None] | None = None
        self._background = Background()

    def accepts(self, key: str) -> bool:
        """Whether that is one of its keys; takes the same time whatever it is like."""
        keys, digest = self.state.keys, digest_of(key)
        if keys is None:
            return False
        return hmac.compare_digest(keys.primary, digest) | hmac.compare_digest(keys.secondary, digest)

    def digests(self) -> set[str]:
        """The images it needs."""
        wanted = [deployment for deployment in (self.state.live, self.state.pending) if deployment]
        return {each.image_digest for each in (*wanted, *(running.deployment for running in self._running()))}

    def rollout(self, deployment_id: str) -> RolloutStatus:
        """How that deployment fares; raises NotFound for an unknown one."""
        return self.state.rollout(deployment_id, self._candidate.waiting_for if self._candidate else "its turn")

    def deploy(self, deployment: Deployment) -> None:
        """Make that the deployment that answers, once it can; one that is known already changes nothing."""
        state = self.state.deploying(deployment)
        if state is not self.state:
            self._become(state)
            kept = [each.id for each in (state.live, state.pending) if each]
            self._ground.logs.keep_only(state.id, kept)

    def roll_back(self, deployment_id: str) -> None:
        """Give that deployment up."""
        self._become(self.state.rolled_back(deployment_id))

    def change_keys(self, keys: KeyDigests) -> None:
        """These are good from now on, and no others."""
        self._become(self.state.with_keys(keys))

    def withdraw(self) -> None:
        """Take no more calls; those under way go on."""
        self._become(self.state.withdraw())

    def run(self) -> None:
        """Make what runs fit the state."""
        before = self._live
        sets = {each.deployment.id: each for each in (self._live, self._candidate) if each}
        self._live = self._set_of(self.state.live, sets, on_trial=False)
        self._candidate = self._set_of(self.state.pending, sets, on_trial=True)
        self._route()
        if self._live is not before:
            self._scale_by_load()
        for leftover in sets.values():
            self._dismiss(leftover)

    async def retire(self) -> None:
        """Stop what runs when its requests have finished, or their time is up. The state stays."""
        for each in (self._live, self._candidate):
            self._dismiss(each)
        self._live = self._candidate = None
        self._route()
        self._scale_by_load()
        await self._background.finished()

    async def stop(self) -> None:
        """Stop what runs now. The state stays."""
        await asyncio.gather(self.retire(), *(each.stop() for each in self._running()))

    def _running(self) -> list[ReplicaSet]:
        return [each for each in (self._live, self._candidate, *self._retiring) if each]

    def _become(self, state: ServiceState) -> None:
        self._ground.files.save(state)
        self.state = state
        self.run()
        self._ground.changed()

    def _set_of(self, deployment: Deployment | None, sets: dict[str, ReplicaSet], *, on_trial: bool) -> ReplicaSet | None:
        """The set of that deployment, taken out of `sets` or begun; a withdrawn service begins nothing."""
        if deployment is None:
            return None
        known = sets.pop(deployment.id, None)
        return known if known or self.state.withdrawn else self._begin(deployment, on_trial=on_trial)

    def _begin(self, deployment: Deployment, *, on_trial: bool) -> ReplicaSet:
        ground = self._ground
        begun = ReplicaSet(
            self.state.id,
            deployment,
            ground.launcher,
            ground.session,
            ground.limits,
            on_trial=on_trial,
            changed=self._route,
        )
        begun.scale(deployment.first_count(self._live.count if self._live else 0))
        if on_trial:
            self._background.start(self._watch(begun))
        return begun

    async def _watch(self, candidate: ReplicaSet) -> None:
        error = await candidate.verdict()
        if self._candidate is candidate:
            self._become(self.state.failing(error) if error else self.state.switched())

    def _dismiss(self, leftover: ReplicaSet | None) -> None:
        if leftover:
            self._retiring.add(leftover)
            self._background.start(self._retire(leftover))

    async def _retire(self, leftover: ReplicaSet) -> None:
        await leftover.retire()
        self._retiring.discard(leftover)
        self._ground.changed()

    def _route(self) -> None:
        """Have the live deployment's replicas answer; one that may shrink to none is expected to be back on demand."""
        live = self._live
        policy = live.deployment.scale_policy if live else None
        self.pool.use(live.backends if live else (), expecting=policy is not None and policy.lowest == 0)

    def _scale_by_load(self) -> None:
        if self._scaling:
            self._scaling.cancel()
        policy = self._live.deployment.scale_policy if self._live else None
        self._scaling = self._background.start(self._scale(self._live, policy)) if self._live and policy else None

    async def _scale(self, live: ReplicaSet, policy: ScalePolicy) -> None:
        now = asyncio.get_running_loop().time
        scaler = Scaler(policy, window=self._ground.limits.scale_in_window, count=live.count, now=now())
        self.pool.mean_load()
        while True:
            least = await self._next_look(live, policy)
            live.scale(max(scaler.observe(self.pool.mean_load(), now()), least))

    async def _next_look(self, live: ReplicaSet, policy: ScalePolicy) -> int:
        """Wait until the load is to be looked at; returns how many replicas are needed whatever it is."""
        if live.count:
            await asyncio.sleep(policy.period)
            return 0
        await self.pool.demand()
        return 1
