"""What drivers may be: how they are loaded, what they are given, and what they may do (client-facts.md, 22 to 24)."""

import asyncio

import pytest

from tests.runtime.replicas import Start


@pytest.mark.parametrize("kind", ["def", "async def"])
@pytest.mark.parametrize("value", ["body['data']", "json.loads(body)['data']"])
async def test_a_driver_gets_parsed_json_or_text_as_it_takes_it(start: Start, kind: str, value: str) -> None:
    replica = await start(f"import json\n{kind} run(body):\n    return {value}\n").ready()
    assert (await replica.score({"data": 3})).json() == 3


async def test_a_list_is_taken_as_a_list(start: Start, site: str) -> None:
    source = "import numpy\ndef run(body):\n    return numpy.array(body).sum(axis=1)\n"
    replica = await start(source, dependencies=site).ready()
    assert (await replica.score([[1, 2], [3, 4]])).json() == [3, 7]


async def test_a_driver_that_takes_text_gets_whatever_came(start: Start) -> None:
    replica = await start("def run(body: str):\n    return body\n").ready()
    assert (await replica.score("Grüße, {")).json() == "Grüße, {"
    assert (await replica.score(b"\xff")).status_code == 400


async def test_run_gets_the_headers_when_it_has_a_parameter_for_them(start: Start) -> None:
    source = "def run(body, request_headers):\n    return [request_headers['X-Tenant'], request_headers.get('nothing')]\n"
    replica = await start(source).ready()
    assert (await replica.score({}, headers={"x-tenant": "a"})).json() == ["a", None]


async def test_a_driver_works_in_its_folder_and_imports_from_it_first(start: Start) -> None:
    source = """
    import pickle, score_helpers
    def init():
        global model
        with open("model.pkl") as file:
            model = file.read()
        open("written.txt", "w").close()
    def run(body):
        return [model, score_helpers.NAME, __name__]
    """
    replica = await start(source, files={"model.pkl": "a model", "score_helpers.py": "NAME = 'helpers'"}).ready()
    assert (await replica.score({})).json() == ["a model", "helpers", "score"]
    assert (replica.folder / "written.txt").exists()


@pytest.mark.parametrize("name", ["0b5c0f3e-9a58-4a0c-8c55-5ff3c2b1d3ae", "my driver-v1.2.py", "json.py", "logging.py"])
async def test_a_drivers_file_may_have_any_name(start: Start, name: str) -> None:
    replica = await start("def run(body):\n    return body\n", driver=name).ready()
    assert (await replica.score([1])).json() == [1]


async def test_a_driver_may_be_asynchronous_on_one_event_loop(start: Start) -> None:
    source = """
    import asyncio
    async def init():
        global loop
        loop = asyncio.get_running_loop()
    async def run(body):
        await asyncio.sleep(0)
        return asyncio.get_running_loop() is loop
    """
    replica = await start(source).ready()
    assert (await replica.score({})).json() is True


async def test_a_function_that_turns_out_to_be_asynchronous_is_awaited(start: Start) -> None:
    source = """
    import asyncio
    async def later(value):
        await asyncio.sleep(0)
        return value
    def init():
        return later(None)
    def run(body):
        return later(body)
    """
    replica = await start(source).ready()
    assert (await replica.score([1])).json() == [1]


async def test_the_health_check_answers_while_a_driver_works(start: Start) -> None:
    source = """
    import os, time
    def run(body):
        while not os.path.exists("go"):
            time.sleep(0.01)
        return "done"
    """
    replica = await start(source).ready()
    scoring = asyncio.create_task(replica.score({}))
    assert await replica.health() == 200
    assert not scoring.done()
    (replica.folder / "go").touch()
    assert (await scoring).json() == "done"


async def test_the_environment_is_the_one_that_was_given(start: Start) -> None:
    source = "import os\ndef run(body):\n    return {name: os.environ[name] for name in body}\n"
    given = {"SERVICE_NAME": "digits", "SERVICE_PATH_PREFIX": "api/v1/service/digits", "AML_APP_INSIGHTS_ENABLED": "false"}
    replica = await start(source, environment=given).ready()
    assert (await replica.score(list(given))).json() == given
