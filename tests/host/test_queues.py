"""Queue triggers in a real host, on Azurite."""

import asyncio
import base64
import json
import socket
from datetime import timedelta
from uuid import uuid4

import httpx
import pytest
from azure.storage.queue import QueueClient

from local.host.config import QueueOptions
from local.host.queues import Pause, QueueListener
from local.host.stopping import Stopping
from local.host.triggers import QueueTrigger
from local.host.worker import Outcome, Target

APP = """
@app.queue_trigger(arg_name="message", queue_name="%QUEUE%", connection="Store")
async def work(message: func.QueueMessage) -> None:
    text = message.get_body().decode()
    logging.info("work begins %s %s", text, message.dequeue_count)
    if text.startswith("slow"):
        await asyncio.sleep(1)
    logging.info("work ends %s", text)
    if text.startswith("fail"):
        raise RuntimeError(text)

@app.route(route="up")
async def up(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("up")
"""
FAST = {"maxPollingInterval": "00:00:00.2"}


@pytest.fixture
def queue(azurite):
    with QueueClient.from_connection_string(azurite.connection_string, f"q-{uuid4().hex}") as client:
        client.create_queue()
        yield client


@pytest.fixture
def poison(azurite, queue):
    with QueueClient.from_connection_string(azurite.connection_string, f"{queue.queue_name}-poison") as client:
        yield client


@pytest.fixture
def serve(host, azurite, queue):
    """Starts a host on the queue, with those queue settings in its host.json."""

    def start(app=APP, **queues):
        settings = {"extensions": {"queues": {**FAST, **queues}}}
        return host(app, host_json=settings, Store=azurite.connection_string, QUEUE=queue.queue_name)

    return start


def send(queue: QueueClient, *texts: str) -> None:
    for text in texts:
        queue.send_message(base64.b64encode(text.encode()).decode())


def contents(queue: QueueClient) -> list[str]:
    return [base64.b64decode(message.content).decode() for message in queue.peek_messages(32)]


def left(queue: QueueClient) -> int:
    """How many messages there are, hidden ones included."""
    return queue.get_queue_properties().approximate_message_count


def test_a_message_is_worked_on_once_and_is_gone(serve, queue):
    send(queue, "a", "grüezi")
    hosted = serve()
    assert sorted(hosted.said("work begins", 2)) == ["work begins a 1", "work begins grüezi 1"]
    assert hosted.signalled() == 0
    assert len(hosted.said("work begins")) == 2
    assert left(queue) == 0


def test_a_message_brings_its_metadata(serve, queue):
    app = """
        @app.queue_trigger(arg_name="message", queue_name="%QUEUE%", connection="Store")
        async def work(message: func.QueueMessage) -> None:
            times = [message.insertion_time, message.expiration_time, message.time_next_visible]
            told = [message.id, bool(message.pop_receipt), *(moment.isoformat() for moment in times)]
            logging.info("metadata %s", json.dumps(told))
        """
    sent = queue.send_message(base64.b64encode(b"a").decode())
    (message,) = serve(app).said("metadata")
    identifier, receipt, inserted, expires, _ = json.loads(message.removeprefix("metadata "))
    assert (identifier, receipt, inserted) == (sent.id, True, sent.inserted_on.isoformat())
    assert expires == sent.expires_on.isoformat()


def test_what_fails_too_often_goes_to_the_poison_queue_as_it_was(serve, queue, poison):
    send(queue, "fail")
    hosted = serve(maxDequeueCount=3)
    hosted.said("moved to the poison queue")
    assert hosted.said("work begins") == ["work begins fail 1", "work begins fail 2", "work begins fail 3"]
    assert contents(poison) == ["fail"]
    assert left(queue) == 0


def test_what_is_not_base64_goes_to_the_poison_queue_unseen(serve, queue, poison):
    queue.send_message("no base64!")
    hosted = serve()
    hosted.said("moved to the poison queue")
    assert [message.content for message in poison.peek_messages()] == ["no base64!"]
    assert not any("work begins" in message for message in hosted.messages)


def test_what_had_all_its_tries_is_not_run_again(serve, queue, poison):
    send(queue, "killed its host")
    assert queue.receive_message(visibility_timeout=1).dequeue_count == 1
    hosted = serve(maxDequeueCount=1)
    hosted.said("moved to the poison queue")
    assert contents(poison) == ["killed its host"]
    assert not any("work begins" in message for message in hosted.messages)


def test_a_failure_is_tried_again_after_the_delay_of_host_json(serve, queue):
    app = """
        @app.queue_trigger(arg_name="message", queue_name="%QUEUE%", connection="Store")
        async def work(message: func.QueueMessage) -> None:
            logging.info("tried at %f", time.time())
            raise RuntimeError("fail")
        """
    send(queue, "fail")
    first, second = (float(said.split()[-1]) for said in serve(app, visibilityTimeout="00:00:02").said("tried at", 2)[:2])
    assert second - first > 1.5


def test_plain_text_is_taken_where_host_json_says_so(serve, queue):
    queue.send_message("plain & <simple>")
    assert serve(messageEncoding="none").said("work begins") == ["work begins plain & <simple> 1"]


def test_no_more_run_at_once_than_a_batch_and_the_threshold(serve, queue):
    send(queue, *(f"slow{number}" for number in range(6)))
    hosted = serve(batchSize=3, newBatchThreshold=0)
    hosted.said("work ends", 6)
    running = most = 0
    for message in hosted.said("work "):
        running += 1 if "begins" in message else -1
        most = max(most, running)
    assert most == 3


def test_a_queue_that_is_made_later_is_found(serve, queue):
    queue.delete_queue()
    hosted = serve()
    assert httpx.get(f"{hosted.url}/api/up").text == "up"
    queue.create_queue()
    send(queue, "at last")
    assert hosted.said("work begins") == ["work begins at last 1"]


def test_a_poison_queue_has_none_of_its_own(host, azurite, queue, poison):
    poison.create_queue()
    send(poison, "fail")
    settings = {"extensions": {"queues": {**FAST, "maxDequeueCount": 1}}}
    hosted = host(APP, host_json=settings, Store=azurite.connection_string, QUEUE=poison.queue_name)
    hosted.said("failed, and stays hidden for now")
    assert hosted.signalled() == 0
    assert (contents(poison), left(poison)) == ([], 1)


def test_a_message_under_way_is_finished_before_the_host_stops(serve, queue):
    send(queue, "slow")
    hosted = serve()
    hosted.said("work begins slow")
    assert hosted.signalled() == 0
    assert hosted.said("work ends slow")
    assert left(queue) == 0


def test_storage_that_is_away_is_said_without_its_key_and_stops_nothing(host, azurite):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    key = "c2VjcmV0"
    away = f"DefaultEndpointsProtocol=http;AccountName=a;AccountKey={key};QueueEndpoint=http://127.0.0.1:{port}/a;"
    hosted = host(APP, Store=away, QUEUE="q")
    hosted.said("queue q cannot be read")
    assert httpx.get(f"{hosted.url}/api/up").text == "up"
    assert hosted.signalled() == 0
    assert key not in "".join(hosted.messages)


async def test_a_message_stays_hidden_for_as_long_as_it_is_worked_on(azurite, queue):
    send(queue, "long")
    stopping, runs = Stopping(), []

    class SlowWorker:
        async def invoke(self, target, data, metadata):
            runs.append(data.value)
            await asyncio.sleep(3.5)
            stopping.ask()
            return Outcome(ok=True, returned=None)

    trigger = QueueTrigger(Target("f", "f", "message"), queue.queue_name, azurite.connection_string)
    options = QueueOptions(max_polling=timedelta(milliseconds=200))
    await QueueListener(trigger, SlowWorker(), options, hidden_for=timedelta(seconds=2)).run(stopping)
    assert runs == ["long"]
    assert left(queue) == 0


def test_pauses_grow_to_the_longest_and_begin_anew_with_a_message():
    pause = Pause(timedelta(seconds=2))
    pauses = [pause.after(found=False) for _ in range(8)]
    assert pauses[0] <= 0.12
    assert pauses[:5] == sorted(pauses[:5])
    assert all(1.6 <= last <= 2 for last in pauses[-2:])
    assert pause.after(found=True) <= 0.12
