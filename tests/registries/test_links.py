"""Where a list goes on, however a registry writes it; what cannot be read is never taken for the end."""

import time

import pytest

from shared.registries.links import next_link

NEXT = "/v2/a/tags/list?last=9&n=5"


@pytest.mark.parametrize(
    "headers",
    [
        [f'<{NEXT}>; rel="next"'],
        [f"<{NEXT}>;rel=next"],
        [f"<{NEXT}> ; REL = NEXT"],
        [f'<{NEXT}>; rel="last next"'],
        [f'<{NEXT}>; title="a, <b>; rel=prev"; rel="next"'],
        [f'<{NEXT}>; rel="next"; type="application/json"'],
        [f'</v2/a/tags/list>; rel="first", <{NEXT}>; rel="next", </v2/a/tags/list?last=99>; rel=last'],
        ['</v2/a/tags/list>; rel="prev"', f'<{NEXT}>; rel="next"'],
        [f'<{NEXT}>; rel="next"', f'<{NEXT}>; rel="next"'],
        [f', <{NEXT}>; rel="next" ,'],
        [f"<{NEXT}>; crossorigin; rel=next"],
    ],
)
def test_the_next_page_is_found(headers):
    assert next_link(headers) == NEXT


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [""],
        [" , "],
        ['</v2/next/tags/list?last=1>; rel="prev"'],
        ['</v2/a>; title="next"; rel="first"'],
        ['</v2/a>; rel="next-archive"'],
        ["</v2/a>"],
        ['</v2/a>; rel="prev"; rel="next"'],
    ],
)
def test_other_links_lead_to_no_next_page(headers):
    assert next_link(headers) == ""


@pytest.mark.parametrize(
    "headers",
    [
        ["next"],
        ['rel="next"'],
        ['<>; rel="next"'],
        [f'<{NEXT}; rel="next"'],
        [f'<{NEXT}>; rel="next'],
        [f'<{NEXT}>; rel="next", </v2/b>; rel="next"'],
        [f'<{NEXT}>; rel="prev", what'],
        [f'<{NEXT}{"9" * 9000}>; rel="next"'],
    ],
)
def test_what_cannot_be_read_may_be_a_next_page(headers):
    assert next_link(headers) is None


@pytest.mark.parametrize(
    "text", ["<" * 8000, "<a>" + "; a" * 2600, '<a>; a="' + "\\\\" * 3900, "<a>" + " ;" * 4000, "<a>," * 2000]
)
def test_a_header_of_any_form_is_read_at_once(text):
    began = time.perf_counter()
    next_link([text])
    assert time.perf_counter() - began < 0.5
