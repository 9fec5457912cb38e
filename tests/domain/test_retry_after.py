import pytest
from multidict import CIMultiDict

from shared.domain.retry_after import retry_after

NOW = 1_746_136_900.0


@pytest.mark.parametrize(
    ("text", "pause"),
    [
        ("300", 300),
        ("0", 0),
        ("0.5", 0.5),
        (" 20 ", 20),
        ("1746136938", 38),
        ("1746136938.25", 38.25),
        ("1746136938000", 38),
        ("1746136000", 0),
        ("Thu, 01 May 2025 22:02:10 GMT", 30),
        ("Thursday, 01-May-25 22:02:10 GMT", 30),
        ("Thu May  1 22:02:10 2025", 30),
        ("Wed, 30 Apr 2025 00:00:00 GMT", 0),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("²", None),
        ("1e9", None),
        ("inf", None),
        ("9" * 400, None),
        ("Thu, 99 May 2025 99:99:99 GMT", None),
        ("Thu, 01 May 99999 22:02:10 GMT", None),
    ],
)
def test_a_pause_is_read_in_whatever_form_it_is_asked_for(text, pause):
    assert retry_after({"Retry-After": text}, NOW) == pause


def test_the_name_of_the_header_has_no_case():
    assert retry_after({"retry-after": "7"}) == retry_after(CIMultiDict({"RETRY-AFTER": "7"})) == 7
    assert retry_after({}) is None
