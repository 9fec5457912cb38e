"""A token issuer for one machine: a key of its own, tokens signed with it, and the key set over loopback HTTP.

The app checks its tokens by the same code that checks Microsoft Entra ID's; only the settings differ.
"""

import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

AUDIENCE = "api://slipway"
_KEY_ID = "local"


class Signer:
    """Signs tokens in the name of an issuer, with the key in that file, which is made when there is none."""

    def __init__(self, key_file: Path, url: str) -> None:
        self.key = _load_or_make(key_file)
        self.url = url

    def token(self, *roles: str, seconds: int, subject: str = "local-user") -> str:
        """A token with those roles, good for that long."""
        now = int(time.time())
        claims = {"iss": self.url, "aud": AUDIENCE, "sub": subject, "roles": list(roles), "iat": now, "nbf": now}
        claims |= {"exp": now + seconds, "jti": str(uuid4())}
        return jwt.encode(claims, self.key, algorithm="ES256", headers={"kid": _KEY_ID})

    def public_key(self) -> dict[str, Any]:
        """The public half, as a JSON Web Key."""
        public: dict[str, Any] = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self.key.public_key()))
        return {**public, "kid": _KEY_ID, "use": "sig", "alg": "ES256"}


class Issuer:
    """A signer whose name is an address of loopback, where its key set is served. Port 0 is a free one."""

    def __init__(self, key_file: Path, port: int) -> None:
        self._server = _Server(("127.0.0.1", port), _Handler)
        self.signer = Signer(key_file, f"http://127.0.0.1:{self._server.server_port}")
        self.keys_url = f"{self.signer.url}/keys"
        metadata = {"issuer": self.signer.url, "jwks_uri": self.keys_url, "id_token_signing_alg_values_supported": ["ES256"]}
        self.documents = self._server.documents
        self.documents["/keys"] = {"keys": [self.signer.public_key()]}
        self.documents["/.well-known/openid-configuration"] = metadata
        self._thread = threading.Thread(target=self._server.serve_forever, name="issuer", daemon=True)

    def start(self) -> None:
        """Begin to serve the key set."""
        self._thread.start()

    def stop(self) -> None:
        """Stop serving, and give the port back."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        self.documents: dict[str, dict[str, Any]] = {}


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        document = self.server.documents.get(self.path)
        body = json.dumps(document).encode()
        self.send_response(200 if document else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the name that the standard library gives it
        """Key sets are asked for all the time; nobody wants to read it."""


def _load_or_make(key_file: Path) -> ec.EllipticCurvePrivateKey:
    if key_file.exists():
        key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError(f"{key_file} holds another kind of key; delete it, and a new one is made.")
        return key
    made = ec.generate_private_key(ec.SECP256R1())
    pem = made.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_private(key_file, pem)
    return made


def write_private(file: Path, content: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as writing:
        writing.write(content)
    partial.replace(file)
