"""Drivers as the client of the time wraps them, with the driver SDK of the time, unchanged (client-facts.md, 23 to 27)."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.runtime.installing import install
from tests.runtime.replicas import Replica, Start

PACKAGES = ["azure-ml-api-sdk==0.1.0a11", "setuptools<81", "numpy==2.5.5", "pandas==3.1.1"]
SERVICE = {"SERVICE_NAME": "digits", "SERVICE_PATH_PREFIX": "api/v1/service/digits", "SERVICE_VERSION": "2"}
EXCEPTIONS = {
    "BadRequest": 400,
    "Unauthorized": 401,
    "NotFound": 404,
    "UnsupportedMediaType": 415,
    "TooManyRequests": 429,
    "InternalServerError": 500,
    "ServiceUnavailable": 503,
}

type Wrap = Callable[..., Replica]


@pytest.fixture(scope="session")
def sdk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The SDK and what it needs, installed as an image has it."""
    return install(tmp_path_factory.mktemp("sdk"), *PACKAGES)


@pytest.fixture
def wrap(start: Start, sdk: Path, tmp_path: Path) -> Wrap:
    """Start a user's file in the wrapper that the SDK itself writes; `inputs` is the sample of each input, as Python."""

    def start_wrapped(source: str, inputs: Mapping[str, str] | None = None) -> Replica:
        schema = made_by_sdk(sdk, tmp_path, inputs) if inputs else ""
        main = tmp_path / "main.py"
        in_sdk(
            sdk,
            f"from azureml.api.realtime.services import generate_main; generate_main('user.py', {schema!r}, {str(main)!r})",
        )
        files = {"user.py": textwrap.dedent(source)}
        if schema:
            files[schema] = (tmp_path / schema).read_text()
        return start(main.read_text(), files=files, driver="0b5c0f3e", dependencies=sdk, environment=SERVICE)

    return start_wrapped


def made_by_sdk(sdk: Path, folder: Path, inputs: Mapping[str, str]) -> str:
    samples = ", ".join(f"{name!r}: SampleDefinition({sample})" for name, sample in inputs.items())
    in_sdk(
        sdk,
        f"""
        import numpy, pandas
        from azureml.api.schema.dataTypes import DataTypes
        from azureml.api.schema.sampleDefinition import SampleDefinition
        from azureml.api.schema.schemaUtil import save_service_schema
        save_service_schema({str(folder / "service_schema.json")!r}, {{{samples}}})
        """,
    )
    return "service_schema.json"


def in_sdk(sdk: Path, program: str) -> None:
    """Run a program as the client of the time did, beside the SDK."""
    environment = {**os.environ, "PYTHONPATH": str(sdk)}
    subprocess.run([sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)], check=True, env=environment)


async def test_a_wrapped_driver_without_a_schema_gets_text(wrap: Wrap) -> None:
    source = """
    import json
    def init():
        global factor
        factor = 2
    def run(body):
        assert isinstance(body, str)
        return [factor * number for number in json.loads(body)["data"]]
    """
    replica = await wrap(source).ready()
    assert (await replica.score({"data": [1, 2]})).json() == [2, 4]


async def test_a_wrapped_driver_says_what_it_takes(wrap: Wrap) -> None:
    inputs = {"name": "DataTypes.STANDARD, 'Ada'", "age": "DataTypes.STANDARD, 36"}
    replica = await wrap("def init():\n    pass\ndef run(name, age):\n    return f'{name} is {age}'\n", inputs).ready()
    swagger = (await replica.client.get("/swagger.json")).json()
    sample = swagger["definitions"]["ServiceInput"]["example"]
    assert (swagger["info"]["title"], swagger["info"]["version"]) == ("digits", "2")
    assert "/api/v1/service/digits/score" in swagger["paths"]
    assert (await replica.score(sample)).json() == "Ada is 36"


async def test_arguments_that_do_not_fit_are_a_400(wrap: Wrap) -> None:
    inputs = {"name": "DataTypes.STANDARD, 'Ada'", "age": "DataTypes.STANDARD, 36"}
    replica = await wrap("def init():\n    pass\ndef run(name, age):\n    return age\n", inputs).ready()
    for body, message in [
        ({"name": "Ada", "age": 36, "size": 1}, "Unexpected argument size"),
        ({"name": "Ada", "age": "old"}, "Failed to deserialize age"),
        ({"name": "Ada"}, "missing 1 required positional argument: 'age'"),
        ([], "does not respect the schema"),
        ("{", "Input failed JSON deserialization"),
    ]:
        answer = await replica.score(body)
        assert (answer.status_code, answer.json()["status_code"]) == (400, 400)
        assert message in answer.json()["message"]


async def test_arrays_and_frames_come_in_as_such_and_go_out_as_json(wrap: Wrap) -> None:
    inputs = {
        "rows": "DataTypes.NUMPY, numpy.array([[1.0, 2.0]])",
        "frame": "DataTypes.PANDAS, pandas.DataFrame({'a': [1], 'b': [0.5]})",
    }
    source = """
    import numpy, pandas
    def init():
        pass
    def run(rows, frame):
        assert isinstance(rows, numpy.ndarray) and isinstance(frame, pandas.DataFrame)
        times = [pandas.Timestamp("2017-09-01"), pandas.NaT]
        gaps = pandas.DataFrame({"n": pandas.array([1, None], dtype="Int64"), "t": times})
        return [rows.sum(axis=1), frame, frame["a"], gaps, gaps["t"]]
    """
    replica = await wrap(source, inputs).ready()
    answer = await replica.score({"rows": [[1, 2], [3, 4]], "frame": [{"a": 1, "b": 0.5}, {"a": 2, "b": 1.5}]})
    sums, frame, series, gaps, times = answer.json()
    assert (sums, frame, series) == ([3.0, 7.0], [{"a": 1, "b": 0.5}, {"a": 2, "b": 1.5}], [1, 2])
    assert gaps == [{"n": 1, "t": "2017-09-01T00:00:00"}, {"n": None, "t": None}]
    assert times == ["2017-09-01T00:00:00", None]
    assert (await replica.score({"rows": [[1, 2, 3]], "frame": []})).status_code == 400


async def test_a_wrapped_driver_gets_the_headers_if_it_has_a_parameter_for_them(wrap: Wrap) -> None:
    source = "def init():\n    pass\ndef run(name, request_headers):\n    return [name, request_headers['X-Tenant']]\n"
    replica = await wrap(source, {"name": "DataTypes.STANDARD, 'Ada'"}).ready()
    assert (await replica.score({"name": "Ada"}, headers={"x-tenant": "a"})).json() == ["Ada", "a"]


async def test_an_exception_of_the_sdk_decides_the_answer(wrap: Wrap) -> None:
    source = """
    import importlib, json
    def init():
        pass
    def run(body):
        name = json.loads(body)
        module = importlib.import_module(f"azureml.api.exceptions.{name}")
        raise getattr(module, name.removesuffix("Error") + "Exception")("so be it")
    """
    replica = await wrap(source).ready()
    for name, status in EXCEPTIONS.items():
        answer = await replica.score(f'"{name}"')
        assert (answer.status_code, answer.json()) == (status, {"status_code": status, "message": "so be it"})
