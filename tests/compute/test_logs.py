"""The end of a log, as an error quotes it."""

import json
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from local.compute.logs import Logs, ReplicaLog
from shared.domain.computing import LogQuery

MOST = 1 << 20
TRACEBACK = 'Traceback (most recent call last):\n  File "/x/unpacked/opt/driver.py", line 1, in init\nRuntimeError: no model'


def written(log: ReplicaLog, *lines: str) -> str:
    with closing(log.open()) as file:
        file.write("".join(f"{line}\n" for line in lines).encode())
    return log.last_lines()


def log_in(folder: Path) -> ReplicaLog:
    return Logs(folder, lambda text: text.replace("/x/unpacked", ""), MOST).of("service", "replica")


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


def line(second: int, message: str) -> str:
    return json.dumps({"timestamp": f"2026-01-01T00:00:{second:02}.000+00:00", "level": "INFO", "message": message})


def test_a_service_s_logs_are_those_of_its_replicas(tmp_path: Path) -> None:
    logs = Logs(tmp_path, str, MOST)
    for replica in ("first", "second"):
        written(logs.of("service", replica), *(f"{replica} {number}" for number in range(5)))
    written(logs.of("another", "third"), "not asked for")
    printed = {log.replica: log.lines for log in logs.printed("service", LogQuery(tail=2))}
    assert printed == {"first": ("first 3", "first 4"), "second": ("second 3", "second 4")}
    assert [log.replica for log in logs.printed("service", LogQuery(tail=2, replica="second"))] == ["second"]


def test_lines_since_a_moment_begin_with_the_first_that_tells_such_a_time(tmp_path: Path) -> None:
    logs = Logs(tmp_path, str, MOST)
    written(logs.of("service", "only"), line(1, "old"), "of the old one", line(3, "new"), "of the new one")
    (printed,) = logs.printed("service", LogQuery(tail=100, since=datetime(2026, 1, 1, 0, 0, 2, tzinfo=UTC)))
    assert printed.lines == (line(3, "new"), "of the new one")
    assert next(logs.printed("service", LogQuery(tail=9, since=datetime(2026, 1, 2, tzinfo=UTC)))).lines == ()


def test_what_a_log_that_was_turned_over_held_is_there_too(tmp_path: Path) -> None:
    logs = Logs(tmp_path, str, len("before\n"))
    written(logs.of("service", "only"), "before")
    written(logs.of("service", "only"), "after")
    assert (tmp_path / "service" / "only.log.1").read_text() == "before\n"
    assert next(logs.printed("service", LogQuery(tail=9))).lines == ("before", "after")


def test_the_last_lines_are_quoted_whenever_the_log_was_turned_over(tmp_path: Path) -> None:
    logs = Logs(tmp_path, str, 100)
    assert written(logs.of("service", "only"), *(f"line {number:04}" for number in range(42))).splitlines() == [
        f"line {number:04}" for number in range(30, 42)
    ]


def test_lines_that_tell_a_time_without_a_zone_or_nest_without_end_tell_no_time(tmp_path: Path) -> None:
    logs = Logs(tmp_path, str, MOST)
    said = ['{"timestamp": "2026-01-01T00:00:09"}', "[" * 20_000, '{"timestamp": 7}', line(3, "new")]
    assert written(logs.of("service", "only"), *said).splitlines()[-1] == "new"
    (printed,) = logs.printed("service", LogQuery(tail=100, since=datetime(2026, 1, 1, 0, 0, 2, tzinfo=UTC)))
    assert printed.lines == (line(3, "new"),)
