"""Drivers that cannot serve are refused before anything is installed for them; those that may are let pass."""

import gzip
import hashlib
from dataclasses import replace

import pytest

from shared.domain.building import Content
from shared.domain.errors import BuildFailed
from shared.domain.manifests import RuntimeProperties, RuntimeType, TargetRuntime
from shared.images.content.fetch import Fetcher
from shared.images.content.one_folder import driver_source
from shared.images.content.source_layers import kept_name
from shared.images.drivers.checking import MOST_READ, DriverCheck
from shared.storage.memory import MemoryKeep
from tests.images.making import CLOCK, DRIVER, Log, built, make_builder, source

RUN = b"def run(body): return body\n"


@pytest.fixture
def keep() -> MemoryKeep:
    return MemoryKeep(CLOCK)


@pytest.fixture
def check(sources, keep):
    async def checked(content: bytes, *, python: str = "3.13", status: int = 200) -> Log:
        log, image = Log(), source(sources)
        sources.put("driver.py", content, status)
        await DriverCheck(Fetcher(allow=(sources.origin,), most_bytes=10**9), keep, python).check(image, log)
        return log

    return checked


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        (b"def init():\n    pass\ndef run(body:\n    return body\n", 3, "was never closed"),
        (b"def run(body):\n    return body\nprint 'done'\n", 3, "Missing parentheses"),
        (RUN + b"return 1\n", 2, "'return' outside function"),
        (RUN + b"if 1:\n\tx = 1\n        y = 2\n", 4, "inconsistent use of tabs"),
        (RUN + b"x = '\xe9'\n", 2, "codec can't decode byte 0xe9"),
        (b"# coding: klingon\n" + RUN, None, "klingon"),
        (gzip.compress(RUN, mtime=0), None, "It is an archive"),
        (RUN.decode().encode("utf-16"), None, "text in UTF-16; save it as UTF-8"),
        (b"<!DOCTYPE html>\n<html></html>", 1, "It is a web page"),
    ],
)
async def test_a_driver_that_is_no_python_is_refused_by_file_line_and_reason(check, content, line, reason):
    with pytest.raises(BuildFailed) as refused:
        await check(content)
    assert refused.value.code == "DriverSyntaxError"
    assert refused.value.message.startswith("the driver 'driver' (driver.py)")
    assert line is None or f", line {line}:" in refused.value.message
    assert reason in refused.value.message
    assert "SECRET" not in refused.value.message


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"def init(): pass\ndef predict(body): pass\n", "its functions are init, predict"),
        (b"", "defines no function"),
        (b"def Run(body): pass\n", "its functions are Run"),
        (b"import subprocess\nsubprocess.run([])\n", "no function"),
        (b"class Model:\n    def run(self, body): pass\n", "The run of line 2 is inside Model."),
        (b"def init():\n    global model\n    def run(body): pass\n", "The run of line 3 is inside init."),
        (b'{"cells": [], "nbformat": 4}', "It is a notebook"),
    ],
)
async def test_a_driver_without_run_is_refused_and_told_what_it_has(check, content, told):
    with pytest.raises(BuildFailed) as refused:
        await check(content)
    assert refused.value.code == "DriverWithoutRun"
    assert "the driver 'driver' (driver.py) has no function run at its top level" in refused.value.message
    assert told in refused.value.message


@pytest.mark.parametrize(
    "content",
    [
        RUN,
        b"async def run(body): pass\n",
        b"def run_batch(items): return items\n",
        b"class run:\n    pass\n",
        b"run = lambda body: body\n",
        b"init, run = make()\n",
        b"if (run := make()): pass\n",
        b"from score import predict as run\n",
        b"import run\n",
        b"from score import *\n",
        b"try:\n    from fast import run\nexcept ImportError:\n    run = None\n",
        b"for run in (1, 2): pass\n",
        b"with made() as run: pass\n",
        b"match made():\n    case [run]: pass\n",
        b"def init():\n    global run\n    run = made()\n",
        b"globals()['r' + 'un'] = print\n",
        b"import sys\nsetattr(sys.modules[__name__], NAME, print)\n",
        b"exec(SOURCE)\n",
        b"def __getattr__(name): return print\n",
        b"# coding: latin-1\nx = '\xe9'\n" + RUN,
        b"\xef\xbb\xbf" + RUN.replace(b"\n", b"\r\n"),
        b"x = '\\d'\n" + RUN,
        b"def run(): pass\n",
    ],
)
async def test_a_driver_that_may_have_a_run_is_let_pass(check, content):
    assert (await check(content)).lines == []


@pytest.mark.parametrize(
    "content",
    [
        b"x = " + b"-" * 200_000 + b"1\n",
        b"x = " + b"(" * 150 + b"1" + b")" * 150 + b"\n",
        b"x = " + b"a." * 100_000 + b"b\n",
        b"x = " + b"+".join([b"1"] * 100_000) + b"\n",
        b"x = " + b"f(" * 90 + b")" * 90 + b"\n",
        b"if a:\n  pass\n" + b"elif a:\n  pass\n" * 20_000,
        b"x = [" + b"[]," * 300_000 + b"]\n",
        b"x" * (MOST_READ + 1),
    ],
)
async def test_a_driver_that_is_made_to_break_a_parser_is_passed_or_refused_plainly(check, content):
    try:
        await check(content + RUN)
    except BuildFailed as refused:
        assert refused.code == "DriverSyntaxError"  # noqa: PT017  either outcome is right


async def test_what_a_driver_names_its_functions_is_cut_in_the_message(check):
    with pytest.raises(BuildFailed) as refused:
        await check("".join(f"def f{'é' * 9_000}{number}(): pass\n" for number in range(20)).encode())
    assert "its functions are féé" in refused.value.message
    assert len(refused.value.message) < 1000


async def test_of_a_driver_no_more_is_fetched_than_is_read(check, sources):
    log = await check(b"#" * (40 * MOST_READ))
    assert "not looked at" in log.text
    assert sources.served("driver.py").asked == 1


async def test_syntax_of_a_python_newer_than_the_builders_is_let_pass(check):
    log = await check(b"def run(body:\n", python="3.99")
    assert "whether it is Python 3.99 is not known here" in log.text


async def test_nothing_is_installed_for_a_driver_that_is_refused(sources, tmp_path, package_cache):
    image, log = source(sources, requirements="no-such-package-anywhere==1\n"), Log()
    sources.put("driver.py", b"def run(body:\n")
    with pytest.raises(BuildFailed) as refused:
        await built(make_builder(tmp_path, sources, package_cache), image, log)
    assert refused.value.code == "DriverSyntaxError"
    assert sources.served("requirements.txt").asked == 0


async def test_a_spark_driver_needs_a_run_as_any(sources, tmp_path, package_cache):
    spark = TargetRuntime(runtime_type=RuntimeType.SPARK_PYTHON, properties=RuntimeProperties())
    image = source(sources, changes={"target_runtime": spark})
    sources.put("driver.py", b"def init(): spark.range(1)\n")
    with pytest.raises(BuildFailed) as refused:
        await make_builder(tmp_path, sources, package_cache).resolve(image, Log())
    assert refused.value.code == "DriverWithoutRun"


async def test_a_driver_that_was_kept_is_looked_at_without_its_url(sources, keep):
    content, log = b"def predict(body): pass\n", Log()
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    await keep.put(kept_name(digest), content)
    image = source(sources)
    sources.put("driver.py", DRIVER)
    image = replace(image, known={driver_source(image).key: Content(digest)})
    with pytest.raises(BuildFailed) as refused:
        await DriverCheck(Fetcher(most_bytes=10**9), keep, "3.13").check(image, log)
    assert refused.value.code == "DriverWithoutRun"
    assert sources.served("driver.py").asked == 0


async def test_a_driver_that_is_known_and_cannot_be_had_is_left_to_what_was_made_of_it(sources, keep):
    image, log = source(sources), Log()
    sources.put("driver.py", b"", status=404)
    known = replace(image, known={driver_source(image).key: Content("sha256:" + "0" * 64)})
    check = DriverCheck(Fetcher(allow=(sources.origin,), most_bytes=10**9), keep, "3.13")
    await check.check(known, log)
    assert "not looked at" in log.text
    with pytest.raises(BuildFailed, match="there is nothing there"):
        await check.check(image, log)
