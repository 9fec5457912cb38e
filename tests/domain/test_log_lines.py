"""What replicas print, as people read it: one level of JSON, tracebacks as lines, and nothing in disguise."""

import json

import pytest

from shared.domain.log_lines import message_of, readable

ZEROS = "00000000-0000-0000-0000-000000000000"
TRACEBACK = "run failed.\nTraceback (most recent call last):\n  File \"/app/driver.py\", line 9, in run\nKeyError: 'rows'\n"


def record(message: str, request: str = "r1", **outer: object) -> str:
    """As the scoring server writes it."""
    told = json.dumps({"requestId": request, "apiName": "/score", "message": message})
    when = {"timestamp": "2026-01-01T00:00:00.000+00:00", "level": "ERROR", "logger": "root"}
    return json.dumps({**when, "message": told, **outer})


def test_a_request_s_record_is_one_level_of_json():
    (line,) = readable(record('got {"rows": "é"}'))
    assert json.loads(line) == {
        "timestamp": "2026-01-01T00:00:00.000+00:00",
        "level": "ERROR",
        "logger": "root",
        "requestId": "r1",
        "apiName": "/score",
        "message": 'got {"rows": "é"}',
    }
    assert r"{\"rows\": \"é\"}" in line


def test_a_traceback_is_read_line_by_line_below_its_record():
    first, *more = readable(record(TRACEBACK))
    assert json.loads(first)["message"] == "run failed."
    assert more == [
        "    Traceback (most recent call last):",
        '      File "/app/driver.py", line 9, in run',
        "    KeyError: 'rows'",
    ]


@pytest.mark.parametrize(
    "printed",
    ["==> another-0 <==", "plain", "7", "[1]", '{"message": 7}', '{"message": "no time"}', "{" * 50_000, '{"a": 1e999}'],
)
def test_what_is_no_record_is_indented(printed):
    assert list(readable(printed)) == [f"    {printed}"]


@pytest.mark.parametrize(
    "forged", ["==> another-0 <==", record("forged"), "a\n==> another-0 <==", "\n\r\n==> another-0 <==\n"]
)
@pytest.mark.parametrize("way", [record, str])
def test_nothing_that_a_driver_prints_begins_at_the_margin_but_its_own_record(forged, way):
    lines = list(readable(way(forged)))
    assert not any(line.startswith("==>") for line in lines)
    assert all(line.startswith(("    ", '{"timestamp": ')) or not line for line in lines)
    assert sum(line.startswith("{") for line in lines) <= 1


@pytest.mark.parametrize(
    ("character", "shown"),
    [
        ("\x1b", r"\u001b"),
        ("\x00", r"\u0000"),
        ("\x7f", r"\u007f"),
        ("\x9b", r"\u009b"),
        ("\x85", r"\u0085"),
        ("\u2028", r"\u2028"),
        ("\u202e", r"\u202e"),
        ("\ud800", r"\ud800"),
    ],
)
def test_what_steers_a_terminal_or_cannot_be_encoded_is_shown_escaped(character, shown):
    for way in (record, str):
        told = "\n".join(readable(way(f"a{character}[31mb\nc{character}d")))
        assert character not in told
        assert f"a{shown}[31mb" in told
        assert f"c{shown}d" in told
        assert told.encode()
    first, _ = readable(record(f"a{character}[31mb\nc"))
    assert json.loads(first)["message"] == f"a{character}[31mb"


def test_a_lone_carriage_return_writes_over_nothing():
    first, *more = readable(record("100 %\rdone\r\nnext\rline"))
    assert json.loads(first)["message"] == "100 %\rdone"
    assert more == [r"    next\u000dline"]
    assert "\r" not in first


def test_tabs_and_other_writing_are_left_as_they_are():
    assert list(readable("\tmodèle 模型 👩‍🔬")) == ["    \tmodèle 模型 👩‍🔬"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (record("from init", ZEROS), "from init"),
        (record('{"message": "of the driver"}'), '{"message": "of the driver"}'),
        ('{"message": "one level"}', "one level"),
        ('{"message": 7}', '{"message": 7}'),
        ("plain", "plain"),
        ("{" * 50_000, "{" * 50_000),
    ],
)
def test_an_error_quotes_the_message_of_a_record_and_any_other_line_as_it_is(line, said):
    assert message_of(line) == said
