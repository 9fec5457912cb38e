"""What is counted, and how it is told."""

import asyncio

from prometheus_client.parser import text_string_to_metric_families

from runtime.slipway_server.metrics import Metrics
from tests.runtime.replicas import Replica, Start
from tests.waiting import until


async def told(replica: Replica) -> dict[str, float]:
    """What Prometheus reads."""
    answer = await replica.client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return samples(answer.text)


def samples(text: str) -> dict[str, float]:
    """Each sample by its name, and by its label if it has one."""
    found = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {"/".join((sample.name, *sample.labels.values())): sample.value for sample in found}


async def test_what_was_answered_is_counted_by_its_code_time_and_size(start: Start) -> None:
    replica = await start("def run(body):\n    return 1 / body\n").ready()
    await asyncio.gather(*(replica.score(number) for number in (1, 2, 0, '"a"')))
    await replica.score(b"{")
    await replica.client.get("/")
    metrics = await told(replica)
    assert metrics["slipway_requests_total/200"] == 2
    assert metrics["slipway_requests_total/400"] == 1
    assert metrics["slipway_requests_total/500"] == metrics["slipway_driver_errors_total"] == 2
    assert metrics["slipway_request_duration_seconds_count"] == metrics["slipway_request_duration_seconds_bucket/+Inf"] == 5
    assert 0 < metrics["slipway_request_duration_seconds_sum"] < 5
    assert metrics["slipway_request_bytes_total"] == len('120"a"{')
    assert metrics["slipway_response_bytes_total"] > 6


async def test_busy_and_waiting_slots_are_seen_while_they_are(start: Start) -> None:
    source = """
    import os, time
    def run(body):
        while not os.path.exists("go"):
            time.sleep(0.01)
    """
    replica = await start(source, max_concurrency=4, max_waiting=1).ready()
    idle = await told(replica)
    scoring = [asyncio.create_task(replica.score({})) for _ in range(6)]

    async def one_is_refused() -> bool:
        return (await told(replica))["slipway_rejections_total"] == 1

    await until(one_is_refused)
    busy = await told(replica)
    (replica.folder / "go").touch()
    await asyncio.gather(*scoring)
    names = ("slipway_slots", "slipway_slots_busy", "slipway_slots_waiting", "slipway_busy_ratio")
    assert [idle[name] for name in names] == [4, 0, 0, 0]
    assert [busy[name] for name in names] == [4, 4, 1, 1]
    assert [(await told(replica))[name] for name in names] == [4, 0, 0, 0]
    assert (await told(replica))["slipway_slots_busy_seconds_total"] > 0


def test_the_buckets_of_the_histogram_hold_what_took_no_longer() -> None:
    metrics = Metrics()
    for seconds in (0.0004, 0.001, 0.002, 70):
        metrics.of(0).answered(200, seconds, 0, 0)
    found = samples(metrics.text().decode())
    name = "slipway_request_duration_seconds_bucket"
    assert [found[f"{name}/{bound}"] for bound in ("0.001", "0.0025", "60", "+Inf")] == [2, 3, 3, 4]


def test_the_numbers_of_all_processes_are_summed() -> None:
    metrics = Metrics(3)
    for process in range(3):
        counts = metrics.of(process)
        counts.slots(2)
        counts.at_work(process, 0)
        counts.answered(200, 0.1, 10, 20)
    found = samples(metrics.text().decode())
    assert (found["slipway_slots"], found["slipway_slots_busy"], found["slipway_busy_ratio"]) == (6, 3, 0.5)
    assert found["slipway_request_bytes_total"] == 30
