"""Real registries on loopback: Debian's `docker-registry`, open, or behind a token service, and behind nginx."""

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx
import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from local.azurite.server import free_ports

PROGRAM = "docker-registry"
SERVICE = "registry.test"
ISSUER = "slipway-tests"


def judge(name: str, package: str = "") -> str:
    """The path of a tool that judges what we do. Skips where it is not installed; in CI it must be.

    `package` is what Debian calls it, where that is another name.
    """
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if found is None:
        assert not os.environ.get("CI"), f"{name} is not installed"
        pytest.skip(f"{name} is not installed: apt-get install {package or name}")
    return found


@contextmanager
def registry(
    folder: Path, auth: dict[str, Any] | None = None, *, port: int | None = None, most_bytes: int | None = None
) -> Iterator[str]:
    """A registry's host, until the context ends; with `most_bytes` it has no room for larger files."""
    program, port = judge(PROGRAM), port or free_ports(1)[0]
    limited = ["prlimit", f"--fsize={most_bytes}"] if most_bytes else []
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "blobs")}, "delete": {"enabled": True}},
        "http": {"addr": f"127.0.0.1:{port}", "relativeurls": True, "draintimeout": "5s"},
        **({"auth": auth} if auth else {}),
    }
    (folder / "config.yml").write_text(json.dumps(config))  # JSON is YAML
    with (folder / "registry.log").open("wb") as log:
        running = subprocess.Popen([*limited, program, "serve", str(folder / "config.yml")], stdout=log, stderr=log)
        try:
            _wait(f"http://127.0.0.1:{port}/v2/")
            yield f"127.0.0.1:{port}"
        finally:
            running.terminate()
            running.wait(timeout=10)


@contextmanager
def proxy(folder: Path, host: str) -> Iterator[str]:
    """The host of an nginx before that registry; it hides `Docker-Content-Digest` and compresses, as some in use do."""
    program, port = judge("nginx"), free_ports(1)[0]
    folder.mkdir()
    temporary = "".join(
        f"{kind}_temp_path {folder / kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(f"""
        daemon off; pid {folder / "pid"}; error_log {folder / "error.log"}; {"user root;" if os.geteuid() == 0 else ""}
        events {{ }}
        http {{
            access_log off; {temporary}
            server {{
                listen 127.0.0.1:{port}; client_max_body_size 0; gzip on; gzip_types *; gzip_proxied any; gzip_min_length 1;
                location / {{
                    proxy_pass http://{host}; proxy_set_header Host $http_host; proxy_http_version 1.1;
                    proxy_request_buffering off; proxy_hide_header Docker-Content-Digest;
                }}
            }}
        }}
    """)
    running = subprocess.Popen(
        [program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "start.log")]
    )
    try:
        _wait(f"http://127.0.0.1:{port}/v2/")
        yield f"127.0.0.1:{port}"
    finally:
        running.terminate()
        running.wait(timeout=10)


def _wait(url: str) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            httpx.get(url)
        except httpx.TransportError:
            assert time.monotonic() < deadline, f"{url} does not answer"
            time.sleep(0.05)
        else:
            return


@dataclass
class TokenService:
    """Gives tokens for what it is told to permit, as a distribution's token service does, and as Azure's registry does."""

    permitted: tuple[str, ...] = ("pull", "push", "delete")
    login: tuple[str, str] = ("robot", "pass word")
    identity: str = "the-app's-own-token"
    asked: list[str] = field(default_factory=list)
    away: int = 0

    def __post_init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ISSUER)])
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(self._key.public_key())
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self._certificate = builder.sign(self._key, hashes.SHA256())
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                service.distribution(self)

            def do_POST(self) -> None:
                service.azure(self)

            def log_message(self, *_: object) -> None:
                """Quietly."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def realm(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/oauth2/token"

    def auth(self, folder: Path) -> dict[str, Any]:
        """What a registry's configuration says of it."""
        bundle = folder / "issuer.pem"
        bundle.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))
        return {"token": {"realm": self.realm, "service": SERVICE, "issuer": ISSUER, "rootcertbundle": str(bundle)}}

    def distribution(self, request: BaseHTTPRequestHandler) -> None:
        given = request.headers.get("Authorization", "")
        name = base64.b64encode(":".join(self.login).encode()).decode()
        if self._is_away(request):
            return
        if given != f"Basic {name}":
            self._answer(request, 401, {})
            return
        self._give(request, parse_qs(urlsplit(request.path).query).get("scope", []))

    def azure(self, request: BaseHTTPRequestHandler) -> None:
        form = parse_qs(request.rfile.read(int(request.headers["Content-Length"])).decode())
        if self._is_away(request):
            return
        if request.path == "/oauth2/exchange":
            good = form["access_token"] == [self.identity] and form["grant_type"] == ["access_token"]
            self._answer(request, 200 if good else 401, {"refresh_token": "refreshing"})
        elif form["refresh_token"] == ["refreshing"] and form["grant_type"] == ["refresh_token"]:
            self._give(request, form["scope"][0].split(" "))
        else:
            self._answer(request, 401, {})

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _is_away(self, request: BaseHTTPRequestHandler) -> bool:
        if self.away:
            self.away -= 1
            self._answer(request, 503, {})
            return True
        return False

    def _give(self, request: BaseHTTPRequestHandler, scopes: list[str]) -> None:
        self.asked += scopes
        access = []
        for scope in scopes:
            kind, name, actions = scope.split(":")
            access.append(
                {"type": kind, "name": name, "actions": [act for act in actions.split(",") if act in self.permitted]}
            )
        now = datetime.now(UTC)
        claims = {"iss": ISSUER, "sub": "robot", "aud": SERVICE, "jti": uuid4().hex, "access": access}
        times = {"iat": now, "nbf": now - timedelta(seconds=5), "exp": now + timedelta(minutes=5)}
        chain = [base64.b64encode(self._certificate.public_bytes(serialization.Encoding.DER)).decode()]
        token = jwt.encode({**claims, **times}, self._key, "RS256", headers={"x5c": chain})
        self._answer(request, 200, {"token": token, "access_token": token, "expires_in": 300})

    def _answer(self, request: BaseHTTPRequestHandler, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        request.send_response(status)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)
