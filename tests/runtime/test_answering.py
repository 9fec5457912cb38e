"""What the server answers, whatever the driver (client-facts.md, 25 and 28)."""

import uuid
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime

import pytest

from tests.runtime.replicas import Start
from tests.waiting import until

ECHO = """
def run(body):
    return body
"""


async def test_a_replica_is_healthy_when_its_init_is_done_and_not_before(start: Start) -> None:
    replica = start(
        """
        import os, time
        def init():
            while not os.path.exists("go"):
                time.sleep(0.01)
        def run(body):
            return "scored"
        """
    )
    await until(replica.listens)
    status = await replica.health()
    early = await replica.score({})
    (replica.folder / "go").touch()
    await replica.ready()
    health = await replica.client.get("/")
    assert status == 502
    assert (early.status_code, early.headers["retry-after"]) == (503, "1")
    assert (health.text, health.headers["content-type"]) == ("Healthy", "text/plain; charset=utf-8")
    assert (await replica.score({})).json() == "scored"


async def test_the_swagger_document_is_the_one_in_the_folder(start: Start) -> None:
    source = """
    def init():
        open("swagger.json", "w").write('{"swagger": "2.0"}')
    def run(body):
        return body
    """
    replica = await start(source).ready()
    answer = await replica.client.get("/swagger.json")
    assert (answer.status_code, answer.json()) == (200, {"swagger": "2.0"})
    assert answer.headers["content-type"] == "application/json"


async def test_there_is_no_swagger_document_when_the_driver_wrote_none(start: Start) -> None:
    replica = await start(ECHO).ready()
    assert (await replica.client.get("/swagger.json")).status_code == 404


async def test_there_is_nothing_else(start: Start) -> None:
    replica = await start(ECHO).ready()
    for method, path, status in [
        ("GET", "/score", 405),
        ("POST", "/", 405),
        ("PUT", "/swagger.json", 405),
        ("GET", "/score/", 404),
        ("GET", "/../score.py", 404),
        ("GET", "/score.py", 404),
    ]:
        answer = await replica.client.request(method, path)
        assert (answer.status_code, answer.json()["status_code"]) == (status, status)
        assert (status == 405) == ("allow" in answer.headers)


async def test_a_head_request_gets_what_a_get_gets_but_the_body(start: Start) -> None:
    replica = await start(ECHO).ready()
    answer = await replica.client.head("/")
    assert (answer.status_code, answer.headers["content-length"], answer.content) == (200, "7", b"")


async def test_the_callers_request_id_is_given_back_and_one_is_made_where_there_is_none(start: Start) -> None:
    replica = await start(ECHO).ready()
    mine = await replica.score({}, headers={"X-Request-ID": "mine"})
    made = await replica.score({})
    assert mine.headers["x-request-id"] == "mine"
    assert uuid.UUID(made.headers["x-request-id"])
    assert uuid.UUID((await replica.score({}, headers={"x-request-id": "x" * 129})).headers["x-request-id"])
    assert parsedate_to_datetime(made.headers["date"])


async def test_an_exception_that_says_its_status_is_answered_with_it(start: Start) -> None:
    replica = await start(
        """
        class Quota(Exception):
            status_code = 429
            message = "Come back tomorrow."
        def run(body):
            raise Quota
        """
    ).ready()
    answer = await replica.score({})
    assert (answer.status_code, answer.json()) == (429, {"status_code": 429, "message": "Come back tomorrow."})


@pytest.mark.parametrize("kind", ["def", "async def"])
async def test_any_other_exception_is_a_500_whose_trace_is_in_the_log_alone(start: Start, kind: str) -> None:
    replica = await start(
        f"""
        import builtins, asyncio
        class Odd(BaseException):
            status_code = "500 or so"
        builtins.Odd, builtins.CancelledError = Odd, asyncio.CancelledError
        {kind} run(body):
            raise getattr(builtins, body)("a secret")
        """
    ).ready()
    for raised in ("ZeroDivisionError", "SystemExit", "KeyboardInterrupt", "CancelledError", "Odd"):
        answer = await replica.score(f'"{raised}"', headers={"x-request-id": raised})
        assert (answer.status_code, answer.json()["status_code"]) == (500, 500)
        assert "secret" not in answer.text
        assert "score.py" in (await replica.logged(raised, "Traceback")).message


async def test_a_body_that_is_not_json_is_a_400_for_a_driver_that_takes_json(start: Start) -> None:
    replica = await start(ECHO).ready()
    for body in (b"", b"{", b"\xff\xfe\xfd", b"[" * 100_000):
        answer = await replica.score(body)
        assert (answer.status_code, answer.json()["status_code"]) == (400, 400)


async def test_a_body_over_the_limit_is_a_413_however_it_is_sent(start: Start) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"1" * 100

    replica = await start(ECHO, max_body=1000).ready()
    assert (await replica.score(b"1" * 1001)).status_code == 413
    assert (await replica.client.post("/score", content=chunks())).status_code == 413
    assert (await replica.score(b"1" * 1000)).status_code == 200


async def test_the_answer_is_the_json_of_what_run_returned(start: Start, site: str) -> None:
    source = "import numpy\ndef run(body):\n    return ['text', numpy.arange(4).reshape(2, 2), numpy.float32('nan')]\n"
    replica = await start(source, dependencies=site).ready()
    answer = await replica.score({})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.text == '["text", [[0, 1], [2, 3]], null]'


async def test_a_returned_string_is_a_json_string(start: Start) -> None:
    replica = await start("def run(body):\n    return '{}'\n").ready()
    assert (await replica.score({})).text == '"{}"'


async def test_what_json_cannot_hold_is_a_failure_of_the_driver(start: Start) -> None:
    replica = await start("def run(body):\n    return object()\n").ready()
    answer = await replica.score({}, headers={"x-request-id": "r1"})
    assert answer.status_code == 500
    assert await replica.logged("r1", "JSON cannot hold")


async def test_a_caller_finds_its_place_in_its_trace_again(start: Start) -> None:
    replica = await start("def run(body, request_headers):\n    return request_headers.get('traceparent')\n").ready()
    mine = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    answer = await replica.score({}, headers={"traceparent": mine})
    assert (answer.headers["traceparent"], answer.json()) == (mine, mine)
    for wrong in ("", "00-0-0-0", mine.upper(), mine.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32), f"ff{mine[2:]}"):
        assert "traceparent" not in (await replica.score({}, headers={"traceparent": wrong})).headers


async def test_what_the_front_end_of_a_cluster_calls_is_answered_as_well(start: Start) -> None:
    prefix = "/api/v1/service/irises"
    replica = await start(ECHO, environment={"SERVICE_PATH_PREFIX": prefix[1:]}).ready()
    assert (await replica.client.post(f"{prefix}/score", content="1")).json() == 1
    assert (await replica.client.get(f"{prefix}/")).text == "Healthy"
    for path in (f"{prefix}/metrics", f"{prefix}/healthz/live", prefix, "/api/v1/service/others/score"):
        assert (await replica.client.get(path)).status_code == 404


async def test_probes_see_a_replica_start_and_stop(start: Start) -> None:
    replica = start(
        """
        import os, time
        def init():
            while not os.path.exists("go"):
                time.sleep(0.01)
        def run(body):
            while body == "wait" and not os.path.exists("on"):
                time.sleep(0.01)
        """
    )

    async def probes() -> list[int]:
        return [(await replica.client.get(f"/healthz/{probe}")).status_code for probe in ("live", "ready")]

    await until(replica.listens)
    starting = await probes()
    (replica.folder / "go").touch()
    await replica.ready()
    assert (starting, await probes()) == ([200, 502], [200, 200])


async def test_an_answer_tells_nothing_of_the_machine(start: Start) -> None:
    source = """
    import os
    def run(body):
        raise RuntimeError(os.getcwd(), os.environ["SECRET"], __file__)
    """
    replica = await start(source, environment={"SECRET": "pssst"}).ready()
    told = [await replica.score(body) for body in ({}, b"{", b"\xff")] + [await replica.client.get("/nothing")]
    for answer in told:
        text = answer.text + str(answer.headers)
        assert not [secret for secret in ("pssst", str(replica.folder), "Traceback", "score.py", "python") if secret in text]
