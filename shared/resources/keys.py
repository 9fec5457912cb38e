"""The keys that callers score with: derived from one secret, so that no table holds them."""

import base64
import hashlib
import hmac

from shared.domain.accounts import Account
from shared.domain.services import AuthKeys, KeyGenerations


class KeyRing:
    """Derives a service's keys from the deployment's secret, the service's id and how often each was made anew."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def keys(self, account: Account, generations: KeyGenerations) -> AuthKeys:
        """Both keys, 43 characters each: HMAC-SHA256 in base64url."""

        def key(name: str, generation: int) -> str:
            purpose = f"service-key\0{account.scope}\0{generations.id}\0{name}\0{generation}"
            digest = hmac.new(self._secret, purpose.encode(), hashlib.sha256).digest()
            return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

        return AuthKeys(
            primary_key=key("primary", generations.primary), secondary_key=key("secondary", generations.secondary)
        )
