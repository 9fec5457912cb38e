"""One account's operations never take all of a worker: what is over its share waits, says so, and is woken in its turn."""

import asyncio
from datetime import timedelta

import pytest

from shared.domain.accounts import Account
from shared.domain.documents import Insert
from shared.domain.operations import Operation, State
from shared.domain.plans import BUILD_IMAGE, DEPLOY_SERVICE
from shared.orchestration.engine import Engine, Limits
from shared.orchestration.outcome import Done
from tests.operations import an_operation
from tests.twins import World
from tests.waiting import until

ONE, OTHER = Account("sub", "group", "one"), Account("sub", "group", "other")


class Slow:
    """A workflow whose only step lasts until it is let go."""

    def __init__(self) -> None:
        self.running: list[str] = []
        self.accounts: list[Account] = []
        self.ended: list[str] = []
        self.go_on = asyncio.Event()
        self.begun = asyncio.Condition()
        self.steps = {"begin": self._begin}

    async def _begin(self, account, operation):
        async with self.begun:
            self.running.append(operation.id)
            self.accounts.append(account)
            self.begun.notify_all()
        await self.go_on.wait()
        self.ended.append(operation.id)
        return Done(())

    async def until_running(self, count: int) -> None:
        async with asyncio.timeout(5), self.begun:
            await self.begun.wait_for(lambda: len(self.running) >= count)


class Worker:
    """An engine, and the wake-ups that it works on at once."""

    def __init__(self, world: World, share: int) -> None:
        self.slow = Slow()
        workflows = {BUILD_IMAGE: self.slow, DEPLOY_SERVICE: self.slow}
        self.engine = Engine(world.store, world.wake_ups, world.clock, workflows, owner="worker", limits=Limits(share=share))
        self._world = world
        self._runs: list[asyncio.Task[None]] = []

    async def accepted(self, account: Account, workflow: str, count: int) -> list[Operation]:
        now = self._world.clock.now()
        made = [
            an_operation(workflow=workflow, created_time=now, not_before=now, deadline=now + timedelta(hours=1))
            for _ in range(count)
        ]
        for operation in made:
            await self._world.store.commit(account, [Insert(operation)])
            self.wake(account, operation.id)
        return made

    def wake(self, account: Account, operation_id: str) -> None:
        self._runs.append(asyncio.create_task(self.engine.run(account, operation_id)))

    def deliver(self) -> None:
        while (due := self._world.wake_ups.pop()) is not None:
            self.wake(due[1], due[2])

    async def until_ended(self, count: int) -> None:
        async def ended() -> bool:
            self.deliver()
            return len(self.slow.ended) >= count

        await until(ended)

    async def close(self) -> None:
        self.slow.go_on.set()
        await asyncio.gather(*self._runs)


@pytest.fixture
async def worker():
    made = Worker(World(), share=3)
    yield made
    await made.close()


async def test_another_account_is_served_however_much_one_asks_for(worker):
    await worker.accepted(ONE, BUILD_IMAGE, 40)
    await worker.slow.until_running(3)
    await worker.accepted(OTHER, BUILD_IMAGE, 1)
    await worker.slow.until_running(4)
    assert worker.slow.accounts == [ONE, ONE, ONE, OTHER]


async def test_deployments_do_not_wait_for_builds_of_the_same_account(worker):
    await worker.accepted(ONE, BUILD_IMAGE, 40)
    await worker.slow.until_running(3)
    await worker.accepted(ONE, DEPLOY_SERVICE, 2)
    await worker.slow.until_running(5)


async def test_what_waits_says_so_and_no_longer_once_it_runs(worker):
    made = await worker.accepted(ONE, BUILD_IMAGE, 4)
    await worker.slow.until_running(3)
    store = worker._world.store

    async def waits() -> bool:
        return (await store.get(ONE, Operation, made[3].id)).document.waiting_for is not None

    await until(waits)
    waiting = (await store.get(ONE, Operation, made[3].id)).document
    assert waiting.waiting_for == "its turn: 3 others of its account are under way"
    assert waiting.state is State.NOT_STARTED
    worker.slow.go_on.set()
    await worker.until_ended(4)
    await worker.close()
    ended = (await store.get(ONE, Operation, made[3].id)).document
    assert (ended.state, ended.waiting_for) == (State.SUCCEEDED, None)


async def test_each_that_ends_wakes_the_one_that_waits_longest(worker):
    made = await worker.accepted(ONE, BUILD_IMAGE, 12)
    await worker.slow.until_running(3)
    worker.slow.go_on.set()
    await worker.until_ended(12)
    assert worker.slow.running == [operation.id for operation in made]
