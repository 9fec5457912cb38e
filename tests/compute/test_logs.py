"""The end of a log, as an error quotes it."""

import json
from pathlib import Path

from local.compute.logs import Logs, ReplicaLog

TRACEBACK = 'Traceback (most recent call last):\n  File "/x/unpacked/opt/driver.py", line 1, in init\nRuntimeError: no model'


def written(log: ReplicaLog, *lines: str) -> str:
    with log.open() as file:
        file.write("".join(f"{line}\n" for line in lines).encode())
    return log.last_lines()


def log_in(folder: Path) -> ReplicaLog:
    return Logs(folder).of("service", "replica", lambda text: text.replace("/x/unpacked", ""))


def test_the_messages_of_json_lines_are_quoted_and_other_lines_as_they_are(tmp_path: Path) -> None:
    request = {"requestId": "0", "apiName": "", "message": "from init"}
    lines = [json.dumps({"level": "INFO", "message": json.dumps(request)}), "plain", '"text"', "7", '{"message": 7}']
    assert written(log_in(tmp_path), *lines) == 'from init\nplain\n"text"\n7\n{"message": 7}'


def test_a_traceback_is_quoted_with_the_paths_of_the_image(tmp_path: Path) -> None:
    quoted = written(log_in(tmp_path), json.dumps({"message": TRACEBACK}))
    assert quoted == TRACEBACK.replace("/x/unpacked", "")


def test_only_the_last_lines_are_quoted(tmp_path: Path) -> None:
    quoted = written(log_in(tmp_path), *(f"line {number}" for number in range(100)))
    assert quoted.splitlines() == [f"line {number}" for number in range(80, 100)]
    assert len(written(log_in(tmp_path), "x" * 100_000)) < 2000


def test_what_an_earlier_start_printed_is_not_quoted(tmp_path: Path) -> None:
    written(log_in(tmp_path), "the start before")
    assert written(log_in(tmp_path), "this start") == "this start"
