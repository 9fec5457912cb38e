"""Events over HTTP, to a server that checks them as any receiver would."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

from shared.domain.errors import InvalidRequest, Unavailable
from shared.events.failures import CommandFailures
from shared.events.format import event_text, read_command
from shared.events.sinks import EndpointSink, QueueSink
from tests.events.test_format import an_event

SECRET = "whsec_" + "c2VjcmV0" * 4


class Receiver:
    """A webhook's receiver; it answers what a test says."""

    def __init__(self) -> None:
        self.answers = 200
        self.received: list[tuple[dict[str, str], str]] = []
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        self.received.append((dict(request.headers), await request.text()))
        return web.Response(status=self.answers, headers={"Location": "/elsewhere"})


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    app = web.Application()
    app.router.add_post("/{any:.*}", made.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield made
    await runner.cleanup()


async def test_a_webhook_is_signed_so_that_the_published_library_verifies_it(receiver):
    event = an_event()
    await EndpointSink(receiver.url, SECRET, event_grid=False).send(event)
    ((headers, text),) = receiver.received
    assert Webhook(SECRET).verify(text, {name.lower(): value for name, value in headers.items()})["id"] == event.id
    assert headers["Content-Type"].startswith("application/cloudevents+json")
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + "b3RoZXJz" * 4).verify(text, {name.lower(): value for name, value in headers.items()})


async def test_event_grid_is_given_its_key_and_no_signature(receiver):
    await EndpointSink(receiver.url, "key", event_grid=True).send(an_event())
    ((headers, _),) = receiver.received
    assert headers["aeg-sas-key"] == "key"
    assert "webhook-signature" not in headers


@pytest.mark.parametrize("status", [301, 400, 401, 429, 500, 503])
async def test_any_answer_but_success_means_that_it_has_not_arrived(receiver, status):
    receiver.answers = status
    with pytest.raises(Unavailable, match=str(status)):
        await EndpointSink(receiver.url, SECRET, event_grid=False).send(an_event())
    assert len(receiver.received) == 1


async def test_an_endpoint_that_is_away_is_unavailable_and_its_address_is_not_told():
    with pytest.raises(Unavailable) as refused:
        await EndpointSink("http://127.0.0.1:1/hook?code=SECRET", SECRET, event_grid=False).send(an_event())
    assert "SECRET" not in refused.value.message


async def test_a_queue_is_sent_the_event_as_text():
    sent: list[str] = []

    async def send(text: str) -> None:
        sent.append(text)

    event = an_event()
    await QueueSink(send).send(event)
    assert sent == [event_text(event)]


class Queues:
    """The commands' queue and its poison queue."""

    def __init__(self) -> None:
        self.again: list[tuple[str, float]] = []
        self.refused: list[str] = []
        self.failures = CommandFailures(self._again, self._refuse)

    async def _again(self, text, delay) -> None:
        self.again.append((text, delay.total_seconds()))

    async def _refuse(self, text) -> None:
        self.refused.append(text)


async def test_a_command_that_can_heal_is_put_off_ever_longer_and_refused_in_the_end():
    queues, text, pauses = Queues(), '{"id": "1"}', []
    while not queues.refused:
        await queues.failures.settle(text, Unavailable("away"))
        if queues.again:
            text, pause = queues.again.pop()
            pauses.append(pause)
    assert pauses[:4] == [2, 4, 8, 16]
    assert pauses[-1] == 300
    assert len(pauses) == 20


async def test_what_cannot_even_be_read_is_refused():
    queues, text = Queues(), "[" * 40_000
    with pytest.raises(InvalidRequest) as unreadable:
        read_command(text)
    await queues.failures.settle(text, unreadable.value)
    assert len(queues.refused) == 1


async def test_a_command_is_put_off_for_as_long_as_who_refused_asks_for():
    queues = Queues()
    await queues.failures.settle('{"id": "1"}', Unavailable("away", retry_after=77))
    assert [pause for _, pause in queues.again] == [77]
