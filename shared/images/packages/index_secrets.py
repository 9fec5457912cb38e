"""What an operator's package indexes are called in errors: by scheme and host. The rest of their URLs may hold a token.

A token may be the user, the password, any part of the path or of the query, as services that host indexes have it.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Concatenate, Protocol
from urllib.parse import quote, unquote, urlsplit

from shared.domain.errors import Detail, ServiceError

_URL = re.compile(r"https?://[^\s'\"<>`]+", re.IGNORECASE)
_QUOTED = re.compile("%[0-9A-F]{2}")
_BETWEEN = re.compile(r"[/?#&=:@;]")
_SHORTEST = 8
"""What is shorter is taken for a word of a path."""
_WORDS = frozenset({"artifactory", "packages", "repository", "repositories"})
_VARIABLES = ("uv_default_index", "uv_index_url", "uv_index", "uv_extra_index_url")


class _HasIndexes(Protocol):
    @property
    def indexes(self) -> Sequence[str]: ...


def discreet[S: _HasIndexes, **P, R](work: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """The errors of that method say nothing secret of the indexes that it asks."""

    @wraps(work)
    def worked(self: S, /, *given: P.args, **named: P.kwargs) -> R:
        with _discreetly(_known(self.indexes)):
            return work(self, *given, **named)

    return worked


def without_index_secrets(text: str, indexes: Sequence[str]) -> str:
    """The text with `https://host/…` for all URLs of those indexes' hosts, and without what may be a token of theirs."""
    hosts = {_place(index)[1] for index in indexes}
    shown = _URL.sub(lambda url: _shown(url[0], hosts), text)
    for secret in sorted(_tokens(indexes), key=len, reverse=True):
        shown = shown.replace(secret, "…")
    return shown


@contextmanager
def _discreetly(indexes: Sequence[str]) -> Iterator[None]:
    try:
        yield
    except ServiceError as error:
        error.message = without_index_secrets(error.message, indexes)
        error.details = tuple(Detail(each.code, without_index_secrets(each.message, indexes)) for each in error.details)
        error.args = (error.message,)
        raise


def _known(indexes: Sequence[str]) -> list[str]:
    """Those of the settings, and those that the installer is told of by its own variables; names (`name=url`) go."""
    named = [value for name, value in os.environ.items() if name.lower() in _VARIABLES]
    return [re.sub(r"^[\w-]+=", "", index) for index in (*indexes, *" ".join(named).split())]


def _shown(url: str, hosts: set[str]) -> str:
    scheme, host = _place(url)
    return f"{scheme}://{host}/…" if not host or host in hosts else url


def _place(url: str) -> tuple[str, str]:
    """Scheme and host, with its port; empty where a URL is none."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "", ""
    return parts.scheme.lower(), parts.netloc.rpartition("@")[2].lower()


def _tokens(indexes: Sequence[str]) -> set[str]:
    """What of their URLs may be one, as it is written there and in other writings of it."""
    written = {part for index in indexes for part in _BETWEEN.split(_beside_the_host(index))}
    plain = {unquote(part) for part in written}
    quoted = {quote(part, safe="") for part in plain}
    forms = written | plain | quoted | {_QUOTED.sub(lambda one: one[0].lower(), part) for part in quoted}
    return {form for form in forms if len(form) >= _SHORTEST and form.lower() not in _WORDS}


def _beside_the_host(url: str) -> str:
    authority, _, rest = url.partition("://")[2].partition("/")
    return f"{authority.rpartition('@')[0]}/{rest}"
