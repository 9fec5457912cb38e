"""The query as it was sent: the host joins values that come twice by a comma, which a value may hold as well."""

from collections import Counter
from urllib.parse import parse_qsl, urlsplit

import azure.functions as func

from shared.domain.errors import Detail, InvalidRequest, foreign

_HOSTS = frozenset({"code", "clientid"})
_MAY_COME_TWICE = _HOSTS | {"api-version"}
NOT_FILTERS = frozenset({"api-version", "count", "$skipToken", "code", "clientId"})
"""Query parameters that mean something else than a filter; the Functions host itself takes the last two."""


def refuse_doubled(request: func.HttpRequest) -> None:
    """Raises InvalidRequest naming what comes more than once, but for `api-version` (client-facts.md, 15)."""
    sent = parse_qsl(urlsplit(request.url).query, keep_blank_values=True)
    counts = Counter(name.lower() for name, _ in sent)
    doubled = [name for name, count in counts.items() if count > 1 and name not in _MAY_COME_TWICE]
    if not doubled:
        return
    spelt = {name.lower(): name for name, _ in reversed(sent)}
    details = [
        Detail("DuplicateParameter", f"{foreign(spelt[name], 80)}: sent {counts[name]} times; accepts one value.")
        for name in doubled[:20]
    ]
    raise InvalidRequest(" ".join(detail.message for detail in details), details=details)
