"""The codec between documents and rows: its keys sort and tell apart, its properties fit and come back."""

import re
from typing import ClassVar

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.domain.documents import Claim, Document, Insert
from shared.domain.errors import TooLarge
from shared.domain.ids import created_at, new_id
from shared.domain.models import Model
from shared.storage.rows import claim_key, decode, document_key, encode, list_prefix, prefix_end, rows_of
from tests.twins import ManualClock

CLOCK = ManualClock()
TEXT = st.text(max_size=400)
SAFE_KEY = re.compile(r"[ -~]{1,512}")
FORBIDDEN = set("/\\#?")


class Note(Document):
    """A document with a text of any length."""

    kind: ClassVar[str] = "note"

    text: str


def note(text: str) -> Note:
    return Note(id=new_id(CLOCK.now(), CLOCK.random_bits), text=text)


@given(TEXT, TEXT)
@example("=" * 200, "=" * 201)
@example("x" * 161, "x" * 162)
@example("a:b", "a=3Ab")
def test_two_texts_never_share_a_key(one, other):
    assert (claim_key(one) == claim_key(other)) == (one == other)


def test_no_text_can_pass_for_the_digest_of_another():
    digest = claim_key("x" * 300).removeprefix("claim:")
    assert re.fullmatch(r"==[0-9a-f]{64}", digest)
    assert claim_key(digest) != claim_key("x" * 300)


@given(TEXT, TEXT)
@example("ü" * 256, "𝄞" * 256)
def test_any_key_is_one_that_tables_take(name, tag):
    identifier = new_id(CLOCK.now(), CLOCK.random_bits)
    for key in (claim_key(name), list_prefix(Model, {"name": name, "tag": tag}) + identifier):
        assert SAFE_KEY.fullmatch(key)
        assert not FORBIDDEN & set(key)


@given(TEXT, TEXT, TEXT, TEXT)
@example("a:b", "c", "a", "b:c")
def test_two_filters_never_share_a_list(name, tag, other_name, other_tag):
    one, other = {"name": name, "tag": tag}, {"name": other_name, "tag": other_tag}
    assert (list_prefix(Model, one) == list_prefix(Model, other)) == (one == other)


@given(st.lists(st.uuids(), min_size=2, max_size=9, unique=True))
def test_keys_ascend_as_ids_descend_and_all_lie_in_the_list_of_their_kind(identifiers):
    texts = sorted((str(identifier) for identifier in identifiers), reverse=True)
    keys = [document_key(Model, text) for text in texts]
    assert keys == sorted(keys)
    prefix = list_prefix(Model, {})
    assert all(prefix < key < prefix_end(prefix) for key in keys)
    assert not prefix < list_prefix(Model, {"name": "a"}) < prefix_end(prefix)


@given(st.text(alphabet=st.sampled_from('a"\\é\u2028𝄞\0'), max_size=50), st.integers(1, 1500))
def test_any_document_comes_back_from_properties_that_a_table_takes(text, times):
    document = note(text * times)
    properties = encode(document)
    assert decode(Note, properties) == document
    assert all(len(value.encode("utf-16-le")) // 2 <= 32 * 1024 for value in properties.values())


def test_a_document_comes_back_whatever_the_order_of_its_properties_and_what_else_there_is():
    document = note("x" * 300_000)
    shuffled = {"RowKey": "k", "Timestamp": "t", **dict(reversed(encode(document).items()))}
    assert decode(Note, shuffled) == document


def test_a_row_for_the_document_and_one_for_each_term():
    identifier = new_id(CLOCK.now(), CLOCK.random_bits)
    document = Model(
        id=identifier,
        name="digits",
        tags=("prod", "eu"),
        url="http://store/x",
        mime_type="application/json",
        version=1,
        created_at=created_at(identifier),
    )
    keys = [row.key for row in rows_of([Insert(document)])]
    assert len(set(keys)) == len(keys)
    assert [key.partition(":")[0] for key in keys].count("model") == 1
    assert sorted(key.rpartition(":")[0] for key in keys[1:]) == [
        "model-by-name+tag:digits:eu",
        "model-by-name+tag:digits:prod",
        "model-by-name:digits",
        "model-by-tag:eu",
        "model-by-tag:prod",
    ]


def test_a_transaction_is_measured_as_it_travels():
    """Text outside ASCII travels escaped, at three times the size that it has as UTF-8."""
    rows_of([Claim(str(number), "x" * 40_000) for number in range(100)])
    with pytest.raises(TooLarge, match="4 MiB"):
        rows_of([Claim(str(number), "𝄞" * 10_000) for number in range(100)])
