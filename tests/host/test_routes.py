"""Route templates: what they match, and which are refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.host import routes
from local.host.refusal import Refused
from local.host.triggers import HttpTrigger
from local.host.worker import Target


def trigger(route: str, name: str = "f", methods: frozenset[str] = frozenset()) -> HttpTrigger:
    return HttpTrigger(Target(name, name, "req"), route, methods)


def parameters(route: str, path: str) -> dict[str, str] | None:
    (only,) = routes.table([trigger(route)], "api")
    return only.parameters("GET", path)


def test_names_are_compared_in_upper_case():
    ordered = routes.table([trigger("a", name) for name in ("get_b", "getA", "GETZ", "a")], "")
    assert [route.target.name for route in ordered] == ["a", "getA", "GETZ", "get_b"]


def test_a_literal_is_no_pattern():
    assert parameters("swagger.json", "/api/swagger.json") == {}
    assert parameters("swagger.json", "/api/swaggerXjson") is None


@pytest.mark.parametrize(
    ("constraint", "good", "bad"),
    [
        ("guid", "0190A0B0-0000-7000-8000-000000000001", "0190A0B0"),
        ("guid", "0190a0b0000070008000000000000001", "0190a0b0-0000-7000-8000-00000000000g"),
        ("int", "-12", "1.5"),
        ("alpha", "Abc", "abc1"),
    ],
)
def test_a_constraint_decides(constraint, good, bad):
    template = f"x/{{id:{constraint}}}"
    assert parameters(template, f"/api/x/{good}") == {"id": good}
    assert parameters(template, f"/api/x/{bad}") is None


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("/a", "must not start with"),
        ("a//b", "does not know the segment ''"),
        ("a/{b}.{c}", "does not know the segment"),
        ("{*rest}/a", "does not know the segment"),
        ("a/{*rest:int}", "does not know the segment"),
        ("a/{b=1}", "does not know the segment"),
        ("a/{b:datetime}", "knows the constraints alpha, guid and int, not 'datetime'"),
        ("a/{b?}/c", "only the last segment can be optional"),
        ("a/{b}/{b}", "redefinition of group name 'b'"),
    ],
)
def test_a_template_this_host_does_not_know_is_refused(template, reason):
    with pytest.raises(Refused, match=f"f: route .*{reason}"):
        routes.table([trigger(template)], "api")


@pytest.mark.parametrize(
    ("path", "rest"),
    [("/api", {}), ("/api/", {"rest": ""}), ("/api/a", {"rest": "a"}), ("/api/a//b/", {"rest": "a//b/"}), ("/ap/a", None)],
)
def test_the_rest_of_a_path_is_one_parameter(path, rest):
    assert parameters("{*rest}", path) == rest


@given(st.text(st.characters(exclude_characters="/%", exclude_categories=["Cs"]), min_size=1))
def test_any_text_but_slash_and_percent_survives_the_way_through_a_path(text):
    encoded = "".join(f"%{byte:02X}" for byte in text.encode())
    assert parameters("x/{y}", routes.decoded(f"/api/x/{encoded}")) == {"y": text}
