"""What is told of a program of the stack that cannot start: the last that it said."""

import json

import pytest

from local.logs import last_words


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("first\nError: listen EADDRINUSE 127.0.0.1:1\n\n", "Error: listen EADDRINUSE 127.0.0.1:1"),
        (f"{json.dumps({'message': 'one'})}\n{json.dumps({'message': 'two lines\nof it'})}\n", "two lines\nof it"),
        ('{"message": ', '{"message":'),
        ('["no", "record"]', '["no", "record"]'),
        ("", "nothing was said"),
        ("x" * 200_000 + "\nthe end", "the end"),
    ],
)
def test_the_last_line_of_a_log_is_what_a_program_said_last_in_whatever_form(tmp_path, log, said):
    (tmp_path / "log").write_text(log)
    assert last_words(tmp_path / "log") == said
