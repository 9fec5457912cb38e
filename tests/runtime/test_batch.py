"""Requests that are scored together, by one call of `run_batch`."""

import importlib.util
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from runtime.slipway_server.drivers.driver import Driver
from runtime.slipway_server.http.messages import Headers, Request, Response
from runtime.slipway_server.work.workers import Workers

numbers = itertools.count()


def driver_of(source: str, folder: Path) -> Driver:
    file = folder / f"batch_{next(numbers)}.py"
    file.write_text(source)
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return Driver(module.run, Workers(1), folder, module.run_batch)


def request(body: Any) -> Request:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Request.of("POST", "/score", Headers(), content, keep_alive=True)


async def answers(driver: Driver, *bodies: Any) -> list[Any]:
    """The status of each answer that failed, and what each other one says."""
    responses: Sequence[Response] = await driver.start_batch([request(body) for body in bodies])
    return [json.loads(each.body) if each.status == 200 else each.status for each in responses]


@pytest.mark.parametrize("kind", ["def", "async def"])
async def test_each_request_gets_its_own_result_in_order(tmp_path: Path, kind: str) -> None:
    source = f"def run(body): ...\n{kind} run_batch(bodies):\n    return [[len(bodies), 2 * body] for body in bodies]\n"
    driver = driver_of(source, tmp_path)
    assert driver.batched
    assert await answers(driver, 1, 2, 3) == [[3, 2], [3, 4], [3, 6]]


async def test_input_that_does_not_fit_is_answered_without_the_others(tmp_path: Path) -> None:
    driver = driver_of("def run(body: int): ...\ndef run_batch(bodies):\n    return bodies\n", tmp_path)
    assert await answers(driver, 1, "a", b"{", 4) == [1, 400, 400, 4]
    assert await answers(driver, "a", b"{") == [400, 400]


async def test_items_are_what_run_would_be_given(tmp_path: Path) -> None:
    named = "def run(a: int, b: int): ...\ndef run_batch(items):\n    return [item['a'] + item['b'] for item in items]\n"
    assert await answers(driver_of(named, tmp_path), {"a": 1, "b": 2}, {"a": 3, "b": 4}) == [3, 7]
    text = "def run(body: str): ...\ndef run_batch(texts):\n    return [text + '!' for text in texts]\n"
    assert await answers(driver_of(text, tmp_path), b"a", b"b") == ["a!", "b!"]


async def test_an_array_holds_a_result_for_each(tmp_path: Path) -> None:
    source = "import numpy\ndef run(body): ...\ndef run_batch(rows):\n    return numpy.array(rows).sum(axis=1)\n"
    assert await answers(driver_of(source, tmp_path), [1, 2], [3, 4]) == [3, 7]


async def test_an_exception_among_the_results_is_the_answer_of_its_request_alone(tmp_path: Path) -> None:
    source = """
class Quota(Exception):
    status_code, message = 429, "Come back tomorrow."
def run(body): ...
def run_batch(bodies):
    return [1, Quota(), KeyError("a secret"), object(), 5]
"""
    assert await answers(driver_of(source, tmp_path), 1, 2, 3, 4, 5) == [1, 429, 500, 500, 5]


@pytest.mark.parametrize("returned", ["[1]", "[1, 2, 3]", "None", "'ab'", "{1: 2, 3: 4}", "1 / 0", "exit()"])
async def test_a_batch_without_a_result_for_each_fails_for_all(
    tmp_path: Path, returned: str, capfd: pytest.CaptureFixture[str]
) -> None:
    driver = driver_of(f"def run(body): ...\ndef run_batch(bodies):\n    return {returned}\n", tmp_path)
    assert await answers(driver, 1, 2) == [500, 500]
    if returned == "[1]":
        assert "run_batch was given 2 items and returned 1 results; each needs one." in capfd.readouterr().out
