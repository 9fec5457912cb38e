"""What is told of an operation: a line for each transition, from its acceptance on, and a count for each new state."""

import logging
from collections import Counter
from contextlib import nullcontext
from datetime import timedelta

import pytest

from shared.domain.errors import Unavailable
from shared.domain.models import ModelRequest
from shared.domain.operations import Operation
from shared.domain.pipelines import PipelineRequest
from shared.domain.plans import BUILD_IMAGE, DELETE_SERVICE, DEPLOY_SERVICE, PLANS, RUN_PIPELINE
from shared.domain.ports import Telemetry
from shared.domain.services import ServiceUpdateRequest
from shared.orchestration.outcome import Next, Wait
from shared.resources.operations import Operations
from shared.resources.pipelines import Pipelines
from shared.resources.repeatability import Repeatable
from shared.resources.services import Services
from shared.storage.memory import MemoryStore
from tests.orchestration.test_leases import Halting, accepted
from tests.twins import ACCOUNT, World


class Counting(Telemetry):
    """Counts, and remembers nothing else."""

    def __init__(self) -> None:
        self.states: Counter[str] = Counter()
        self.workflows: set[str] = set()

    def span(self, name, parent, attributes=None):
        return nullcontext()

    def count(self, name, attributes=None):
        if name == "slipway.operations":
            self.states[attributes["state"]] += 1
            self.workflows.add(attributes["workflow"])

    def measure(self, name, value, attributes=None):
        pass


@pytest.fixture
def world():
    return World()


async def test_each_state_is_counted_once_however_long_a_step_waits(world):
    async def waits():
        return Wait(timedelta(seconds=1), "a replica") if build.ran < 5 else Next("dependencies")

    operation, build, told = await accepted(world), Halting(world, waits), Counting()
    engine = build.engine("one", telemetry=told)
    for _ in range(5):
        await engine.run(ACCOUNT, operation.id)
        world.clock.advance(timedelta(seconds=1))
    assert told.states == {"Running": 1, "Succeeded": 1}


async def test_what_is_closed_is_told_and_counted_too(world, caplog):
    caplog.set_level(logging.INFO)

    class Breaks(Halting):
        async def undo(self, account, operation):
            raise ZeroDivisionError

    operation, build, told = await accepted(world), Breaks(world), Counting()
    engine = build.engine("one", telemetry=told)
    await engine.close(ACCOUNT, operation.id)
    assert f"operation={operation.id} resource={operation.resource_id} step=begin outcome=Closed state=" in caplog.text
    with pytest.raises(ZeroDivisionError):
        await engine.run(ACCOUNT, operation.id)
    await engine.close(ACCOUNT, operation.id)
    assert f"operation={operation.id} resource={operation.resource_id} step=undo outcome=Closed state=Failed" in caplog.text
    assert told.states == {"Running": 1, "Failed": 1}


PIPELINE = PipelineRequest(model=ModelRequest(name="digits", url="http://store/x", mime_type="application/json"))


def transitions(caplog, outcome: str) -> list[str]:
    """The lines of that outcome."""
    return [line for line in caplog.messages if f" outcome={outcome} " in line]


def pipelines(world, told):
    operations = Operations(world.store, world.clock, world.wake_ups, telemetry=told)
    return Pipelines(world.store, world.clock, operations=operations, computes=world.compute_resources)


async def test_what_is_accepted_is_told_and_counted(world, caplog):
    caplog.set_level(logging.INFO)
    told = Counting()
    operation = await pipelines(world, told).run(ACCOUNT, PIPELINE)
    (line,) = transitions(caplog, "Accepted")
    named = f"operation={operation.id} resource={operation.resource_id} step=model "
    assert line == f"{named}outcome=Accepted state=NotStarted attempt=1 seconds=0.000"
    assert (told.states, told.workflows) == ({"NotStarted": 1}, {RUN_PIPELINE})


async def test_a_request_that_is_answered_from_its_record_is_told_once(world, caplog):
    caplog.set_level(logging.INFO)
    told = Counting()
    use_case, request = pipelines(world, told), Repeatable("http: 1", "the same")
    for _ in range(3):
        await world.requests.once(ACCOUNT, request, Operation, lambda once: use_case.run(ACCOUNT, PIPELINE, once))
    assert (len(transitions(caplog, "Accepted")), told.states) == (1, {"NotStarted": 1})


async def test_what_was_not_committed_is_not_told(world, caplog):
    caplog.set_level(logging.INFO)

    class Away(MemoryStore):
        async def commit(self, account, changes):
            raise Unavailable("The store is away.")

    world.store, told = Away(world.clock), Counting()
    with pytest.raises(Unavailable):
        await pipelines(world, told).run(ACCOUNT, PIPELINE)
    assert (transitions(caplog, "Accepted"), told.states) == ([], {})


async def test_every_kind_of_operation_is_told_when_it_is_accepted(world, caplog):
    caplog.set_level(logging.INFO)
    service_id = await world.serving(await world.built())
    await world.services.update(ACCOUNT, service_id, ServiceUpdateRequest())
    await world.services.delete(ACCOUNT, service_id)
    steps = [line.split(" step=")[1].split()[0] for line in transitions(caplog, "Accepted")]
    assert steps == [PLANS[kind].steps[0] for kind in (BUILD_IMAGE, DEPLOY_SERVICE, DEPLOY_SERVICE, DELETE_SERVICE)]


async def test_what_is_cancelled_with_its_service_is_told_and_counted_once(world, caplog):
    caplog.set_level(logging.INFO)
    operation, told = await world.creating(await world.built()), Counting()
    operations = Operations(world.store, world.clock, world.wake_ups, telemetry=told)
    services = Services(
        world.store, world.clock, operations=operations, computes=world.compute_resources, key_ring=world.key_ring
    )
    for _ in range(2):
        await services.delete(ACCOUNT, operation.resource_id)
    await world.settle()
    (line,) = transitions(caplog, "Cancelled")
    assert line.startswith(f"operation={operation.id} resource={operation.resource_id} step={operation.step} ")
    assert line.endswith("outcome=Cancelled state=Cancelled attempt=1 seconds=0.000")
    assert told.states == {"Cancelled": 1, "NotStarted": 1}
