"""The outbox: no event without its change, no change without its event; at least once, in order per resource."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from shared.domain.documents import Claim, Insert
from shared.domain.errors import Conflict, Unavailable
from shared.domain.events import Event
from shared.domain.ids import in_order
from shared.orchestration.publisher import Publisher
from tests.operations import an_operation
from tests.twins import ACCOUNT, TwinSink, World


@dataclass
class PickySink(TwinSink):
    """Fails for the subjects it is told to."""

    refused: set[str] = field(default_factory=set)

    async def send(self, event: Event) -> None:
        if event.subject in self.refused:
            raise Unavailable("not this one")
        await super().send(event)


@dataclass
class HesitantSink(PickySink):
    """Fails once for the subjects it is told to."""

    async def send(self, event: Event) -> None:
        try:
            await super().send(event)
        finally:
            self.refused.discard(event.subject)


@pytest.fixture
def world():
    return World()


def publisher(world: World, sink: TwinSink, owner: str = "publisher") -> Publisher:
    return Publisher(world.store, world.clock, Event, sink, world.rejected, owner=owner)


def told(sink: TwinSink) -> list[tuple[str, str]]:
    return [(event.subject, event.type.rpartition(".")[2]) for event in sink.sent]


async def test_every_transition_is_told_once_in_the_order_of_its_resource(world):
    image_id = await world.built(await world.model())
    service_id = await world.serving(image_id)
    await world.services.delete(ACCOUNT, service_id)
    await world.settle()
    await world.publisher.publish(ACCOUNT)
    assert [what for subject, what in told(world.sink) if subject == f"images/{image_id}"] == [
        "accepted",
        "running",
        "succeeded",
    ]
    assert [what for subject, what in told(world.sink) if subject == f"services/{service_id}"] == [
        "accepted",
        "succeeded",
        "deleted",
    ]
    assert len({event.id for event in world.sink.sent}) == len(world.sink.sent)
    assert not await world.publisher.waiting(ACCOUNT)
    world.sink.sent.clear()
    await world.publisher.publish(ACCOUNT)
    assert world.sink.sent == []


async def test_a_change_that_was_refused_tells_nothing(world):
    await world.store.commit(ACCOUNT, [Claim("name", "x")])
    with pytest.raises(Conflict):
        await world.store.commit(ACCOUNT, [Claim("name", "y"), Insert(an_operation())])
    await world.publisher.publish(ACCOUNT)
    assert world.sink.sent == []


async def test_what_cannot_be_sent_waits_and_is_tried_after_growing_pauses(world):
    await world.model()
    world.sink.away = True
    tried = 0
    for _ in range(600):
        world.clock.advance(timedelta(seconds=1))
        before = world.clock.now()
        await world.publisher.publish(ACCOUNT)
        tried += (world.clock.now() - before) > timedelta(milliseconds=3)
    assert world.sink.sent == []
    assert 4 <= tried <= 12
    world.sink.away = False
    world.clock.advance(timedelta(minutes=5))
    await world.publisher.publish(ACCOUNT)
    assert len(world.sink.sent) == 1


async def test_one_resource_that_cannot_be_told_keeps_back_its_own_events_only(world):
    kept, free = await world.model("kept"), await world.model("free")
    sink = PickySink(refused={f"models/{kept.id}"})
    await world.models.delete(ACCOUNT, kept.id)
    await publisher(world, sink).publish(ACCOUNT)
    assert told(sink) == [(f"models/{free.id}", "registered")]
    sink.refused.clear()
    world.clock.advance(timedelta(minutes=1))
    await publisher(world, sink).publish(ACCOUNT)
    assert told(sink)[1:] == [(f"models/{kept.id}", "registered"), (f"models/{kept.id}", "deleted")]


async def test_what_is_kept_back_stays_in_order_across_pages(world):
    kept = await world.model("kept")
    await world.models.delete(ACCOUNT, kept.id)
    for _ in range(99):  # with the first event of the two a whole page
        await world.model()
    sink = HesitantSink(refused={f"models/{kept.id}"})
    await publisher(world, sink).publish(ACCOUNT)
    assert len(sink.sent) == 99
    world.clock.advance(timedelta(minutes=1))
    await publisher(world, sink).publish(ACCOUNT)
    assert told(sink)[99:] == [(f"models/{kept.id}", "registered"), (f"models/{kept.id}", "deleted")]


async def test_more_than_a_page_of_one_resource_keeps_back_its_own_events_only(world):
    free, kept = await world.model("free"), await world.model("kept")
    (registered, _) = (await world.rows.page(ACCOUNT, Event, {}, count=2)).items
    assert registered.subject == f"models/{kept.id}"
    for number in range(2, 150):
        later = registered.but(id=in_order(kept.id, number), sequence=number)
        await world.rows.commit(ACCOUNT, [Insert(later)])
    sink = PickySink(refused={f"models/{kept.id}"})
    await publisher(world, sink).publish(ACCOUNT)
    assert told(sink) == [(f"models/{free.id}", "registered")]


async def test_two_publishers_at_once_send_each_event_once(world):
    for _ in range(20):
        await world.model()
    await asyncio.gather(*(publisher(world, world.sink, f"p{number}").publish(ACCOUNT) for number in range(4)))
    assert len(world.sink.sent) == 20


async def test_what_a_dead_publisher_had_in_hand_is_sent_again(world):
    await world.model()
    dying = publisher(world, world.sink)
    begun = asyncio.create_task(dying._begin(ACCOUNT))
    assert await begun is not None
    await world.publisher.publish(ACCOUNT)
    assert world.sink.sent == []
    world.clock.advance(timedelta(seconds=61))
    await world.publisher.publish(ACCOUNT)
    assert len(world.sink.sent) == 1


async def test_what_could_not_be_sent_for_days_goes_to_the_poison_queue(world):
    model = await world.model()
    world.sink.away = True
    world.clock.advance(timedelta(days=3))
    await world.publisher.publish(ACCOUNT)
    assert told(world.rejected) == [(f"models/{model.id}", "registered")]
    assert not await world.publisher.waiting(ACCOUNT)


async def test_more_events_than_a_page_holds_are_all_sent(world):
    for _ in range(250):
        await world.model()
    await world.publisher.publish(ACCOUNT)
    assert len(world.sink.sent) == 250
