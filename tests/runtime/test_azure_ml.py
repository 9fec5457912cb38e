"""Drivers of Azure ML's later contract, with the packages of that contract, unchanged."""

import base64
from pathlib import Path

import pytest

from tests.runtime.installing import install
from tests.runtime.replicas import Start


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What such a driver's requirements name."""
    folder = tmp_path_factory.mktemp("azure-ml")
    return install(folder, "azureml-contrib-services==1.62.0", "inference-schema==1.8", "numpy==2.5.5", "pandas==3.1.1")


RAW = """
from azureml.contrib.services.aml_request import AMLRequest, rawhttp
from azureml.contrib.services.aml_response import AMLResponse
def init():
    pass
@rawhttp
def run(request):
    assert isinstance(request, AMLRequest)
"""

SCHEMA = """
import numpy as np
import pandas as pd
from inference_schema.schema_decorators import input_schema, output_schema
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
def init():
    pass
"""
FORECAST = (
    SCHEMA
    + """
@input_schema("rows", NumpyParameterType(np.array([[1.0, 2.0]])))
@input_schema("frame", PandasParameterType(pd.DataFrame({"a": [1], "b": [0.5]})))
@input_schema("factor", StandardPythonParameterType(2))
@output_schema(NumpyParameterType(np.array([3.0])))
def run(rows, frame, factor, note="none"):
    assert isinstance(rows, np.ndarray) and isinstance(frame, pd.DataFrame)
    if note == "raise":
        raise ValueError("of the driver")
    return {"sums": factor * rows.sum(axis=1), "a": frame["a"].tolist(), "note": note}
"""
)
GIVEN = {"rows": [[1, 2], [3, 4]], "frame": [{"a": 1, "b": 0.5}], "factor": 10}


async def test_models_are_found_where_the_environment_says(start: Start) -> None:
    source = """
    import os
    def init():
        global model
        with open(os.path.join(os.getenv("AZUREML_MODEL_DIR"), "model.pkl")) as file:
            model = file.read()
    def run(raw_data):
        return model
    """
    replica = await start(source, files={"model.pkl": "a model"}).ready()
    assert (await replica.score({})).json() == "a model"


async def test_a_raw_driver_gets_the_whole_request(start: Start, packages: Path) -> None:
    source = (
        RAW
        + """
    uploaded = {name: file.read().decode() for name, file in request.files.items()}
    return [request.method, request.headers["X-Who"], request.content_type.split(";")[0], uploaded, request.form["n"]]
"""
    )
    replica = await start(source, dependencies=packages).ready()
    answer = await replica.client.post("/score", files={"image": b"pixels"}, data={"n": "3"}, headers={"x-who": "Ada"})
    assert answer.json() == ["POST", "Ada", "multipart/form-data", {"image": "pixels"}, "3"]


async def test_a_raw_driver_answers_with_status_headers_and_bytes(start: Start, packages: Path) -> None:
    source = (
        RAW
        + """
    if request.get_json() is None:
        return AMLResponse("nothing", 418)
    return AMLResponse(request.get_data(), 201, {"Content-Type": "image/jpeg", "X-Model": "7"})
"""
    )
    replica = await start(source, dependencies=packages).ready()
    as_json = {"content-type": "application/json"}
    answer = await replica.score("[1]", headers=as_json)
    assert (answer.status_code, answer.content) == (201, b"[1]")
    assert (answer.headers["content-type"], answer.headers["x-model"]) == ("image/jpeg", "7")
    assert (await replica.score("null", headers=as_json)).status_code == 418
    assert (await replica.score("{", headers=as_json)).status_code == 400
    assert (await replica.score("[1]", headers={"content-type": "text/plain"})).status_code == 415


async def test_a_driver_with_schemas_gets_its_inputs_by_name_as_what_they_are(start: Start, packages: Path) -> None:
    replica = await start(FORECAST, dependencies=packages).ready()
    expected = {"sums": [30.0, 70.0], "a": [1], "note": "none"}
    assert (await replica.score(GIVEN)).json() == expected
    assert (await replica.score({**GIVEN, "note": "x", "GlobalParameters": {}})).json() == {**expected, "note": "x"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": [[1, 2, 3]]}, "rows: Invalid input array: array has size 3 on dimension #1, while expected value is 2"),
        ({"factor": "ten"}, "factor: Invalid input data type to parse"),
        ({"frame": 3}, "frame: "),
    ],
)
async def test_input_that_a_decorator_cannot_convert_is_a_400_that_names_it(
    start: Start, packages: Path, change: dict[str, object], message: str
) -> None:
    replica = await start(FORECAST, dependencies=packages).ready()
    answer = await replica.score({**GIVEN, **change})
    assert answer.status_code == 400
    assert answer.json()["message"].startswith(message)


async def test_what_is_missing_is_named_and_what_the_driver_raises_is_its_own(start: Start, packages: Path) -> None:
    replica = await start(FORECAST, dependencies=packages).ready()
    missing = await replica.score({"rows": [[1, 2]]})
    assert (missing.status_code, missing.json()["message"]) == (400, "frame: it is required, and not there")
    assert (await replica.score([])).status_code == 400
    assert (await replica.score({**GIVEN, "note": "raise"})).status_code == 500


async def test_the_documents_are_those_of_the_decorators(start: Start, packages: Path) -> None:
    replica = await start(FORECAST, dependencies=packages).ready()
    definitions = (await replica.client.get("/swagger.json")).json()["definitions"]
    example = definitions["ServiceInput"]["example"]
    assert example == {"rows": [[1.0, 2.0]], "frame": [{"a": 1, "b": 0.5}], "factor": 2, "note": ""}
    assert definitions["ServiceOutput"]["format"] == "numpy.ndarray"
    assert (await replica.score(example)).status_code == 200
    schemas = (await replica.client.get("/openapi.json")).json()["components"]["schemas"]
    assert schemas["ServiceInput"]["example"] == example


async def test_an_asynchronous_driver_may_have_schemas(start: Start, packages: Path) -> None:
    source = (
        SCHEMA
        + """
@input_schema("data", StandardPythonParameterType({"image": b"x", "when": 1.5}))
async def run(data, request_headers):
    return [data["when"], request_headers["x-who"]]
"""
    )
    replica = await start(source, dependencies=packages).ready()
    data = {"image": base64.b64encode(b"pixels").decode(), "when": 2.5}
    assert (await replica.score({"data": data}, headers={"x-who": "Ada"})).json() == [2.5, "Ada"]
    refused = await replica.score({"data": [1]}, headers={"x-who": "Ada"})
    assert (refused.status_code, refused.json()["message"][:6]) == (400, "data: ")


async def test_a_driver_that_asked_for_raw_http_may_be_called_with_any_method(start: Start, packages: Path) -> None:
    replica = await start(RAW + "    return AMLResponse(request.method, 200)", dependencies=packages).ready()
    for method in ("GET", "PUT", "POST"):
        assert (await replica.client.request(method, "/score?a=b")).text == method
    assert (await replica.client.request("TRACE", "/score")).status_code == 405
