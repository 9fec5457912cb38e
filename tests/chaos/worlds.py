"""A world in which calls go wrong, workers die and clocks differ; and what must be true of it in the end."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

from shared.domain.computing import ReplicaLog, Survey
from shared.domain.documents import Document
from shared.domain.errors import Conflict, NotFound, PreconditionFailed, ServiceError
from shared.domain.images import Image, ImageRequest, ImageType
from shared.domain.operations import Operation, State
from shared.domain.service_settings import ComputeResource
from shared.domain.services import Service, ServiceCreateRequest, ServiceUpdateRequest
from shared.orchestration.engine import Engine
from shared.resources.repeatability import Once, Repeatable
from tests.chaos.disturbance import Disturbed, Fault, Killed, Process, Site
from tests.twins import ACCOUNT, COMPUTE_ID, SkewedClock, World

SWEEP = timedelta(seconds=30)


class ChaosWorld(World):
    """Every process has ports of its own, that fail as `faults` says: at the nth call from now, that happens."""

    def __init__(self) -> None:
        self.faults: dict[int, Fault] = {}
        self.calls = 0
        self.seen: set[Site] = set()
        self.at: tuple[Site, Fault] | None = None
        self.asked = 0
        self.forgotten = False
        self.builds: defaultdict[str, int] = defaultdict(int)
        self._process = Process()
        super().__init__()
        self.compute.printed = [ReplicaLog("replica", "current", ("starting",))]

    def seam(self, port: str, adapter: Any) -> Any:
        return Disturbed(port, adapter, self._process, self._disturb, self._meanwhile)

    def worker(self, skew: timedelta = timedelta(0)) -> Engine:
        """A process that has just begun; the use cases are its own from now on."""
        self._process = Process()
        return self.process(SkewedClock(self.clock, skew))

    def _disturb(self, site: Site) -> Fault | None:
        self.seen.add(site)
        self.calls += 1
        if self.at is not None and self.at[0] == site:
            fault, self.at = self.at[1], None
            return fault
        return self.faults.pop(self.calls, None)

    async def _meanwhile(self, fault: Fault) -> None:
        """What others do while a worker is about to call. A pause is longer than a lease: they take over what it had."""
        self.faults.clear()
        if fault in (Fault.PAUSED, Fault.PAUSED_CANCELLED, Fault.PAUSED_DELETED):
            self.clock.advance(timedelta(seconds=40))
        if fault in (Fault.CANCELLED, Fault.PAUSED_CANCELLED):
            for operation in await self.active():
                await self.ask_cancel(operation.id)
        if fault in (Fault.DELETED, Fault.PAUSED_DELETED):
            for service in await self.every(Service):
                await self.ask_delete(service.id)
        for _ in range(2):
            for operation in await self.active():
                await self.worker().run(ACCOUNT, operation.id)

    async def active(self) -> list[Operation]:
        """The operations that have not ended."""
        return [operation for operation in await self.every(Operation) if not operation.state.terminal]

    async def every[D: Document](self, kind: type[D]) -> list[D]:
        """All documents of a kind, read past the seam."""
        return list((await self.rows.page(ACCOUNT, kind, {}, count=100_000)).items)

    async def ask[D: Document](self, kind: type[D], act: Callable[[Once], Awaitable[D]]) -> D | None:
        """What a client does: it repeats its request until it is answered. None when it is refused."""
        self.asked += 1
        request = Repeatable(f"http:{self.asked}", "the same")
        for attempt in range(6):
            self.worker()
            if attempt == 5:
                self.faults.clear()
            try:
                return await self.requests.once(ACCOUNT, request, kind, act)
            except Killed:
                continue
            except (Conflict, NotFound, PreconditionFailed):
                return None
            except ServiceError as error:
                if not error.retryable:
                    raise
        raise AssertionError("a request without faults was not answered")

    async def ask_build(self, manifest_id: str, name: str) -> Operation | None:
        """Have an image built."""
        request = ImageRequest(
            name=name, manifest_id=manifest_id, image_type=ImageType.DOCKER, compute_resource_id=COMPUTE_ID
        )
        operation = await self.ask(Operation, lambda once: self.images.build(ACCOUNT, request, once))
        self.builds[name] += operation is not None
        return operation

    async def ask_create(self, image_id: str, name: str) -> Operation | None:
        """Have a service created."""
        request = ServiceCreateRequest(name=name, image_id=image_id, compute_resource=ComputeResource(id=COMPUTE_ID))
        return await self.ask(Operation, lambda once: self.services.create(ACCOUNT, request, once))

    async def ask_update(self, service_id: str, image_id: str) -> Operation | None:
        """Have a service updated."""
        request = ServiceUpdateRequest(image_id=image_id)
        return await self.ask(Operation, lambda once: self.services.update(ACCOUNT, service_id, request, once))

    async def ask_cancel(self, operation_id: str) -> Operation | None:
        """Have an operation given up."""
        return await self.ask(Operation, lambda once: self.operations.cancel(ACCOUNT, operation_id, once))

    async def ask_delete(self, service_id: str) -> None:
        """Have a service deleted; repeated until it is answered, as the API promises that it may be."""
        for attempt in range(6):
            self.worker()
            if attempt == 5:
                self.faults.clear()
            with suppress(Killed, ServiceError):
                await self.services.delete(ACCOUNT, service_id)
                return
        raise AssertionError("a delete without faults was not answered")

    async def deliver(self, skew: timedelta = timedelta(0), times: int = 1) -> None:
        """Deliver the next wake-up, to as many workers at once."""
        wake_up = self.wake_ups.pop()
        if wake_up is None:
            return
        due, account, operation_id = wake_up
        self.clock.advance(max(due - self.clock.now(), timedelta(0)))
        workers = [self.worker(skew) for _ in range(times)]
        ends = await asyncio.gather(*(worker.run(account, operation_id) for worker in workers), return_exceptions=True)
        broken = [end for end in ends if isinstance(end, Exception)]
        if broken:
            raise broken[0]

    async def sweep(self) -> None:
        """What the timer does."""
        with suppress(Killed, ServiceError):
            await self.worker().sweep(ACCOUNT)

    async def close(self, operation_id: str) -> None:
        """What the poison queue's function does."""
        with suppress(Killed, ServiceError):
            await self.worker().close(ACCOUNT, operation_id)

    async def survey(self) -> None:
        """What another timer does, with what compute shows now."""
        self.worker()
        with suppress(Killed, ServiceError):
            await self.surveys.survey(ACCOUNT)
        self.compute.seen = Survey()

    async def publish(self) -> None:
        """What the outbox's wake-ups do."""
        self.worker()
        with suppress(Killed, ServiceError):
            await self.publisher.publish(ACCOUNT)

    async def recover(self) -> None:
        """Two sweep periods with nothing disturbed any more."""
        self.faults.clear()
        self.at = None
        await self._finish_what_runs()
        for _ in range(2):
            self.clock.advance(SWEEP)
            await self.sweep()
            await self._settle_until(self.clock.now() + SWEEP)

    async def _finish_what_runs(self) -> None:
        """Workers that go on beside the one that was paused: time is not to leap while they are in the middle of a step."""
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=10)

    async def _settle_until(self, end: Any) -> None:
        """Deliver what is due before then."""
        for _ in range(500):
            wake_up = self.wake_ups.pop()
            if wake_up is None:
                return
            due, account, operation_id = wake_up
            if due > end:
                operation = await self.rows.get(account, Operation, operation_id)
                if operation is not None:
                    await self.wake_ups.wake(account, operation.document, due - self.clock.now())
                return
            self.clock.advance(max(due - self.clock.now(), timedelta(0)))
            await self.worker().run(account, operation_id)
        raise AssertionError("wake-ups without end")

    async def check(self) -> None:
        """All that must be true when nothing is disturbed any more, and two sweep periods have passed."""
        assert [operation.step for operation in await self.active()] == []
        await self._check_images()
        await self._check_services()
        await self._check_events()

    async def _check_images(self) -> None:
        images = await self.every(Image)
        built = {image.image_location for image in images if image.creation_state is State.SUCCEEDED}
        assert built == set(self.builder.published)
        for image in images:
            operation = await self.rows.get(ACCOUNT, Operation, image.operation_id)
            assert self.forgotten if operation is None else operation.document.state is image.creation_state
        for name, count in self.builds.items():
            versions = sorted(image.version for image in images if image.name == name)
            assert versions == list(range(1, count + 1))

    async def _check_services(self) -> None:
        services = {service.id: service for service in await self.every(Service)}
        assert all(service.operation_id is None and service.state.terminal for service in services.values())
        live = {name: service.deployment_id for name, service in services.items() if service.deployment_id}
        assert self.compute.serving == live
        assert {spec.service_id for spec in self.compute.specs.values()} <= set(live)
        assert not self.builder.effects.found
        assert not self.compute.effects.found

    async def _check_events(self) -> None:
        for _ in range(3):
            self.clock.advance(timedelta(minutes=6))
            await self.publish()
        told: defaultdict[str, list[int]] = defaultdict(list)
        states: dict[str, str] = {}
        for event in self.sink.sent:
            if event.sequence not in told[event.subject]:
                told[event.subject].append(event.sequence)
                states[event.subject] = event.type.rpartition(".")[2]
        for subject, sequences in told.items():
            assert sequences == sorted(sequences), subject
        for operation in await self.every(Operation):
            assert states[f"operations/{operation.id}"] == operation.state.lower()
        for image in await self.every(Image):
            assert states[f"images/{image.id}"] == image.creation_state.lower()
        for service in await self.every(Service):
            assert states[f"services/{service.id}"] == service.state.lower()
