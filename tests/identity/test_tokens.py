import asyncio
import base64
import hashlib
import hmac
import json
import time
from datetime import timedelta

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from local.issuer import AUDIENCE, Issuer
from shared.domain.errors import Forbidden, ServiceError, Unauthenticated, Unavailable
from shared.identity.keys import SigningKeys
from shared.identity.roles import Role, require, roles_of
from shared.identity.tokens import TokenVerifier
from shared.settings import TokenSettings, read_settings
from tests.settings import SETTINGS
from tests.twins import ManualClock

TENANT = "8f2b7a3e-5d41-4c1e-9a60-0d2f6b7c8e91"


@pytest.fixture(scope="module")
def issuer(tmp_path_factory):
    issuer = Issuer(tmp_path_factory.mktemp("issuer") / "key.pem", 0)
    issuer.start()
    yield issuer
    issuer.stop()


@pytest.fixture
def verifier(issuer) -> TokenVerifier:
    return TokenVerifier(TokenSettings((issuer.signer.url,), (AUDIENCE,), issuer.keys_url))


def claims(issuer: Issuer, **changes: object) -> dict[str, object]:
    now = int(time.time())
    made = {
        "iss": issuer.signer.url,
        "aud": AUDIENCE,
        "sub": "me",
        "iat": now,
        "exp": now + 60,
        "roles": [Role.READER.value],
    }
    return {name: value for name, value in {**made, **changes}.items() if value is not None}


def signed(issuer: Issuer, key=None, algorithm="ES256", kid="local", **changes: object) -> str:
    headers = {"kid": kid} if kid else {}
    return f"Bearer {jwt.encode(claims(issuer, **changes), key or issuer.signer.key, algorithm=algorithm, headers=headers)}"


async def test_a_good_token_tells_who_calls_and_what_they_may_do(issuer, verifier):
    caller = await verifier.caller(f"Bearer {issuer.signer.token('Slipway.Contributor', seconds=60)}")
    assert caller.subject == "local-user"
    assert caller.roles == {Role.READER, Role.CONTRIBUTOR}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"exp": 1}, "expired"),
        ({"nbf": int(time.time()) + 3600}, "not valid yet"),
        ({"aud": "api://other"}, "another audience; accepts api://slipway"),
        ({"iss": "https://other"}, "another issuer"),
        ({"exp": None}, "no claim 'exp'"),
        ({"sub": None}, "no claim 'sub'"),
        ({"kid": None}, "kid"),
        ({"kid": "unknown"}, "a key that its issuer does not publish"),
        ({"key": ec.generate_private_key(ec.SECP256R1())}, "signature is wrong"),
        ({"key": rsa.generate_private_key(65537, 2048), "algorithm": "RS256"}, "The token"),
        ({"key": "a secret that is long enough for it", "algorithm": "HS256"}, "another algorithm; accepts RS256, ES256"),
    ],
)
async def test_a_token_that_fails_one_check_is_refused_saying_which(issuer, verifier, changes, reason):
    with pytest.raises(Unauthenticated, match=reason):
        await verifier.caller(signed(issuer, **changes))


async def test_a_token_without_a_signature_is_refused(issuer, verifier):
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    token = f"{part({'alg': 'none', 'kid': 'local'})}.{part(claims(issuer))}."
    with pytest.raises(Unauthenticated):
        await verifier.caller(f"Bearer {token}")


async def test_the_public_key_is_no_shared_secret(issuer, verifier):
    def part(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).decode().rstrip("=")

    head = part(json.dumps({"alg": "HS256", "kid": "local"}).encode())
    body = f"{head}.{part(json.dumps(claims(issuer)).encode())}"
    forged = part(hmac.new(json.dumps(issuer.signer.public_key()).encode(), body.encode(), hashlib.sha256).digest())
    with pytest.raises(Unauthenticated):
        await verifier.caller(f"Bearer {body}.{forged}")


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic dXNlcg==", "Bearer a.b.c", "Bearer ….…"])
async def test_what_is_no_bearer_token_is_refused(verifier, header):
    with pytest.raises(Unauthenticated):
        await verifier.caller(header)


@given(st.text(max_size=80))
async def test_any_header_at_all_is_refused_without_being_repeated(issuer, text):
    verifier = TokenVerifier(TokenSettings((issuer.signer.url,), (AUDIENCE,), issuer.keys_url))
    with pytest.raises(ServiceError) as refused:
        await verifier.caller(f"Bearer SECRET{text}")
    assert refused.value.status_code == 401
    assert "SECRET" not in refused.value.message


async def test_a_new_key_of_the_issuer_is_found_when_a_token_names_it(issuer):
    clock = ManualClock()
    keys = SigningKeys(issuer.keys_url, clock.monotonic)
    verifier = TokenVerifier(TokenSettings((issuer.signer.url,), (AUDIENCE,), issuer.keys_url), keys)
    await verifier.caller(signed(issuer))
    document = issuer.documents["/keys"]
    fresh = ec.generate_private_key(ec.SECP256R1())
    public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(fresh.public_key()))
    issuer.documents["/keys"] = {"keys": [*document["keys"], {**public, "kid": "fresh"}]}
    try:
        with pytest.raises(Unauthenticated):  # the set was fetched a moment ago, and is not asked for again yet
            await verifier.caller(signed(issuer, key=fresh, kid="fresh"))
        clock.advance(timedelta(seconds=31))
        assert (await verifier.caller(signed(issuer, key=fresh, kid="fresh"))).subject == "me"
    finally:
        issuer.documents["/keys"] = document


async def test_keys_that_cannot_be_fetched_are_unavailable_not_a_wrong_token(issuer):
    verifier = TokenVerifier(TokenSettings((issuer.signer.url,), (AUDIENCE,), "http://127.0.0.1:1/keys"))
    with pytest.raises(Unavailable):
        await verifier.caller(signed(issuer))


async def test_many_callers_at_once_share_one_fetch_of_the_keys(issuer, verifier):
    callers = await asyncio.gather(*(verifier.caller(signed(issuer)) for _ in range(20)))
    assert len(callers) == 20


@pytest.mark.parametrize("roles", [None, [], "x", ["Owner"], [7, None], {"Slipway.Reader": 1}])
async def test_a_token_without_a_known_role_may_nothing(issuer, verifier, roles):
    caller = await verifier.caller(signed(issuer, roles=roles))
    with pytest.raises(Forbidden, match=r"Slipway\.Reader"):
        require(caller, Role.READER)


def test_a_contributor_may_read_and_a_reader_may_not_change():
    assert roles_of(["Slipway.Contributor"]) == {Role.READER, Role.CONTRIBUTOR}
    assert roles_of(["Slipway.Reader"]) == {Role.READER}


def test_the_tenant_setting_names_the_issuers_and_the_keys_of_entra():
    environment = {name: value for name, value in SETTINGS.items() if name != "SLIPWAY_TOKEN_ISSUERS"}
    tokens = read_settings({**environment, "SLIPWAY_ENTRA_TENANT": TENANT}).tokens
    assert tokens.issuers == (f"https://sts.windows.net/{TENANT}/", f"https://login.microsoftonline.com/{TENANT}/v2.0")
    assert tokens.jwks_url == f"https://login.microsoftonline.com/{TENANT}/discovery/v2.0/keys"
