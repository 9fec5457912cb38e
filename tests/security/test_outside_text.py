"""Text from outside: bounded before anything else is done with it, cleaned in linear time, and never raw in a line."""

import json
import time
import unicodedata
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.errors import FOREIGN_LENGTH, InvalidRequest, TooLarge, foreign
from shared.domain.manifests import ManifestRequest
from shared.domain.models import ModelRequest
from shared.domain.services import ServiceCreateRequest
from shared.domain.wire import MOST_BODY_BYTES, MOST_DEPTH, MOST_DETAILS, MOST_VALUES, parse

MODEL = {"name": "digits", "url": "http://store/models/digits.pkl", "mimeType": "application/json"}
ADVERSARIES = [
    "a://",
    "a://b@",
    "://",
    "bearer ",
    "bearer a",
    "a" * 7 + "://",
    "a://?",
    "a://?a#",
    "x@",
    " \t",
    "\x1b",
    "\ud800",
]
LARGEST_REFUSAL = 64 * 1024


def seconds(act: Callable[[], object]) -> float:
    """The processor time that it takes, the best of five."""

    def once() -> float:
        began = time.process_time()
        act()
        return time.process_time() - began

    return min(once() for _ in range(5))


def refusal(kind, body: bytes) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as refused:
        parse(kind, body)
    return refused.value


def size(error: InvalidRequest) -> int:
    details = [{"code": detail.code, "message": detail.message} for detail in error.details]
    return len(json.dumps({"message": error.message, "details": details}))


@pytest.mark.parametrize("piece", ADVERSARIES, ids=ascii)
def test_cleaning_takes_time_by_the_length_of_what_is_shown(piece):
    texts = [piece * (100_000 * factor // len(piece)) for factor in (1, 2, 4, 8)]
    times = [seconds(lambda text=text: foreign(text, len(text))) for text in texts]
    assert all(after <= 3 * max(before, 0.005) for before, after in pairwise(times)), times
    assert seconds(lambda: foreign(texts[-1])) < 0.01


@given(st.text(max_size=2000), st.integers(1, 600))
def test_what_is_shown_is_no_longer_than_asked_and_holds_nothing_that_moves_a_cursor(text, length):
    shown = foreign(text, length)
    assert len(shown) <= length
    assert not {unicodedata.category(character) for character in shown} & {"Cc", "Zl", "Zp", "Cs"}
    shown.encode()


def test_line_breaks_stay_only_where_several_lines_are_meant():
    assert foreign("one\r\ntwo\x1b[2J\x85three") == "one\\r\\ntwo\\x1b[2J\\x85three"
    assert foreign("one\ntwo\t\x1b[2J", lines=True) == "one\ntwo\t\\x1b[2J"


@pytest.mark.parametrize("length", range(20, 120, 7))
def test_a_cut_never_shows_a_part_of_a_secret(length):
    secret = "S3CRET"
    for text in (f"http://user:{secret * 90}@host/x", f"x http://h/p?sig={secret * 90}", f"Bearer {secret * 90}"):
        assert "S3C" not in foreign(text, length)
        assert "S3C" not in foreign("." * length + text, length)


def test_a_user_whose_password_holds_an_at_sign_is_left_out_whole():
    assert foreign("https://me:p@ss@host/x?y") == "https://host/x"


def test_an_error_names_at_most_twenty_things_and_how_many_more_there_are():
    error = refusal(ModelRequest, json.dumps({**MODEL, **{f"k{number}": 1 for number in range(1000)}}).encode())
    assert len(error.details) == MOST_DETAILS + 1
    assert error.details[-1].message == "980 more things are wrong."
    assert size(error) < LARGEST_REFUSAL


@pytest.mark.parametrize(
    "body",
    [
        {**MODEL, "tags": list(range(9000))},
        {"\x1b" * 900 + str(number): {"\u2028" * 900: 1} for number in range(30)},
        {"name": "a://" * 200_000},
        {**MODEL, "mimeType": "a/" + "b" * 500_000},
        {**MODEL, "description": "x" * 900_000},
    ],
    ids=["array", "names", "addresses", "media type", "description"],
)
def test_whatever_is_sent_the_refusal_is_short_and_comes_soon(body):
    text = json.dumps(body, ensure_ascii=False).encode()
    assert size(refusal(ModelRequest, text)) < LARGEST_REFUSAL
    assert seconds(lambda: refusal(ModelRequest, text)) < 0.5


def test_a_body_has_a_largest_size_which_the_error_names():
    with pytest.raises(TooLarge, match=f"{MOST_BODY_BYTES}"):
        parse(ModelRequest, b'{"name": "' + b"x" * MOST_BODY_BYTES + b'"}')


def test_a_body_of_very_many_values_is_refused_before_they_are_looked_at():
    body = json.dumps({f"k{number}": number for number in range(MOST_VALUES + 1)}).encode()
    assert f"{MOST_VALUES} values" in refusal(ModelRequest, body).message
    assert seconds(lambda: refusal(ModelRequest, body)) < 0.1


@pytest.mark.parametrize("depth", [MOST_DEPTH + 1, 500, 1500, 9000, 100_000])
@pytest.mark.parametrize(("opening", "closing"), ["[]", ('{"a":', "}")], ids=["arrays", "objects"])
def test_json_of_any_depth_is_the_caller_s_fault(depth, opening, closing):
    body = b'{"name": %s1%s}' % (opening.encode() * depth, closing.encode() * depth)
    assert refusal(ModelRequest, body).status_code == 400


@pytest.mark.parametrize("cpu", ["9" * 1_000_000, "1e999", "9" * 65, "0." + "0" * 500_000 + "1", "1E999999999"], ids=len)
def test_a_quantity_of_any_size_is_the_caller_s_fault(cpu):
    body = {
        "name": "digits",
        "imageId": "01890000-0000-7000-8000-000000000000",
        "computeResource": {"id": "/subscriptions/s"},
        "containerResourceReservation": {"cpu": cpu},
    }
    error = refusal(ServiceCreateRequest, json.dumps(body).encode())
    assert any("containerResourceReservation.cpu" in detail.message for detail in error.details)


def test_a_media_type_is_as_long_as_its_specification_lets_it_be():
    longest = "a" * 127 + "/" + "b" * 127
    assert parse(ModelRequest, json.dumps({**MODEL, "mimeType": longest}).encode()).mime_type == longest
    for text in (longest + "b", "a/b; c=" + "d" * 900):
        assert "mimeType" in refusal(ModelRequest, json.dumps({**MODEL, "mimeType": text}).encode()).message


@pytest.mark.parametrize("asset_id", ["x'\n2026-01-01 signature verified", "\x1b[2K", "\u2028"], ids=ascii)
def test_the_id_of_an_asset_cannot_forge_a_line(asset_id):
    body = {
        "name": "digits",
        "driverProgram": asset_id,
        "assets": [{"id": asset_id, "url": "http://store/x"}],
        "targetRuntime": {"runtimeType": "Python", "properties": {}},
    }
    fields = {detail.message.partition(":")[0] for detail in refusal(ManifestRequest, json.dumps(body).encode()).details}
    assert fields == {"driverProgram", "assets[0].id"}


def test_a_refused_reference_shows_no_more_of_it_than_a_line():
    body = {**MODEL, "driverProgram": "d" * 256, "assets": [], "targetRuntime": {"runtimeType": "Python", "properties": {}}}
    assert all(
        len(detail.message) < 3 * FOREIGN_LENGTH for detail in refusal(ManifestRequest, json.dumps(body).encode()).details
    )
