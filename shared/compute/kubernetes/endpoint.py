"""Where an API server is and how one signs in, and a client of the `kubernetes` package for it."""

import os
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

from shared.domain.errors import ServiceError

if TYPE_CHECKING:
    from kubernetes.aio.client import ApiClient, Configuration

type Token = Callable[[], Awaitable[str]]
"""A bearer token that is good now."""

_CONNECTIONS = 32
_BEARER = "BearerToken"


class ConnectionInvalid(ServiceError):
    """What says how the cluster is reached is missing or cannot be used; the message says which part, and no secret."""

    default_code = "ClusterConnectionInvalid"


@dataclass(frozen=True)
class Endpoint:
    """An API server: its address, and how it and its caller know each other."""

    server: str
    authority: str = ""
    """The certificates that it is known by, as PEM; empty for those of the system."""
    token: Token | None = field(default=None, repr=False)
    certificate: str = field(default="", repr=False)
    """The caller's certificate and its key, as PEM."""
    server_name: str = ""
    """The name in its certificate, where that is not the address's."""
    proxy: str = field(default="", repr=False)
    verified: bool = True
    """False takes whatever certificate the server shows."""


def client(endpoint: Endpoint) -> "ApiClient":
    """A client for it. It takes no proxy from the environment. Raises ConnectionInvalid for certificates that are none."""
    import ssl  # noqa: PLC0415  # the package costs a third of a second, which an app without a cluster does not pay

    from kubernetes.aio.client import ApiClient  # noqa: PLC0415

    with _certificate_file(endpoint.certificate) as file:
        configuration = _configuration(endpoint)
        configuration.cert_file = f"/dev/fd/{file.fileno()}" if endpoint.certificate else None
        try:
            opened = ApiClient(configuration)
        except (ssl.SSLError, ValueError, OSError) as error:
            raise ConnectionInvalid("The cluster's connection holds a certificate or key that cannot be used.") from error
    opened.user_agent = "slipway"
    return opened


def _configuration(endpoint: Endpoint) -> "Configuration":
    import aiohttp  # noqa: PLC0415
    from kubernetes.aio.client import Configuration  # noqa: PLC0415

    configuration = Configuration(
        host=endpoint.server,
        ca_cert_data=endpoint.authority or None,
        verify_ssl=endpoint.verified,
        tls_server_name=endpoint.server_name or None,
        proxy=endpoint.proxy or None,
        connection_pool_maxsize=_CONNECTIONS,
        client_session_kwargs={"trust_env": False, "cookie_jar": aiohttp.DummyCookieJar()},
    )
    # Clusters make their own certificates, many without extensions that RFC 5280 asks for and Go's clients do not.
    configuration.disable_strict_ssl_verification = True
    if endpoint.token is not None:
        configuration.api_key[_BEARER] = ""
        configuration.refresh_api_key_hook = _signing(endpoint.token)  # type: ignore[assignment]  # typed as None
    return configuration


def _signing(token: Token) -> "Callable[[Configuration], Awaitable[None]]":
    async def sign(configuration: "Configuration") -> None:
        configuration.api_key[_BEARER] = f"Bearer {await token()}"

    return sign


def _certificate_file(certificate: str) -> IO[bytes]:
    """The certificate as a file without a name, in memory where the system can: `ssl` reads certificates from files only."""
    in_memory = hasattr(os, "memfd_create")
    file = os.fdopen(os.memfd_create("certificate"), "w+b") if in_memory else tempfile.TemporaryFile()  # noqa: SIM115
    file.write(certificate.encode())
    file.seek(0)
    return file
