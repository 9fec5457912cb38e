"""The forms of single settings: what they accept, in words and as a parser."""

import base64
import errno
import ipaddress
import re
import tempfile
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from shared.settings.environment import Form

_MOST = 10_000_000
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?", re.IGNORECASE)
_HOST_PATTERN = re.compile(r"(?=.{1,253}\Z)[a-z0-9_*?-]+(?:\.[a-z0-9_*?-]+)*", re.IGNORECASE)
_CONTAINER = re.compile(r"(?=.{3,63}\Z)[a-z0-9]+(?:-[a-z0-9]+)*|\$root|\$web")
_SEVERAL = re.compile(r"[;|]https?://", re.IGNORECASE)
_CHANNEL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_.-]+)*")
_UNUSABLE = frozenset(
    (
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ENOTDIR,
        errno.ENOENT,
        errno.EEXIST,
        errno.EISDIR,
        errno.ENAMETOOLONG,
        errno.ELOOP,
        errno.EINVAL,
    )
)
"""What another path mends. A disk that is full, or away, is no fault of the setting."""
_NOT_EXPANDED = re.compile(r"~|\$|[A-Za-z0-9+.-]+:|.*(?:\\|://|/\$)")
"""How texts begin that only a shell, or another program, makes a path of."""


def whole(most: int = _MOST, *, least: int = 1) -> Form[int]:
    """A whole number from 1 on, or from `least`."""

    def parse(text: str) -> int:
        if not _is_digits(text, len(str(most))) or not least <= int(text) <= most:
            raise ValueError
        return int(text)

    return Form(f"a whole number from {least} to {most}", parse)


def _is_digits(text: str, most: int) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= most


def word[T: StrEnum](words: type[T]) -> Form[T]:
    """One of a few words."""
    *others, last = [str(one) for one in words]
    return Form(f"{', '.join(others)} or {last}", words)


def listed[T](form: Form[T]) -> Form[tuple[T, ...]]:
    """Several of that form."""

    def parse(text: str) -> tuple[T, ...]:
        found = tuple(form.parse(part.strip()) for part in text.split(",") if part.strip())
        if not found:
            raise ValueError("there is nothing between the commas")
        return found

    return Form(f"{form.accepts}, several with commas between them", parse, form.free)


def _text(text: str) -> str:
    if any(character.isspace() or not character.isprintable() for character in text):
        raise ValueError
    return text


def _url(text: str) -> str:
    address = urlsplit(_text(text))
    if address.scheme not in ("http", "https") or not address.hostname or not _is_host(address.hostname):
        raise ValueError
    if address.port == 0:
        raise ValueError
    return text


def _open_url(text: str) -> str:
    """One that may be shown: without a name and password in it."""
    if "@" in urlsplit(_url(text)).netloc:
        raise ValueError
    return text


def _https_origin(text: str) -> str:
    address = urlsplit(_open_url(text))
    if address.scheme != "https" or address.path.strip("/") or address.query or address.fragment:
        raise ValueError
    return text


def _public_url(text: str) -> str:
    if "?" in _open_url(text) or "#" in text or not text.isascii():
        raise ValueError
    return text.rstrip("/")


def _is_host(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return len(text) <= 253 and bool(_HOST.fullmatch(text))
    return True


def _host_pattern(text: str) -> str:
    if not _HOST_PATTERN.fullmatch(text) and not _is_host(text):
        raise ValueError
    return text


def _host_and_port(text: str) -> str:
    """As fetches name it: an IPv6 address without its brackets."""
    host, _, port = text.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not _is_host(host) or not _is_digits(port, 5) or not 1 <= int(port) <= 65_535:
        raise ValueError
    return f"{host}:{int(port)}"


def _container(text: str) -> str:
    if not _CONTAINER.fullmatch(text):
        raise ValueError
    return text


def _channel(text: str) -> str:
    return text if _CHANNEL.fullmatch(text) and "://" not in text else _index(text)


def _index(text: str) -> str:
    if _SEVERAL.search(text):
        raise ValueError
    if urlsplit(text).scheme == "file" and Path(urlsplit(text).path).is_absolute():
        return _text(text)
    return _url(text)


def _secret_bytes(text: str) -> bytes:
    secret = base64.b64decode(text, validate=True)
    if len(secret) < 32:
        raise ValueError
    return secret


def _folder(text: str) -> Path:
    """The path of a folder that is there, and can be written to, or that can be made."""
    if _NOT_EXPANDED.match(text):
        raise ValueError
    path = Path(text).absolute()
    try:
        folder = next(one for one in (path, *path.parents) if _there(one))
        with tempfile.TemporaryFile(dir=folder):
            return path
    except OSError as error:
        if error.errno in _UNUSABLE:
            raise ValueError from error
        return path


def _there(path: Path) -> bool:
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    return True


TEXT = Form("a text without spaces", _text)
SECRET_TEXT = Form("a text without spaces", _text, free=True)
URL = Form("an http or https URL, without a password in it", _open_url)
PUBLIC_URL = Form("an http or https URL without user, query and fragment", _public_url)
HTTPS_ORIGIN = Form("the https URL of a key vault", _https_origin)
HOST_PATTERN = Form("hosts, without scheme, port or path, such as *.blob.core.windows.net", _host_pattern)
HOST_AND_PORT = Form("host:port", _host_and_port)
CONTAINER = Form("names of blob containers", _container)
CHANNEL = Form("names or URLs of conda channels", _channel)
INDEX = Form("the URLs of package indexes", _index)
SECRET = Form("at least 32 random bytes in base64", _secret_bytes)
FOLDER = Form("the path of a folder that the app can write to", _folder)
