"""One pod on the node, from the moment it is there until it is gone."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from tests.clusters.cluster import Cluster, Object
from tests.clusters.controllers import PodState, Said
from tests.clusters.node.containers import Container, Lines, Mount
from tests.clusters.node.environment import environment_of
from tests.clusters.node.images import Images, PullFailed, Unpacked
from tests.clusters.node.probes import Probe
from tests.clusters.node.volumes import Volumes

_FIRST_PAUSE, _LONGEST_PAUSE = 10.0, 300.0
_CREATING = PodState(phase="Pending", state={"waiting": {"reason": "ContainerCreating"}})


@dataclass(frozen=True)
class Ground:
    """What the pods of a node stand on. `report` tells the API how one fares, `say` makes an event about it."""

    cluster: Cluster
    images: Images
    folder: Path
    report: Callable[["Pod"], Awaitable[None]]
    say: Callable[[Object, Said], Awaitable[None]]


class Pod:
    """Pulls, runs, probes, restarts and ends its one container as it says."""

    def __init__(self, document: Object, address: str, ground: Ground) -> None:
        self.document = document
        self.address = address
        self.how = _CREATING
        self.since = datetime.now(UTC)
        self.volumes = Volumes(ground.cluster, document, ground.folder / document["metadata"]["uid"])
        self._ground = ground
        self._spec = document["spec"]
        self._container: Object = self._spec["containers"][0]
        self._stopping = asyncio.Event()
        self._runs: list[Container] = []

    @property
    def name(self) -> str:
        return self.document["metadata"]["name"]

    def stop(self) -> None:
        """It is to end: its container has its time, and then the pod is gone."""
        self._stopping.set()

    def printed(self, *, previous: bool) -> Lines | None:
        """What the run now, or the one before, has printed; None when there is no such run."""
        waits = self._runs and "waiting" in self.how.state
        runs = self._runs if not previous or waits else self._runs[:-1]
        return runs[-1].printed if runs else None

    async def run(self) -> None:
        """Return when it has ended after it was told to."""
        try:
            await self._ground.report(self)
            image = await self._pulled()
            if image is not None:
                await self._mount()
                while not self._stopping.is_set():
                    await self._run_once(image)
                    await self._back_off()
        finally:
            for each in self._runs:
                await each.kill()

    async def _pulled(self) -> Unpacked | None:
        """The image, however often that takes; None when the pod is to end before."""
        reference, pause = self._container["image"], _FIRST_PAUSE
        while not self._stopping.is_set():
            try:
                return await self._ground.images.pulled(reference)
            except PullFailed as failed:
                message = f'Failed to pull image "{reference}": {failed}'
                await self._ground.say(self.document, Said("Failed", message))
                await self._become(state={"waiting": {"reason": "ImagePullBackOff", "message": message}})
            await self._stopped_within(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
        return None

    async def _mount(self) -> None:
        while not self._stopping.is_set() and not await self.volumes.prepare():
            await self._ground.say(self.document, Said("FailedMount", "MountVolume.SetUp failed: a secret is not found"))
            await self._stopped_within(2)

    async def _run_once(self, image: Unpacked) -> None:
        environment = {"HOSTNAME": self.name, "SLIPWAY_HOST": self.address}
        environment |= await environment_of(self._ground.cluster, self.document)
        read_only = self._container.get("securityContext", {}).get("readOnlyRootFilesystem", False)
        container = await Container.start(image, self._mounts(), environment, self.name, read_only=read_only)
        self._runs.append(container)
        began = _now()
        await self._become(phase="Running", state={"running": {"startedAt": began}})
        probing = asyncio.ensure_future(self._probe(container))
        ended, stopping = (asyncio.ensure_future(each) for each in (container.ended(), self._stopping.wait()))
        try:
            await asyncio.wait({ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                await self._end(container)
            code = await ended
        finally:
            for each in (probing, stopping):
                each.cancel()
        terminated = {"exitCode": code, "reason": "Error" if code else "Completed", "startedAt": began, "finishedAt": _now()}
        await self._become(ready=False, state={"terminated": terminated}, last={"terminated": terminated})

    async def _back_off(self) -> None:
        """Before it is started again: at once the first time, then ever later."""
        restarts = self.how.restarts + 1
        pause = min(_FIRST_PAUSE * 2 ** (restarts - 2), _LONGEST_PAUSE) if restarts > 1 else 0
        if pause and not self._stopping.is_set():
            said = f"back-off {pause:g}s restarting failed container={self._container['name']} pod={self.name}"
            await self._become(state={"waiting": {"reason": "CrashLoopBackOff", "message": said}})
            await self._ground.say(self.document, Said("BackOff", said))
            await self._stopped_within(pause)
        self.how = replace(self.how, restarts=restarts)

    async def _end(self, container: Container) -> None:
        """preStop, SIGTERM and SIGKILL, all within the grace period."""
        grace = self._spec.get("terminationGracePeriodSeconds", 30)
        pause = self._container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        ended = asyncio.ensure_future(container.ended())
        await asyncio.wait({ended}, timeout=min(pause, grace))
        await container.stop(max(grace - pause, 2))

    async def _probe(self, container: Container) -> None:
        probes = {kind: Probe.of(self._container, kind, self.address) for kind in ("startup", "readiness", "liveness")}
        if not await self._started(probes["startup"]):
            await self._end(container)
            return
        await asyncio.gather(self._watch_ready(probes["readiness"]), self._watch_live(probes["liveness"], container))

    async def _started(self, probe: Probe) -> bool:
        for _ in range(probe.failures):
            if not (amiss := await probe.said()):
                return True
            await self._ground.say(self.document, Said("Unhealthy", f"Startup probe failed: {amiss}"))
            await probe.pause()
        return False

    async def _watch_ready(self, probe: Probe) -> None:
        failed = 0
        while True:
            amiss = await probe.said()
            failed = failed + 1 if amiss else 0
            if amiss:
                await self._ground.say(self.document, Said("Unhealthy", f"Readiness probe failed: {amiss}"))
            if not failed or failed >= probe.failures:
                await self._become(ready=not failed)
            await probe.pause()

    async def _watch_live(self, probe: Probe, container: Container) -> None:
        failed = 0
        while failed < probe.failures:
            amiss = await probe.said()
            failed = failed + 1 if amiss else 0
            if amiss:
                await self._ground.say(self.document, Said("Unhealthy", f"Liveness probe failed: {amiss}"))
            await probe.pause()
        await self._end(container)

    async def _become(self, **changes: object) -> None:
        how = replace(self.how, **changes)  # type: ignore[arg-type]
        if how == self.how:
            return
        if how.ready != self.how.ready:
            self.since = datetime.now(UTC)
        self.how = how
        await self._ground.report(self)

    async def _stopped_within(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return

    def _mounts(self) -> list[Mount]:
        return [
            Mount(self.volumes.place(each["name"]), each["mountPath"], each.get("readOnly", False))
            for each in self._container.get("volumeMounts", [])
        ]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
