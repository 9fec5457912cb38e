"""Bearer tokens: JWTs (RFC 7519, RFC 6750), checked for signature, issuer, audience and times. Nothing turns it off."""

from collections.abc import Mapping
from typing import Any

import jwt

from shared.domain.errors import Unauthenticated
from shared.identity.keys import SigningKeys
from shared.identity.roles import Caller, roles_of
from shared.settings import TokenSettings

ALGORITHMS = ("RS256", "ES256")
_LEEWAY_SECONDS = 60
_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (jwt.ExpiredSignatureError, "The token has expired."),
    (jwt.ImmatureSignatureError, "The token is not valid yet."),
    (jwt.InvalidAudienceError, "The token is for another audience; accepts {audiences}."),
    (jwt.InvalidIssuerError, "The token is from another issuer; accepts {issuers}."),
    (jwt.MissingRequiredClaimError, "The token has no claim '{claim}'."),
    (jwt.InvalidSignatureError, "The token's signature is wrong."),
)


class TokenVerifier:
    """Tells who calls, by the Authorization header."""

    def __init__(self, settings: TokenSettings, keys: SigningKeys | None = None) -> None:
        self._settings = settings
        self._keys = keys or SigningKeys(settings.jwks_url)

    async def caller(self, authorization: str | None) -> Caller:
        """The caller. Raises Unauthenticated, saying which check failed and never the token, or Unavailable."""
        token = _bearer(authorization)
        key = await self._keys.key(_key_id(token))
        claims = self._checked(token, key)
        roles = claims.get("roles", [])
        return Caller(str(claims["sub"]), roles_of(roles if isinstance(roles, list) else [roles]))

    def _checked(self, token: str, key: Any) -> Mapping[str, Any]:
        try:
            return jwt.decode(
                token,
                key,
                algorithms=ALGORITHMS,
                audience=self._settings.audiences,
                issuer=self._settings.issuers,
                leeway=_LEEWAY_SECONDS,
                options={"require": ["exp", "iat", "iss", "aud", "sub"]},
            )
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise self._refusal(error) from None

    def _refusal(self, error: Exception) -> Unauthenticated:
        reason = next((text for kind, text in _REASONS if isinstance(error, kind)), "The token cannot be read.")
        accepts = {"audiences": ", ".join(self._settings.audiences), "issuers": ", ".join(self._settings.issuers)}
        return Unauthenticated(reason.format(claim=getattr(error, "claim", ""), **accepts))


def _bearer(authorization: str | None) -> str:
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("There is no bearer token; send Authorization: Bearer <token>.")
    return token.strip()


def _key_id(token: str) -> str:
    try:
        header = jwt.get_unverified_header(token)
    except jwt.PyJWTError:
        raise Unauthenticated("The token is no JWT.") from None
    if header.get("alg") not in ALGORITHMS:
        raise Unauthenticated(f"The token is signed with another algorithm; accepts {', '.join(ALGORITHMS)}.")
    kid = header.get("kid")
    if not isinstance(kid, str):
        raise Unauthenticated("The token does not name the key it is signed with (kid).")
    return kid
