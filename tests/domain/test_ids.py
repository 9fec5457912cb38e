from datetime import UTC, datetime
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.ids import canonical, complement, created_at, new_id

MOMENTS = st.floats(946684800, 7258118400).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))


def bits(value: int):
    return lambda count: value & ((1 << count) - 1)


@given(MOMENTS, st.integers(0, 2**62 - 1))
def test_an_id_is_a_canonical_uuid_of_version_7(moment, random):
    identifier = new_id(moment, bits(random))
    assert str(UUID(identifier)) == identifier
    assert UUID(identifier).version == 7
    assert canonical(identifier.upper()) == identifier


@given(MOMENTS, st.integers(0, 2**62 - 1))
def test_an_id_tells_when_it_was_made_to_the_millisecond(moment, random):
    assert abs((created_at(new_id(moment, bits(random))) - moment).total_seconds()) <= 0.0011


@given(st.tuples(MOMENTS, st.integers(0, 2**62 - 1)), st.tuples(MOMENTS, st.integers(0, 2**62 - 1)))
def test_complements_sort_newest_first(one, other):
    first, second = (new_id(moment, bits(random)) for moment, random in (one, other))
    assert (first < second) == (complement(first) > complement(second))


@given(st.text(max_size=40))
def test_what_is_no_uuid_has_no_canonical_form(text):
    found = canonical(text)
    assert found is None or str(UUID(found)) == found
