"""Label selectors and field selectors, as lists take them."""

import re
from typing import Any

from tests.clusters.stand_in.statuses import bad_request

_TERM = re.compile(
    r"\s*(?:(?P<absent>!)?(?P<key>[\w./-]+)\s*(?:(?P<operator>==|=|!=)\s*(?P<value>[\w.-]*)"
    r"|\s(?P<within>in|notin)\s*\((?P<values>[^)]*)\))?)\s*(?:,|$)"
)


def selects(selector: str, labels: dict[str, str]) -> bool:
    """Whether objects with those labels are meant. Raises Refused for what is no selector."""
    at = 0
    while at < len(selector):
        term = _TERM.match(selector, at)
        if term is None:
            raise bad_request(f"unable to parse requirement: found '{selector[at:]}'")
        if not _holds(term, labels):
            return False
        at = term.end()
    return True


def _holds(term: re.Match[str], labels: dict[str, str]) -> bool:
    key, value = term["key"], labels.get(term["key"])
    if term["operator"]:
        return (value == term["value"]) != (term["operator"] == "!=")
    if term["within"]:
        among = value in [one.strip() for one in term["values"].split(",")]
        return among if term["within"] == "in" else not among
    return (key not in labels) == bool(term["absent"])


_FIELDS = {"metadata.name", "metadata.namespace"}
_FIELDS_OF = {
    "Pod": {"spec.nodeName", "spec.restartPolicy", "status.phase"},
    "Event": {"involvedObject.kind", "involvedObject.name", "involvedObject.uid", "reason", "type"},
    "Secret": {"type"},
}


def field_selects(selector: str, document: dict[str, Any]) -> bool:
    """Whether the object is meant. Raises Refused for fields that such objects are not selected by."""
    for term in filter(None, selector.split(",")):
        path, _, value = term.replace("==", "=").partition("=")
        negated = path.endswith("!")
        if path.rstrip("!") not in _FIELDS | _FIELDS_OF.get(document["kind"], set()):
            raise bad_request(f"field label not supported: {path.rstrip('!')}")
        found: Any = document
        for step in path.rstrip("!").split("."):
            found = (found or {}).get(step)
        if ((found or "") == value) == negated:
            return False
    return True
