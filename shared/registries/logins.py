"""Names and passwords for registries, as Docker, podman and `az acr login` write them. Source: config.json, `auths`."""

import base64
import binascii
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from shared.domain.errors import foreign
from shared.registries.references import HUB, canonical_host

_logger = logging.getLogger(__name__)

_FORM = 'no JSON of the form {"auths": {host: {"username": …, "password": …}}}'


@dataclass(frozen=True)
class Login:
    """A name and a password for one registry, or an identity token, which its token service takes in their place."""

    username: str
    password: str = field(repr=False)
    identity_token: str = field(default="", repr=False)

    @property
    def basic(self) -> str:
        """Name and password as an Authorization header has them."""
        return f"Basic {base64.b64encode(f'{self.username}:{self.password}'.encode()).decode()}"


def read_logins(text: str) -> Mapping[str, Login]:
    """Logins by host, or by host and the beginning of repositories' names; raises ValueError, saying nothing of a secret.

    Entries without a login, as Docker leaves them beside a credential store, are named in the log and passed over.
    """
    logins, empty = dict[str, Login](), list[str]()
    for name, entry in _entries(text).items():
        login = _login(name, entry)
        if login is None:
            empty.append(foreign(name, 100))
        else:
            logins.setdefault(_key(name), login)
    if empty:
        _logger.warning("SLIPWAY_REGISTRY_AUTH holds no login for %s: it is called without one.", ", ".join(empty))
    return logins


def login_key(logins: Iterable[str], host: str, repository: str) -> str:
    """Which of the logins is for that repository: the one that names most of it; empty for none."""
    name = f"{canonical_host(host)}/{repository}/"
    return max((key for key in logins if name.startswith(f"{key}/")), key=len, default="")


def unused_logins(logins: Iterable[str], references: Iterable[str]) -> list[str]:
    """The logins that nothing is called with. `references` are those of images, and `host/prefix` of what is pushed."""
    keys, used = list(logins), set[str]()
    for reference in references:
        host, path = _named(reference)
        used.add(login_key(keys, host, path))
        used |= {key for key in keys if key.startswith(f"{canonical_host(host)}/{path}".rstrip("/") + "/")}
    return [key for key in keys if key not in used]


def _named(reference: str) -> tuple[str, str]:
    """Host and path; what has no host is Docker Hub's."""
    name = reference.partition("@")[0]
    host, slash, path = name.partition("/")
    known_by = host if slash else host.partition(":")[0]
    if not (set(".:") & set(known_by) or known_by == "localhost"):
        host, path = HUB, name
    folder, parted, last = path.rpartition("/")
    return host, f"{folder}{parted}{last.partition(':')[0]}"


def _entries(text: str) -> Mapping[str, object]:
    try:
        auths = json.loads(text)["auths"] if text.strip() else {}
    except (ValueError, LookupError, TypeError, RecursionError):
        raise ValueError(_FORM) from None
    if not isinstance(auths, dict):
        raise ValueError(_FORM)  # the caller is told what the setting holds
    return auths


def _key(name: str) -> str:
    """Some hosts are named by a URL: Docker Hub is `https://index.docker.io/v1/`. Podman names a path after the host."""
    _, is_url, rest = name.strip().partition("://")
    host, _, path = (rest if is_url else name.strip()).partition("/")
    path = "" if is_url else path.strip("/")
    return f"{canonical_host(host)}/{path}" if path and path not in ("v1", "v2") else canonical_host(host)


def _login(name: str, entry: object) -> Login | None:
    """The login of an entry, None when it holds none."""
    if not isinstance(entry, dict):
        raise ValueError(_malformed(name))  # as above
    said = {key: entry.get(key) or "" for key in ("auth", "username", "password", "identitytoken")}
    if not all(isinstance(value, str) for value in said.values()):
        raise ValueError(_malformed(name))
    username, password = _decoded(name, said["auth"]) if said["auth"].strip() else (said["username"], said["password"])
    if not (password or said["identitytoken"]):
        return None
    return Login(username, password, said["identitytoken"])


def _decoded(name: str, auth: str) -> tuple[str, str]:
    """Name and password of an `auth`. Line breaks come from tools that wrap base64, and from `echo` into it."""
    packed = "".join(auth.split()).rstrip("=")
    try:
        text = base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True).decode()
    except (ValueError, binascii.Error):
        raise ValueError(_malformed(name)) from None
    username, colon, password = text.rstrip("\r\n\0").partition(":")
    if not colon:
        raise ValueError(_malformed(name))
    return username, password


def _malformed(name: str) -> str:
    return f"{_FORM}: see the entry of {foreign(name, 100)}"
