import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shared.domain.accounts import Account
from shared.domain.errors import InvalidRequest
from shared.resources.paging import SkipTokens

AFTER = "01890000-0000-7000-8000-000000000000"
FILTERS = st.dictionaries(st.sampled_from(["name", "tag", "modelId"]), st.text(max_size=20), max_size=3)
QUERIES = st.tuples(
    st.sampled_from([Account("s", "g", "a"), Account("s", "g", "b"), Account("s", "h", "a")]),
    st.sampled_from(["models", "images"]),
    FILTERS,
)


@given(QUERIES, st.uuids())
def test_a_token_reads_back_for_its_own_query(query, after):
    tokens = SkipTokens(b"k" * 32)
    assert tokens.read(*query, tokens.make(*query, str(after))) == str(after)


@given(QUERIES, QUERIES)
def test_a_token_of_another_query_is_refused(query, other):
    assume(query != other)
    tokens = SkipTokens(b"k" * 32)
    with pytest.raises(InvalidRequest, match=r"\$skipToken"):
        tokens.read(*other, tokens.make(*query, AFTER))


@given(QUERIES, st.integers(0, 42), st.characters(codec="ascii"))
def test_a_changed_token_is_refused(query, position, character):
    tokens = SkipTokens(b"k" * 32)
    token = tokens.make(*query, AFTER)
    forged = token[:position] + character + token[position + 1 :]
    assume(forged != token)
    with pytest.raises(InvalidRequest):
        tokens.read(*query, forged)


@given(QUERIES, st.text(max_size=100))
def test_garbage_is_refused(query, garbage):
    with pytest.raises(InvalidRequest):
        SkipTokens(b"k" * 32).read(*query, garbage)


@pytest.mark.parametrize("character", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
def test_the_spare_bits_of_the_last_character_do_not_make_a_second_token(character):
    tokens = SkipTokens(b"k" * 32)
    query = (Account("s", "g", "a"), "models", {})
    token = tokens.make(*query, AFTER)
    if character != token[-1]:
        with pytest.raises(InvalidRequest):
            tokens.read(*query, token[:-1] + character)


def test_a_token_made_with_another_secret_is_refused():
    query = (Account("s", "g", "a"), "models", {})
    with pytest.raises(InvalidRequest):
        SkipTokens(b"a" * 32).read(*query, SkipTokens(b"b" * 32).make(*query, AFTER))


def test_two_spellings_of_one_account_share_their_tokens():
    tokens = SkipTokens(b"k" * 32)
    token = tokens.make(Account("S", "G", "A"), "models", {}, AFTER)
    assert tokens.read(Account("s", "g", "a"), "models", {}, token) == AFTER
