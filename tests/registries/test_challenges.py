import time

import pytest

from shared.registries.challenges import Challenge, challenges


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ([], []),
        (["Basic"], [("basic", {})]),
        (['Basic realm="a b, c"'], [("basic", {"realm": "a b, c"})]),
        (
            ['Basic realm="r", Bearer realm="https://t",scope="x"'],
            [("basic", {"realm": "r"}), ("bearer", {"realm": "https://t", "scope": "x"})],
        ),
        (['Bearer realm="t"', 'Basic realm="r"'], [("bearer", {"realm": "t"}), ("basic", {"realm": "r"})]),
        (['BEARER Realm = "t" ,  SCOPE="x"'], [("bearer", {"realm": "t", "scope": "x"})]),
        (["Bearer realm=https://t/x?y,service=s"], [("bearer", {"realm": "https://t/x?y", "service": "s"})]),
        (['Bearer realm="a\\"b\\\\c"'], [("bearer", {"realm": 'a"b\\c'})]),
        (['Bearer realm="first",realm="last"'], [("bearer", {"realm": "first"})]),
        (["Negotiate abc==, NTLM, Digest nonce=x"], [("negotiate", {}), ("ntlm", {}), ("digest", {"nonce": "x"})]),
        ([", ,Basic ,, Bearer realm=t,"], [("basic", {}), ("bearer", {"realm": "t"})]),
        (['Bearer realm="not closed'], [("bearer", {})]),
        (["\x00é, Bearer realm=t"], [("bearer", {"realm": "t"})]),
        ([""], []),
    ],
)
def test_challenges_are_read_as_they_may_be_written(headers, found):
    assert challenges(headers) == [Challenge(scheme, parameters) for scheme, parameters in found]


@pytest.mark.parametrize(
    "text", ["Bearer " + 'a="' * 100_000, "a " * 100_000, "," * 100_000, '"\\' * 100_000, "a=" * 100_000]
)
def test_a_header_of_any_form_is_read_at_once(text):
    began = time.process_time()
    challenges([text] * 10)
    assert time.process_time() - began < 1
