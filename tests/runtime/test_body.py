"""In which form drivers take the body: the rule of slipway_server.body, on drivers as they are written."""

import importlib.util
import itertools
from pathlib import Path
from typing import Any

import pytest

from runtime.slipway_server.drivers.body import BodyForm, form_for

HEADER = """
import io, json
from typing import Any
def parsed(text, depth=0):
    return json.loads(text)
class Parser:
    def read(self, text):
        return parsed(text=text)
parser = Parser()
"""
TEXT = [
    "def run(body):\n    return json.loads(body)['data']",
    "def run(raw):\n    try:\n        return json.loads(raw)['data']\n    except Exception:\n        return None",
    "def run(body):\n    if isinstance(body, str):\n        body = json.loads(body)\n    return body['data']",
    "def run(body):\n    return parsed(body)['data']",
    "def run(body):\n    return parser.read(text=body)['data']",
    "def run(body):\n    return json.load(io.StringIO(body))",
    "def run(body):\n    return json.loads(body.strip())",
    "def run(body: str):\n    return body",
    "def run(body: 'str'):\n    return body['data']",
    "class Model:\n    def run(self, body):\n        return json.loads(body)\nrun = Model().run",
    "async def run(body):\n    return json.loads(body)",
]
PARSED = [
    "def run(body):\n    return body['data']",
    "def run(body):\n    return json.loads(json.dumps(body['data']))",
    "def run(body):\n    return json.loads(body.get('text', '3'))",
    "def run(body):\n    return list(body.items())",
    "def run(body):\n    return body",
    "def run(body):\n    return run(body)",
    "def run(body: dict[str, int]) -> int:\n    return body['data']",
    "def run(body: Any):\n    return json.loads(body)",
    "def run():\n    return 3",
    "import functools\ndef of(model, body):\n    return body['data']\nrun = functools.partial(of, 'model')",
    "run = eval('lambda body: json.loads(body)')",
]
numbers = itertools.count()


def run_of(source: str, folder: Path) -> Any:
    """The function `run` of a driver with that source."""
    file = folder / f"driver_{next(numbers)}.py"
    file.write_text(f"{HEADER}\n{source}\n")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.run


@pytest.mark.parametrize("source", TEXT)
def test_who_reads_its_parameter_as_text_takes_text(source: str, tmp_path: Path) -> None:
    assert form_for(run_of(source, tmp_path)) is BodyForm.TEXT


@pytest.mark.parametrize("source", PARSED)
def test_everybody_else_takes_parsed_json(source: str, tmp_path: Path) -> None:
    assert form_for(run_of(source, tmp_path)) is BodyForm.JSON


def test_who_asks_for_bytes_takes_bytes(tmp_path: Path) -> None:
    assert form_for(run_of("def run(body: bytes):\n    return json.loads(body)", tmp_path)) is BodyForm.BYTES


@pytest.mark.parametrize(
    ("form", "value"), [(BodyForm.JSON, {"ü": 1}), (BodyForm.TEXT, '{"ü": 1}'), (BodyForm.BYTES, b'{"\xc3\xbc": 1}')]
)
def test_each_form_of_a_body(form: BodyForm, value: object) -> None:
    assert form.of(b'{"\xc3\xbc": 1}') == value


@pytest.mark.parametrize("form", [BodyForm.JSON, BodyForm.TEXT])
def test_what_has_not_that_form_is_refused(form: BodyForm) -> None:
    with pytest.raises(ValueError, match="utf-8"):
        form.of(b'"\xff"')
