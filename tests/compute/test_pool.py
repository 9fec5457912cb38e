"""The slots: given in order, never to too many, never lost."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from yarl import URL

from local.compute.pool import Backend, Pool
from shared.domain.errors import Unavailable


def backend(slots: int = 1) -> Backend:
    return Backend(URL("http://127.0.0.1:1"), slots)


class Caller:
    """Takes a slot in a task of its own, and holds it until it is let go."""

    def __init__(self, pool: Pool) -> None:
        self.backend: Backend | None = None
        self._finish = asyncio.Event()
        self.task = asyncio.create_task(self._call(pool))

    async def _call(self, pool: Pool) -> None:
        async with pool.slot() as self.backend:
            await self._finish.wait()

    @property
    def waiting(self) -> bool:
        return self.backend is None and not self.task.done()

    async def finish(self) -> None:
        self._finish.set()
        await asyncio.gather(self.task, return_exceptions=True)

    async def go_away(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_waits_is_served_in_order() -> None:
    pool, order = Pool(10), []
    pool.use([backend()])

    async def call(number: int) -> None:
        async with pool.slot():
            order.append(number)
            await asyncio.sleep(0)

    await asyncio.gather(*map(call, range(8)))
    assert order == list(range(8))


async def test_past_the_bound_nobody_waits() -> None:
    pool = Pool(waiting_per_replica=1)
    pool.use([backend(), backend()])
    callers = [Caller(pool) for _ in range(5)]
    await settle()
    with pytest.raises(Unavailable) as refused:
        await callers[4].task
    assert refused.value.code == "TooManyRequests"
    for caller in callers[:4]:
        await caller.finish()
    assert all(caller.backend for caller in callers[:4])


async def test_without_backends_nobody_waits_unless_one_is_expected() -> None:
    pool = Pool(10)
    with pytest.raises(Unavailable) as refused:
        await Caller(pool).task
    assert refused.value.code == "NoReplica"
    pool.use([], expecting=True)
    caller = Caller(pool)
    await asyncio.wait_for(pool.demand(), 1)
    pool.use([backend()])
    await settle()
    assert caller.backend
    await caller.finish()


async def test_who_waits_is_sent_away_when_the_last_backend_goes() -> None:
    pool = Pool(10)
    pool.use([backend()])
    holder, waiter = Caller(pool), Caller(pool)
    await settle()
    pool.use([])
    with pytest.raises(Unavailable):
        await waiter.task
    await holder.finish()


async def test_who_waits_moves_to_the_backends_that_take_over() -> None:
    pool, old, new = Pool(10), backend(), backend()
    pool.use([old])
    holder, waiter = Caller(pool), Caller(pool)
    await settle()
    pool.use([new])
    await settle()
    assert waiter.backend is new
    assert not await old.idle(0.01)
    await holder.finish()
    assert await old.idle(0.01)
    await waiter.finish()


async def test_equally_busy_backends_take_turns() -> None:
    pool, backends = Pool(10), [backend(slots=4) for _ in range(3)]
    pool.use(backends)
    had = []
    for _ in range(6):
        async with pool.slot() as one:
            had.append(backends.index(one))
    assert had == [0, 1, 2, 0, 1, 2]


class AnyHistory(RuleBasedStateMachine):
    """Whatever comes and goes: no slot is used twice or lost, and nobody waits while one is free."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.backends: list[Backend] = []
        self.callers: list[Caller] = []
        self.pool = self.runner.run(self.make())

    async def make(self) -> Pool:
        return Pool(waiting_per_replica=3)

    def do(self, work: Callable[[], Awaitable[None]]) -> None:
        async def done() -> None:
            await work()
            await settle()

        self.runner.run(done())

    def one_of(self, callers: Iterable[Caller], data: st.DataObject) -> Caller | None:
        found = list(callers)
        return data.draw(st.sampled_from(found)) if found else None

    @rule(count=st.integers(0, 3), slots=st.integers(1, 3), expecting=st.booleans())
    def others_take_over(self, count: int, slots: int, expecting: bool) -> None:
        async def use() -> None:
            self.backends = [backend(slots) for _ in range(count)]
            self.pool.use(self.backends, expecting=expecting)

        self.do(use)

    @rule()
    def somebody_calls(self) -> None:
        async def call() -> None:
            self.callers.append(Caller(self.pool))

        self.do(call)

    @rule(data=st.data())
    def a_call_ends(self, data: st.DataObject) -> None:
        if caller := self.one_of((each for each in self.callers if each.backend), data):
            self.do(caller.finish)

    @rule(data=st.data())
    def a_caller_goes_away(self, data: st.DataObject) -> None:
        if caller := self.one_of(self.callers, data):
            self.do(caller.go_away)

    @rule(data=st.data())
    def a_caller_goes_away_in_the_moment_it_is_served(self, data: st.DataObject) -> None:
        caller = self.one_of((each for each in self.callers if each.waiting), data)

        async def go() -> None:
            self.backends.append(backend())
            self.pool.use(self.backends)
            if caller:
                await caller.go_away()

        self.do(go)

    @invariant()
    def slots_are_used_by_those_who_have_them(self) -> None:
        held = [caller.backend for caller in self.callers if not caller.task.done()]
        assert [each.busy for each in self.backends] == [held.count(each) for each in self.backends]

    @invariant()
    def nobody_waits_while_a_slot_is_free(self) -> None:
        waiting = [caller for caller in self.callers if caller.waiting]
        assert not waiting or not any(each.free for each in self.backends)

    def teardown(self) -> None:
        for caller in self.callers:
            self.do(caller.go_away)
        self.runner.close()


TestAnyHistory = AnyHistory.TestCase
