"""What the environment says of proxies, for programs that call this machine."""

import pytest

from local.children import inherited
from local.proxies import past_proxies

LOOPBACK = "127.0.0.1,localhost,::1"


@pytest.mark.parametrize(
    ("named", "value"),
    [
        ({}, LOOPBACK),
        ({"NO_PROXY": ""}, LOOPBACK),
        ({"NO_PROXY": "a.example"}, f"a.example,{LOOPBACK}"),
        ({"no_proxy": "a.example, .b.example ,"}, f"a.example,.b.example,{LOOPBACK}"),
        ({"NO_PROXY": "a.example", "no_proxy": "b.example,a.example"}, f"a.example,b.example,{LOOPBACK}"),
        ({"NO_PROXY": "localhost"}, "localhost,127.0.0.1,::1"),
        ({"NO_PROXY": "*"}, "*"),
        ({"no_proxy": "a.example,*"}, "*"),
    ],
)
def test_loopback_is_added_to_what_is_called_directly_in_both_spellings(named, value):
    assert past_proxies(named) == {"NO_PROXY": value, "no_proxy": value}


def test_children_call_loopback_directly_and_keep_the_proxies_for_the_rest(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "a.example")
    monkeypatch.delenv("no_proxy", raising=False)
    told = inherited()
    assert told["HTTPS_PROXY"] == "http://proxy.example:3128"
    assert told["NO_PROXY"] == told["no_proxy"] == f"a.example,{LOOPBACK}"
