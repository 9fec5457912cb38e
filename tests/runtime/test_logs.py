"""What the log holds, line by line (client-facts.md, 30)."""

import asyncio
import subprocess
import sys

from tests.runtime.replicas import Line, Start

ZEROS = "00000000-0000-0000-0000-000000000000"


async def test_all_that_a_driver_says_carries_the_id_of_the_request(start: Start) -> None:
    source = """
    import logging, sys
    def init():
        print("from init")
    def run(body):
        print("printed")
        print("without an end", end="")
        print("complained", file=sys.stderr)
        logging.info("logged")
        logging.getLogger("my.model").error("by name")
        logging.getLogger().debug("too small to tell")
        return body
    """
    replica = await start(source).ready()
    await replica.score({}, headers={"x-request-id": "r1"})
    said = {
        text: (await replica.logged("r1", text)).level
        for text in ("printed", "without an end", "complained", "logged", "by name")
    }
    assert said == {
        "printed": "INFO",
        "without an end": "INFO",
        "complained": "WARNING",
        "logged": "INFO",
        "by name": "ERROR",
    }
    assert {(line.logger, line.api_name) for line in replica.log if line.request_id == "r1"} == {("root", "/score")}
    assert not any("too small" in line.message for line in replica.log)


async def test_what_init_says_has_the_id_of_zeros(start: Start) -> None:
    replica = await start("def init():\n    print('from init')\ndef run(body):\n    return body\n").ready()
    line = await replica.logged(ZEROS, "from init")
    assert (line.logger, line.api_name, line.level) == ("root", "", "INFO")


async def test_each_scored_request_has_a_line_whatever_the_driver_does_to_logging(start: Start) -> None:
    source = "import logging, sys\ndef run(body):\n    logging.disable()\n    sys.stdout = None\n    return body\n"
    replica = await start(source).ready()
    await replica.score({}, headers={"x-request-id": "r1"})
    assert (await replica.logged("r1", "POST /score 200")).level == "INFO"


async def test_what_has_no_line_end_is_logged_before_it_is_too_long(start: Start) -> None:
    source = "def run(body):\n    for _ in range(200):\n        print('x' * 1000, end='')\n    return body\n"
    replica = await start(source).ready()
    await replica.score({}, headers={"x-request-id": "r1"})
    await replica.logged("r1", "POST /score 200")
    printed = [len(line.message) for line in replica.log if line.request_id == "r1" and line.message.startswith("x")]
    assert printed == [66_000, 66_000, 66_000, 2_000]


async def test_requests_that_print_at_once_do_not_mix(start: Start) -> None:
    source = """
    import threading
    together = threading.Barrier(4)
    def run(body):
        for part in (body, "-", body):
            together.wait()
            print(part, end="")
        print()
    """
    replica = await start(source).ready()
    await asyncio.gather(*(replica.score(name, headers={"x-request-id": name[1]}) for name in ('"a"', '"b"', '"c"', '"d"')))
    for name in "abcd":
        assert (await replica.logged(name, "-")).message == f"{name}-{name}"


async def test_a_line_of_a_task_has_the_id_of_its_request(start: Start) -> None:
    source = """
    import asyncio
    async def run(body):
        await asyncio.sleep(0.05)
        print("in", body)
    """
    replica = await start(source).ready()
    await asyncio.gather(*(replica.score(number, headers={"x-request-id": f"r{number}"}) for number in range(5)))
    for number in range(5):
        await replica.logged(f"r{number}", f"in {number}")
    printed = {(line.request_id, line.message) for line in replica.log if line.message.startswith("in ")}
    assert printed == {(f"r{number}", f"in {number}") for number in range(5)}


async def test_a_driver_may_ask_for_an_encoding(start: Start) -> None:
    source = "import sys\nsys.stdout.reconfigure(encoding='utf-8', line_buffering=True)\ndef run(body):\n    print(body)\n"
    replica = await start(source).ready()
    await replica.score('"grüße"', headers={"x-request-id": "r1"})
    assert (await replica.logged("r1", "grüße")).level == "INFO"


def test_a_process_that_is_forked_while_a_line_is_written_can_write_its_own() -> None:
    program = """
import os, signal, sys, threading
from runtime.slipway_server.logs import log
threading.Thread(target=log, args=("INFO", "more than the pipe holds" * 100_000), daemon=True).start()
sys.stdin.read(1)
if os.fork() == 0:
    signal.alarm(20)
    os.dup2(2, 1)
    log("INFO", "from the other")
    os._exit(0)
os.wait()
os._exit(0)
"""
    command = [sys.executable, "-W", "ignore", "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.read(1) == b"{"  # its line has begun, and has no end while nobody reads on
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert Line.of(process.stderr.readline().decode()).message == "from the other"


async def test_a_message_of_many_lines_stays_one_line_of_the_log(start: Start) -> None:
    replica = await start("import logging\ndef run(body):\n    logging.info('one\\ntwo')\n").ready()
    await replica.score({}, headers={"x-request-id": "r1"})
    assert (await replica.logged("r1", "one")).message == "one\ntwo"
