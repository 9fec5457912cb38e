"""Which addresses may be fetched from: public ones, told when a connection is about to be opened to them.

Nothing reads a URL or resolves its name a second time and comes to another address.
"""

import ipaddress
import socket

import aiohttp

type _Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
_REFUSED_NETWORKS = tuple(
    ipaddress.ip_network(network)
    for network in (
        "168.63.129.16/32",  # Azure's own: is_global says it is public
        "192.88.99.0/24",  # relays into 6to4
        "2002::/16",  # 6to4, which holds an IPv4 address of any kind
        "2001::/32",  # Teredo, likewise
    )
)


class Gate:
    """Opens sockets to public addresses only, unless the host is allowed; `closed_to` is the last one it refused."""

    def __init__(self, *, allowed: bool) -> None:
        self._allowed = allowed
        self.closed_to = ""

    def socket(self, info: aiohttp.AddrInfoType) -> socket.socket:
        """A socket for that address, as it will be connected to; raises OSError."""
        family, kind, protocol, _, address = info
        if not self._allowed and not _public_text(str(address[0])):
            self.closed_to = str(address[0])
            raise OSError(f"{self.closed_to} is not public")
        return socket.socket(family, kind, protocol)


def _public_text(address: str) -> bool:
    """A host such as `127.1`, which is an address only to whom it is given last, counts as none."""
    try:
        return public(ipaddress.ip_address(address))
    except ValueError:
        return False


def public(address: _Address) -> bool:
    """Whether anybody on the internet could reach it: no loopback, private, link-local, metadata or embedded address."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    if mapped is not None:
        return public(mapped)
    if isinstance(address, ipaddress.IPv6Address) and address not in _GLOBAL_UNICAST:
        return False
    refused = any(address in network for network in _REFUSED_NETWORKS if network.version == address.version)
    return address.is_global and not address.is_multicast and not refused
