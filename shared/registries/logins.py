"""Names and passwords for registries. Source: Docker's config.json, `auths`."""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.registries.references import HUB


@dataclass(frozen=True)
class Login:
    """A name and a password for one registry."""

    username: str
    password: str = field(repr=False)

    @property
    def basic(self) -> str:
        """Them as an Authorization header has them."""
        return f"Basic {base64.b64encode(f'{self.username}:{self.password}'.encode()).decode()}"


def read_logins(text: str) -> Mapping[str, Login]:
    """Logins by host, from the JSON that `docker login` writes; raises ValueError, saying nothing of what it read."""
    try:
        auths = json.loads(text)["auths"] if text.strip() else {}
        return {_host(name): _login(entry) for name, entry in auths.items()}
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
        raise ValueError('no JSON of the form {"auths": {host: {"username": …, "password": …}}}') from None


def _host(name: str) -> str:
    """Some hosts are named by a URL: Docker Hub is `https://index.docker.io/v1/`."""
    _, is_url, rest = name.partition("://")
    host = rest.partition("/")[0] if is_url else name
    return HUB if host == f"index.{HUB}" else host


def _login(entry: Mapping[str, str]) -> Login:
    if "auth" in entry:
        username, _, password = base64.b64decode(entry["auth"], validate=True).decode().partition(":")
        return Login(username, password)
    return Login(entry["username"], entry["password"])
