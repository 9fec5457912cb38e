"""One worker at a time, for as long as its lease holds; what waits, how long, and who may end the waiting."""

import asyncio
import threading
from datetime import timedelta

import pytest

from shared.domain.documents import Replace
from shared.domain.errors import BuildFailed, Conflict, Throttled, Unavailable
from shared.domain.fencing import LeaseLost, check_fence
from shared.domain.operations import Operation, State
from shared.domain.ports import NO_TELEMETRY, Telemetry
from shared.orchestration.engine import Engine, Limits
from shared.orchestration.hold import LeaseTerms
from shared.orchestration.outcome import Done, Failure, Next, Wait
from tests.twins import ACCOUNT, World

WATCHFUL = LeaseTerms(timedelta(seconds=20), timedelta(milliseconds=20), timedelta(seconds=5))
TERMS = LeaseTerms(timedelta(milliseconds=400), timedelta(milliseconds=100), timedelta(milliseconds=100))


class Halting:
    """A build whose first step does what a test says; the workflow of an engine with short leases."""

    def __init__(self, world: World, step=None) -> None:
        self.world = world
        self.began, self.go_on = asyncio.Event(), asyncio.Event()
        self.ran = 0
        self.undone = 0
        self._step = step or self._halts
        self.steps = {"begin": self._begin, "dependencies": self._ends}

    def engine(self, owner: str, telemetry: Telemetry = NO_TELEMETRY, **limits) -> Engine:
        terms, world = Limits(**{"lease": TERMS, **limits}), self.world
        return Engine(
            world.store,
            world.wake_ups,
            world.clock,
            {"build-image": self},
            owner=owner,
            limits=terms,
            telemetry=telemetry,
        )

    async def _begin(self, account, operation):
        self.ran += 1
        self.began.set()
        return await self._step()

    async def _halts(self):
        await self.go_on.wait()
        return Next("dependencies")

    async def _ends(self, account, operation):
        return Done(())

    async def undo(self, account, operation):
        self.undone += 1

    async def failed(self, account, operation, error, *, undone):
        return Failure(error)

    async def cancelled(self, account, operation):
        return ()

    def overdue(self, operation):
        return Unavailable("overdue")


@pytest.fixture
def world():
    return World()


async def accepted(world):
    return await world.building(await world.manifest())


async def test_while_one_works_on_it_another_does_not(world):
    operation, build = await accepted(world), Halting(world)
    working = asyncio.create_task(build.engine("one").run(ACCOUNT, operation.id))
    await build.began.wait()
    await build.engine("two").run(ACCOUNT, operation.id)
    assert build.ran == 1
    build.go_on.set()
    await working
    assert (await world.operation(operation)).state is State.SUCCEEDED


async def test_a_worker_that_is_stopped_gives_back_its_lease_and_another_goes_on_at_once(world):
    operation, build = await accepted(world), Halting(world)
    working = asyncio.create_task(build.engine("one").run(ACCOUNT, operation.id))
    await build.began.wait()
    while world.wake_ups.pop():
        pass
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert (await world.operation(operation)).lease is None
    assert world.wake_ups.pop() is not None
    build.go_on.set()
    await build.engine("two").run(ACCOUNT, operation.id)
    assert (await world.operation(operation)).state is State.SUCCEEDED


async def test_a_cancelled_operation_stops_in_the_middle_of_a_step(world):
    operation, build = await accepted(world), Halting(world)
    working = asyncio.create_task(build.engine("one", lease=WATCHFUL).run(ACCOUNT, operation.id))
    await build.began.wait()
    await world.operations.cancel(ACCOUNT, operation.id)
    await asyncio.wait_for(working, 5)
    ended = await world.operation(operation)
    assert (ended.state, build.undone) == (State.CANCELLED, 1)
    assert await world.operations.cancel(ACCOUNT, operation.id) == ended


async def test_a_step_that_was_stopped_begins_no_effect_from_a_thread_of_its_own(world):
    refused, go_on, ended, loop = [], threading.Event(), asyncio.Event(), asyncio.get_running_loop()

    def effect() -> None:
        go_on.wait(timeout=10)
        try:
            check_fence()
        except LeaseLost:
            refused.append("stopped")
        loop.call_soon_threadsafe(ended.set)

    operation, build = await accepted(world), Halting(world, lambda: asyncio.to_thread(effect))
    working = asyncio.create_task(build.engine("one", lease=WATCHFUL).run(ACCOUNT, operation.id))
    await build.began.wait()
    await world.operations.cancel(ACCOUNT, operation.id)
    await working
    assert build.undone == 1
    go_on.set()
    await ended.wait()
    assert refused == ["stopped"]


async def test_what_others_have_ended_is_let_go_only_when_the_step_has_stopped(world):
    async def works() -> None:
        while True:
            leased.append((await world.operation(operation)).lease is not None)
            await asyncio.sleep(0)

    leased: list[bool] = []
    operation, build = await accepted(world), Halting(world, works)
    working = asyncio.create_task(build.engine("one", lease=WATCHFUL).run(ACCOUNT, operation.id))
    await build.began.wait()
    stored = await world.store.get(ACCOUNT, Operation, operation.id)
    await world.store.commit(ACCOUNT, [Replace(stored, stored.document.cancelled(world.clock.now()))])
    await working
    assert all(leased)
    ended = await world.operation(operation)
    assert (ended.state, ended.lease) == (State.CANCELLED, None)


async def test_whoever_works_on_what_is_closed_stops_and_another_takes_back_what_it_did(world):
    operation, build = await accepted(world), Halting(world)
    working = asyncio.create_task(build.engine("one", lease=WATCHFUL).run(ACCOUNT, operation.id))
    await build.began.wait()
    await build.engine("two").close(ACCOUNT, operation.id)
    await asyncio.wait_for(working, 5)
    assert (await world.operation(operation)).lease is None
    await build.engine("two").run(ACCOUNT, operation.id)
    ended = await world.operation(operation)
    assert (ended.state, build.undone, [step.name for step in ended.steps].count("undo")) == (State.FAILED, 1, 1)


async def test_what_is_closed_twice_is_taken_back_all_the_same(world):
    operation, build = await accepted(world), Halting(world)
    for _ in range(2):
        await build.engine("one").close(ACCOUNT, operation.id)
    await build.engine("two").run(ACCOUNT, operation.id)
    assert ((await world.operation(operation)).state, build.undone) == (State.FAILED, 1)


async def test_what_a_worker_is_taking_back_is_not_closed(world):
    class TakesLong(Halting):
        async def undo(self, account, operation):
            undoing.set()
            await self.go_on.wait()
            self.undone += 1

    async def fails():
        raise BuildFailed("no wheel")

    operation, build, undoing = await accepted(world), TakesLong(world, fails), asyncio.Event()
    working = asyncio.create_task(build.engine("one").run(ACCOUNT, operation.id))
    await undoing.wait()
    await build.engine("two").close(ACCOUNT, operation.id)
    assert (await world.operation(operation)).state is State.RUNNING
    build.go_on.set()
    await working
    ended = await world.operation(operation)
    assert (ended.state, ended.error.message, build.undone) == (State.FAILED, "no wheel", 1)


async def test_a_cancelled_pause_ends_at_once(world):
    async def away():
        raise Throttled("busy", retry_after=100)

    operation, build = await accepted(world), Halting(world, away)
    await build.engine("one").run(ACCOUNT, operation.id)
    paused = await world.operation(operation)
    assert paused.not_before - world.clock.now() > timedelta(seconds=90)
    await world.operations.cancel(ACCOUNT, operation.id)
    await build.engine("one").run(ACCOUNT, operation.id)
    assert (await world.operation(operation)).state is State.CANCELLED


async def test_what_has_ended_otherwise_is_not_cancelled(world):
    operation = await accepted(world)
    await world.settle()
    with pytest.raises(Conflict) as refused:
        await world.operations.cancel(ACCOUNT, operation.id)
    assert refused.value.code == "OperationEnded"


async def test_pauses_double_from_a_second_to_two_minutes_and_are_never_all_alike(world):
    async def away():
        raise Unavailable("away")

    operation, build = await accepted(world), Halting(world, away)
    engine, pauses = build.engine("one", otherwise=14), []
    for _ in range(13):
        await engine.run(ACCOUNT, operation.id)
        waiting = await world.operation(operation)
        pauses.append((waiting.not_before - world.clock.now()).total_seconds())
        world.clock.advance(waiting.not_before - world.clock.now())
    for attempt, pause in enumerate(pauses):
        longest = min(2**attempt, 120)
        assert longest / 2 - 0.1 <= pause <= longest
    assert len({round(pause / min(2**attempt, 120), 3) for attempt, pause in enumerate(pauses)}) > 3


async def test_a_pause_is_as_long_as_who_refused_asks_for(world):
    async def busy():
        raise Throttled("busy", retry_after=300)

    operation, build = await accepted(world), Halting(world, busy)
    await build.engine("one").run(ACCOUNT, operation.id)
    waiting = await world.operation(operation)
    assert 299 < (waiting.not_before - world.clock.now()).total_seconds() <= 300
    assert "busy" in waiting.waiting_for


@pytest.mark.parametrize("pause", [3600, float("9" * 400)])
async def test_a_pause_that_is_longer_than_there_is_time_for_is_cut_so_that_one_more_try_fits(world, pause):
    async def busy():
        if build.ran == 1:
            raise Throttled("busy", retry_after=pause)
        return Next("dependencies")

    operation, build = await accepted(world), Halting(world, busy)
    await build.engine("one").run(ACCOUNT, operation.id)
    waiting = await world.operation(operation)
    assert 59 < (waiting.deadline - waiting.not_before).total_seconds() < 61
    world.clock.advance(waiting.not_before - world.clock.now())
    await build.engine("one").run(ACCOUNT, operation.id)
    assert ((await world.operation(operation)).state, build.ran) == (State.SUCCEEDED, 2)


async def test_who_asks_for_a_pause_without_end_is_not_asked_without_end(world):
    async def busy():
        raise Throttled("busy", retry_after=float("9" * 400))

    operation, build = await accepted(world), Halting(world, busy)
    engine = build.engine("one")
    while not (waiting := await world.operation(operation)).state.terminal:
        world.clock.advance(max(waiting.not_before - world.clock.now(), timedelta(0)))
        await engine.run(ACCOUNT, operation.id)
    assert (waiting.state, waiting.error.message, build.undone) == (State.FAILED, "busy", 1)
    assert 2 <= build.ran <= 8


@pytest.mark.parametrize("attempts", [1, 3])
async def test_attempts_come_to_an_end_by_kind_of_operation(world, attempts):
    async def away():
        raise Unavailable("away")

    operation, build = await accepted(world), Halting(world, away)
    engine = build.engine("one", attempts={"build-image": attempts})
    while not (await world.operation(operation)).state.terminal:
        world.clock.advance(timedelta(minutes=3))
        await engine.run(ACCOUNT, operation.id)
    assert (build.ran, build.undone) == (attempts, 1)


async def test_a_step_that_waits_says_for_what_and_is_not_a_failed_attempt(world):
    outcomes = [Wait(timedelta(seconds=1), "1 of 2 replicas")] * 30

    async def waits():
        return outcomes.pop() if outcomes else Next("dependencies")

    operation, build = await accepted(world), Halting(world, waits)
    engine = build.engine("one")
    await engine.run(ACCOUNT, operation.id)
    waiting = await world.operation(operation)
    assert (waiting.waiting_for, waiting.attempts) == ("1 of 2 replicas", 0)
    while not (await world.operation(operation)).state.terminal:
        world.clock.advance(timedelta(seconds=1))
        await engine.run(ACCOUNT, operation.id)
    assert build.ran == 31
