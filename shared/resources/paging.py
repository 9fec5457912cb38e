"""Continuation tokens: opaque, authenticated, and good for one query of one account only."""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from uuid import UUID

from shared.domain.accounts import Account
from shared.domain.errors import Detail, InvalidRequest

_ID_BYTES = 16
TOKEN_DESCRIBED: Mapping[str, str] = {"type": "string", "pattern": "^[A-Za-z0-9_-]{43}$"}
"""What the API's description says of a token: how one looks. Whether it is one, its signature says."""


class SkipTokens:
    """Makes and reads `$skipToken`: the id a page ended with, and a signature over it and the query it belongs to."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def make(self, account: Account, resource: str, filters: Mapping[str, str], after: str) -> str:
        """The token that goes on behind the id `after`."""
        identifier = UUID(after).bytes
        return _text(identifier + self._signature(account, resource, filters, identifier))

    def read(self, account: Account, resource: str, filters: Mapping[str, str], token: str) -> str:
        """The id to go on behind; raises InvalidRequest for a token that was not made for this very query."""
        raw = _bytes(token)
        identifier, signature = raw[:_ID_BYTES], raw[_ID_BYTES:]
        if not hmac.compare_digest(signature, self._signature(account, resource, filters, identifier)):
            message = "$skipToken: got one that was not made for this list; accepts the one in a nextLink, with its filters."
            raise InvalidRequest(message, code="InvalidSkipToken", details=[Detail("InvalidValue", message)])
        return str(UUID(bytes=identifier))

    def _signature(self, account: Account, resource: str, filters: Mapping[str, str], identifier: bytes) -> bytes:
        query = json.dumps(["skip-token", account.scope, resource, sorted(filters.items()), identifier.hex()])
        return hmac.new(self._secret, query.encode(), hashlib.sha256).digest()[:_ID_BYTES]


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    """What `_text` made that text of; empty for any other text, of which there are several for the same bytes."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""
    return raw if _text(raw) == text else b""
