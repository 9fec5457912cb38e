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


async def test_a_run_of_several_parameters_gets_its_inputs_by_name(start: Start) -> None:
    source = """
    def run(name, age: int, request_headers, unit="years"):
        return f"{name} is {age} {unit}, says {request_headers['X-Who']}"
    """
    replica = await start(source).ready()
    whole = await replica.score({"name": "Ada", "age": 36}, headers={"x-who": "Bob"})
    assert whole.json() == "Ada is 36 years, says Bob"
    assert (await replica.score({"age": 36, "name": "Ada", "unit": "years"}, headers={"x-who": ""})).status_code == 200
    for body, message in [
        ({"name": "Ada"}, "age: it is required, and not there"),
        ({"name": "Ada", "age": "old"}, "age: expected an integer, got text"),
        ({"name": "Ada", "age": 36, "size": 1}, "size: there is no such input"),
        ([], "The body of the request: expected an object, got a list"),
        ("{", "The body of the request: it is not JSON"),
    ]:
        answer = await replica.score(body)
        assert (answer.status_code, answer.json()["status_code"]) == (400, 400)
        assert message in answer.json()["message"]


async def test_a_parameter_that_need_not_be_given_leaves_the_body_to_the_first(start: Start) -> None:
    replica = await start("def run(body, factor=2):\n    return [factor * number for number in body]\n").ready()
    assert (await replica.score([1, 2])).json() == [2, 4]


async def test_input_that_does_not_fit_the_hints_is_a_400_that_names_the_field_and_one_line_of_the_log(
    start: Start,
) -> None:
    source = """
    from __future__ import annotations
    from dataclasses import dataclass
    @dataclass
    class Flower:
        petals: list[float]
        color: str = "red"
    def run(flowers: list[Flower]) -> list[float]:
        return [sum(flower.petals) for flower in flowers]
    """
    replica = await start(source).ready()
    assert (await replica.score([{"petals": [1, 2.5]}])).json() == [3.5]
    answer = await replica.score([{"petals": []}, {"petals": [1, "a"]}], headers={"x-request-id": "r1"})
    message = "[1].petals[1]: expected a number, got text"
    assert (answer.status_code, answer.json()) == (400, {"status_code": 400, "message": message})
    line = await replica.logged("r1", message)
    assert (line.level, "Traceback" in line.message) == ("WARNING", False)


async def test_hints_that_name_nothing_are_not_used_and_the_log_says_so(start: Start) -> None:
    source = "from __future__ import annotations\ndef run(body: Nothing):\n    return body\n"
    replica = await start(source).ready()
    assert (await replica.score({"a": 1})).json() == {"a": 1}
    assert await replica.logged("00000000-0000-0000-0000-000000000000", "name 'Nothing' is not defined")


async def test_models_of_pydantic_are_the_drivers_own_to_read_and_write(start: Start, site: str) -> None:
    source = """
    from datetime import date
    from pydantic import BaseModel, ConfigDict, Field
    class Person(BaseModel):
        model_config = ConfigDict(strict=True)
        name: str = Field(examples=["Ada"])
        age: int = Field(gt=0, examples=[36])
        born: date = date(1815, 12, 10)
    def run(people: list[Person]) -> Person:
        return max(people, key=lambda person: person.age)
    """
    replica = await start(source, dependencies=site).ready()
    answer = await replica.score([{"name": "Ada", "age": 36, "born": "1815-12-11"}])
    assert answer.json() == {"name": "Ada", "age": 36, "born": "1815-12-11"}
    refused = await replica.score([{"name": "Ada", "age": 36}, {"age": -1}])
    assert refused.status_code == 400
    assert refused.json()["message"] == "[1].name: Field required (1 more)"
    assert (await replica.score("{")).status_code == 400
    swagger = (await replica.client.get("/swagger.json")).json()
    assert swagger["definitions"]["ServiceInput"]["example"] == [{"name": "Ada", "age": 36, "born": "1815-12-10"}]


async def test_a_hint_that_pydantic_does_not_know_costs_no_other(start: Start, site: str) -> None:
    source = """
    from pydantic import BaseModel
    from dataclasses import dataclass
    class Array:
        pass
    @dataclass
    class Soil:
        kind: "Nowhere"
    class Flower(BaseModel):
        petal: float
    def run(flower: Flower, rows: list[Array], soil: Soil = None):
        return [flower.petal, rows, soil]
    """
    replica = await start(source, dependencies=site).ready()
    assert (await replica.score({"flower": {"petal": 1}, "rows": [2]})).json() == [1.0, [2], None]
    for body, named in (
        ({"rows": []}, "flower"),
        ({"flower": {"petal": "x"}, "rows": []}, "flower.petal"),
        ([], "The body"),
    ):
        answer = await replica.score(body)
        assert answer.status_code == 400
        assert answer.json()["message"].startswith(named)
    await replica.says("The type hint of rows is not used")


async def test_arguments_by_name_are_looked_at_when_their_hints_name_nothing(start: Start) -> None:
    source = """
    from dataclasses import dataclass
    @dataclass
    class Flower:
        petal: "Nowhere"
    def run(flower: Flower, rows: list[int]):
        return [flower, rows]
    """
    replica = await start(source).ready()
    assert (await replica.score({"flower": 1, "rows": [2]})).json() == [1, [2]]
    assert (await replica.score({"flower": 1})).json()["message"] == "rows: it is required, and not there"
    assert (await replica.score([])).status_code == 400


async def test_constraints_of_pydantic_hold_for_arguments_by_name(start: Start, site: str) -> None:
    source = """
    from typing import Annotated
    from pydantic import Field
    async def run(age: Annotated[int, Field(gt=0)], name: str = "Ada"):
        return [name, age]
    """
    replica = await start(source, dependencies=site).ready()
    assert (await replica.score({"age": 36})).json() == ["Ada", 36]
    assert (await replica.score({"age": 0})).json()["message"] == "age: Input should be greater than 0"
    assert (await replica.score({"age": 3, "x": 1})).json()["message"] == "x: Extra inputs are not permitted"


async def test_what_hints_say_is_told_in_both_documents(start: Start) -> None:
    source = "def run(name: str, age: int = 36) -> list[float]:\n    return [1.5]\n"
    given = {"SERVICE_NAME": "ages", "SERVICE_PATH_PREFIX": "api/v1/service/ages", "SERVICE_VERSION": "2"}
    replica = await start(source, environment=given).ready()
    swagger = (await replica.client.get("/swagger.json")).json()
    openapi = (await replica.client.get("/openapi.json")).json()
    assert (swagger["swagger"], openapi["openapi"]) == ("2.0", "3.1.0")
    for schemas in (swagger["definitions"], openapi["components"]["schemas"]):
        assert schemas["ServiceInput"]["properties"] == {"name": {"type": "string"}, "age": {"type": "integer"}}
        assert schemas["ServiceInput"]["required"] == ["name"]
        assert schemas["ServiceOutput"] == {"type": "array", "items": {"type": "number"}}
    assert list(swagger["paths"]) == list(openapi["paths"]) == ["/api/v1/service/ages/", "/api/v1/service/ages/score"]


async def test_what_the_driver_wrote_is_told_in_openapi_too(start: Start) -> None:
    source = """
    import json
    def init():
        item = {"$ref": "#/definitions/Item"}
        taken = {"type": "array", "items": item, "example": [{"n": 1}]}
        definitions = {"ServiceInput": taken, "Item": {"type": "object"}}
        json.dump({"swagger": "2.0", "definitions": definitions}, open("swagger.json", "w"))
    def run(body):
        return body
    """
    replica = await start(source).ready()
    schemas = (await replica.client.get("/openapi.json")).json()["components"]["schemas"]
    item = {"$ref": "#/components/schemas/Item"}
    assert schemas["ServiceInput"] == {"type": "array", "items": item, "example": [{"n": 1}]}
    assert schemas["Item"] == {"type": "object"}


async def test_a_driver_without_hints_has_no_documents(start: Start) -> None:
    replica = await start("def run(body):\n    return body\n").ready()
    assert (await replica.client.get("/openapi.json")).status_code == 404


@pytest.mark.parametrize("kind", ["def", "async def"])
async def test_run_batch_alone_is_a_driver(start: Start, kind: str) -> None:
    source = f"""
    {kind} run_batch(texts: list[str]):
        return [text.upper() if text else ValueError("empty") for text in texts]
    """
    replica = await start(source).ready()
    assert (await replica.score("grüße")).json() == "GRÜSSE"
    assert (await replica.score("")).status_code == 500


async def test_processes_that_a_driver_forks_end_by_signals_as_any_do(start: Start) -> None:
    source = """
    import multiprocessing, signal, time
    fork = multiprocessing.get_context("fork")
    def init():
        global pool
        pool = fork.Pool(2)
    def work(begun):
        begun.set()
        time.sleep(60)
    def run(body):
        begun = fork.Event()
        other = fork.Process(target=work, args=[begun])
        other.start()
        begun.wait()
        other.terminate()
        other.join(20)
        return [pool.map(abs, body), other.exitcode == -signal.SIGTERM]
    """
    replica = await start(source).ready()
    assert (await replica.score([-1, 2])).json() == [[1, 2], True]
    replica.stop()
    assert replica.ended() == 0
