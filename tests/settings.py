"""Settings that are complete and well-formed, for tests to change one of."""

import base64

SETTINGS = {
    "AzureWebJobsStorage": "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=eA==",
    "SLIPWAY_ACCOUNTS": "sub/group/local",
    "SLIPWAY_SECRET": base64.b64encode(b"s" * 32).decode(),
    "SLIPWAY_TOKEN_AUDIENCES": "api://slipway",
    "SLIPWAY_TOKEN_ISSUERS": "https://issuer",
    "SLIPWAY_TOKEN_JWKS_URL": "https://issuer/keys",
    "SLIPWAY_IMAGES": "images",
}
