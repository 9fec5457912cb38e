"""Whatever happens to wake-ups, workers, clocks and the outside: every operation ends, and says what is true."""

import asyncio
import os
from datetime import timedelta

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from shared.domain.computing import Observed, Survey
from shared.domain.documents import Document
from shared.domain.operations import ErrorResponse, Operation
from shared.domain.plans import DELETE_SERVICE
from shared.domain.services import Service
from tests.chaos.disturbance import Fault
from tests.chaos.worlds import ChaosWorld

LONG = os.environ.get("SLIPWAY_CHAOS") == "long"
MOST_ASKED = 6

faults = st.dictionaries(st.integers(1, 40), st.sampled_from(Fault), max_size=2)
skews = st.sampled_from([timedelta(0), timedelta(seconds=30), timedelta(seconds=-30)])
anybody = st.integers(0, 100)
MISSING, UP = Observed(missing=("Ingress",)), Observed(ready=True)
DOWN = Observed(error=ErrorResponse(code="Down", message="nothing is ready", status_code=503))


def keeps_its_effects(operation: Operation) -> bool:
    """Whether it says what it left, and leaves it, when it is given up: a delete, or what fails to be taken back."""
    return operation.workflow == DELETE_SERVICE or (operation.undoing and operation.steps[-1].attempts > 0)


class AnyHistory(RuleBasedStateMachine):
    """Requests, deliveries and disturbances in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.world = ChaosWorld()
        self.image_id = self.manifest_id = ""
        self.requests = 0

    @initialize()
    def begins(self) -> None:
        self.runner.run(self._begin())

    async def _begin(self) -> None:
        manifest = await self.world.manifest(await self.world.model())
        self.manifest_id = manifest.id
        operation = await self.world.ask_build(manifest.id, "first")
        assert operation is not None
        self.image_id = operation.resource_id
        await self.world.recover()

    def _at_risk(self, given: dict[int, Fault]) -> None:
        """From now on, those calls go wrong."""
        self.world.faults = {self.world.calls + number: fault for number, fault in given.items()}

    async def _one_of[D: Document](self, kind: type[D], number: int) -> D | None:
        there = await self.world.every(kind)
        return there[number % len(there)] if there else None

    @precondition(lambda self: self.requests < MOST_ASKED)
    @rule(given=faults)
    def builds(self, given):
        self.requests += 1
        self._at_risk(given)
        self.runner.run(self.world.ask_build(self.manifest_id, "image"))

    @precondition(lambda self: self.requests < MOST_ASKED)
    @rule(given=faults, name=st.sampled_from(["one", "two"]))
    def creates(self, given, name):
        self.requests += 1
        self._at_risk(given)
        self.runner.run(self.world.ask_create(self.image_id, name))

    @precondition(lambda self: self.requests < MOST_ASKED)
    @rule(given=faults, which=anybody)
    def updates(self, given, which):
        async def update() -> None:
            service = await self._one_of(Service, which)
            if service is not None:
                await self.world.ask_update(service.id, self.image_id)

        self.requests += 1
        self._at_risk(given)
        self.runner.run(update())

    @rule(given=faults, which=anybody)
    def deletes(self, given, which):
        async def delete() -> None:
            service = await self._one_of(Service, which)
            if service is not None:
                await self.world.ask_delete(service.id)

        self._at_risk(given)
        self.runner.run(delete())

    @rule(given=faults, which=anybody)
    def cancels(self, given, which):
        async def cancel() -> None:
            active = await self.world.active()
            if active:
                await self.world.ask_cancel(active[which % len(active)].id)

        self._at_risk(given)
        self.runner.run(cancel())

    @rule(given=faults, which=anybody)
    def gives_up(self, given, which):
        async def close() -> None:
            active = [operation for operation in await self.world.active() if not keeps_its_effects(operation)]
            if active:
                await self.world.close(active[which % len(active)].id)

        self._at_risk(given)
        self.runner.run(close())

    @rule(given=faults, skew=skews)
    def delivers(self, given, skew):
        self._at_risk(given)
        self.runner.run(self.world.deliver(skew))

    @rule(given=faults, skew=skews)
    def delivers_once_more(self, given, skew):
        self._at_risk(given)
        self.runner.run(self.world.deliver(skew))

    @rule(given=faults, times=st.integers(2, 3))
    def delivers_to_several_at_once(self, given, times):
        self._at_risk(given)
        self.runner.run(self.world.deliver(times=times))

    @rule()
    def doubles(self):
        self.world.wake_ups.duplicate()

    @rule()
    def drops(self):
        self.world.wake_ups.pop()

    @rule(seconds=st.sampled_from([1, 15, 25, 45, 3600]))
    def passes_time(self, seconds):
        self.world.clock.advance(timedelta(seconds=seconds))

    @rule(given=faults)
    def sweeps(self, given):
        self._at_risk(given)
        self.runner.run(self.world.sweep())

    @rule(given=faults)
    def publishes(self, given):
        self._at_risk(given)
        self.runner.run(self.world.publish())

    @rule(given=faults, which=anybody, observed=st.sampled_from([MISSING, DOWN, UP]))
    def surveys(self, given, which, observed):
        async def survey() -> None:
            service = await self._one_of(Service, which)
            if service is not None:
                self.world.compute.seen = Survey({service.id: observed}, orphans=(service.id,))
                await self.world.survey()

        self._at_risk(given)
        self.runner.run(survey())

    def teardown(self) -> None:
        async def settle() -> None:
            await self.world.recover()
            await self.world.check()

        try:
            if self.image_id:
                self.runner.run(settle())
        finally:
            self.runner.close()


TestAnyHistory = AnyHistory.TestCase
TestAnyHistory.settings = settings(
    max_examples=20_000 if LONG else 300,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
