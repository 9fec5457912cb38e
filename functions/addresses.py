"""Where the app is reached: the base of every link that it answers with. Source: RFC 3986, 3.2; RFC 9112, 3.2."""

import ipaddress
import re
from urllib.parse import urlsplit

import azure.functions as func

from shared.bootstrap import slipway
from shared.domain.errors import Detail, InvalidRequest, foreign

_LONGEST_HOST = 255
_HOST = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|[A-Za-z0-9._~-]+)(?::(?P<port>[0-9]{0,5}))?")
_ACCOUNT = re.compile(r"(?i)/[^/]+/subscriptions/[^/]+/resourceGroups/[^/]+/accounts/[^/]+")


def check_host(request: func.HttpRequest) -> None:
    """Raises InvalidRequest for a Host header that is none. A request without one is known by where it came in."""
    given = request.headers.get("Host")
    if given is not None and not _is_host(given):
        message = f"Host: got '{foreign(given, 80)}'; accepts a host's name or address, and a port: example.org:443."
        raise InvalidRequest(message, code="InvalidHost", details=[Detail("InvalidValue", message)])


def account_url(request: func.HttpRequest) -> str:
    """The account's base URL: at the public address of the settings, else as this caller reaches it."""
    url = urlsplit(request.url)
    base = _ACCOUNT.match(url.path)
    return f"{slipway().public_url or f'{url.scheme}://{url.netloc}'}{base[0] if base else url.path}"


def app_url(account: str) -> str:
    """The base URL of what is under no account, which is beside all of them."""
    return re.split(r"(?i)/subscriptions/(?=[^/]+/resourceGroups/[^/]+/accounts/[^/]+\Z)", account, maxsplit=1)[0]


def _is_host(text: str) -> bool:
    found = _HOST.fullmatch(text) if len(text) <= _LONGEST_HOST else None
    if found is None or int(found["port"] or 0) > 65_535:
        return False
    return found["ipv6"] is None or _is_ipv6(found["ipv6"])


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True
