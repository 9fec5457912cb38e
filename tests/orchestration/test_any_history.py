"""Whatever happens to wake-ups, workers and the store: in the end every operation has ended, and says what is true."""

import contextlib
from collections.abc import Sequence
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.accounts import Account
from shared.domain.documents import Change
from shared.domain.errors import Unavailable
from shared.domain.operations import State
from shared.storage.memory import MemoryStore
from tests.twins import ACCOUNT, World


class Killed(BaseException):
    """A worker's process is gone: nothing of it runs any more, no clean-up either."""


class FaultyStore(MemoryStore):
    """Fails commits as it is told to, before or after they take effect."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[str] = []

    async def commit(self, account: Account, changes: Sequence[Change]):
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "killed before":
            raise Killed
        if fault == "away":
            raise Unavailable("the store is away")
        stored = await super().commit(account, changes)
        if fault == "killed after":
            raise Killed
        if fault == "answer lost":
            raise Unavailable("the answer was lost")
        return stored


EVENTS = st.sampled_from(
    [
        "deliver",
        "deliver",
        "deliver",
        "duplicate",
        "drop",
        "sweep",
        "late",
        "killed before",
        "killed after",
        "away",
        "answer lost",
    ]
)


class FaultyWorld(World):
    """A world whose store fails, and whose workers are killed."""

    def __init__(self) -> None:
        super().__init__()
        self.workers = 0

    def make_store(self) -> MemoryStore:
        return FaultyStore()

    async def deliver(self) -> None:
        wake_up = self.wake_ups.pop()
        if wake_up is None:
            return
        due, account, operation_id = wake_up
        self.clock.advance(max(due - self.clock.now(), timedelta(0)))
        self.workers += 1
        with contextlib.suppress(Killed):
            await self.worker(f"worker {self.workers}").run(account, operation_id)

    async def happens(self, event: str) -> None:
        match event:
            case "deliver":
                await self.deliver()
            case "duplicate":
                self.wake_ups.duplicate()
            case "drop":
                self.wake_ups.pop()
            case "sweep":
                with contextlib.suppress(Unavailable):
                    await self.engine.sweep(ACCOUNT)
            case "late":
                self.clock.advance(timedelta(seconds=45))
            case fault:
                self.store.faults.append(fault)

    async def recover(self) -> None:
        """Two sweep periods and the longest lease, with nothing disturbed any more."""
        self.store.faults.clear()
        for _ in range(4):
            self.clock.advance(timedelta(seconds=30))
            await self.engine.sweep(ACCOUNT)
            await self.settle()


async def test_a_store_that_is_away_costs_no_delivery_and_the_sweep_goes_on_from_there():
    world = FaultyWorld()
    operation = await world.building(await world.manifest())
    for _ in range(10):
        world.store.faults = ["away"] * 10
        await world.worker("anybody").run(ACCOUNT, operation.id)
    assert (await world.operation(operation)).state is State.NOT_STARTED
    await world.recover()
    assert (await world.operation(operation)).state is State.SUCCEEDED


@given(st.lists(EVENTS, max_size=40))
async def test_a_build_ends_once_and_true_whatever_happens_on_the_way(events):
    world = FaultyWorld()
    operation = await world.building(await world.manifest(await world.model()))
    for event in events:
        await world.happens(event)
    await world.recover()
    ended, image = await world.operation(operation), await world.images.get(ACCOUNT, operation.resource_id)
    assert ended.state is State.SUCCEEDED
    assert image.creation_state is State.SUCCEEDED
    assert image.image_location in world.builder.published
    assert await world.engine.sweep(ACCOUNT) == 0


@given(st.lists(EVENTS | st.just("delete"), max_size=40))
async def test_a_service_is_served_or_gone_whatever_happens_on_the_way(events):
    world = FaultyWorld()
    operation = await world.creating(await world.built())
    deleted = False
    for event in events:
        if event == "delete" and not deleted:
            world.store.faults.clear()
            await world.services.delete(ACCOUNT, operation.resource_id)
            deleted = True
        elif event != "delete":
            await world.happens(event)
    await world.recover()
    ended = await world.operation(operation)
    assert ended.state.terminal
    if deleted:
        assert operation.resource_id in world.compute.removed
        assert operation.resource_id not in world.compute.serving
    else:
        assert ended.state is State.SUCCEEDED
        assert world.compute.serving[operation.resource_id] == operation.checkpoint["deploymentId"]
