"""Image references as people write them: `python:3.13-slim`, `ghcr.io/org/name@sha256:…`. Source: distribution."""

import ipaddress
import re
from dataclasses import dataclass, replace

from shared.registries.manifests import is_digest

_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::(?P<port>[0-9]{1,5}))?")
_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
HUB, _HUB_HOST = "docker.io", "registry-1.docker.io"
_AZURE = (".azurecr.io", ".azurecr.us", ".azurecr.cn")


@dataclass(frozen=True)
class Reference:
    """One image: the registry's host, a repository of it, and a tag or digest."""

    host: str
    repository: str
    selected: str

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """What the text names; raises ValueError."""
        name, at, digest = text.partition("@")
        first, slash, rest = name.partition("/")
        host = first if slash and (set(".:") & set(first) or first == "localhost") else ""
        path = rest if host else name
        path, colon, tag = path.partition(":")
        repository = path if host not in ("", HUB) or "/" in path else f"library/{path}"
        selected = digest if at else tag if colon else "latest"
        if (
            (host and not _is_host(host))
            or not _REPOSITORY.fullmatch(repository)
            or not (is_digest(selected) if at else _TAG.fullmatch(selected))
        ):
            raise ValueError(f"'{text[:200]}' names no image; accepts host/repository:tag and host/repository@sha256:….")
        return cls(host or HUB, repository, selected)

    def pinned(self, digest: str) -> "Reference":
        """The same repository, and exactly that image."""
        return replace(self, selected=digest)

    def __str__(self) -> str:
        mark = "@" if ":" in self.selected else ":"
        return f"{self.host}/{self.repository}{mark}{self.selected}"


def _is_host(text: str) -> bool:
    found = _HOST.fullmatch(text)
    return found is not None and 0 < int(found["port"] or 443) < 65536


def canonical_host(host: str) -> str:
    """One name for a registry that has several."""
    name = host.lower().removesuffix(":443")
    return HUB if name in (f"index.{HUB}", _HUB_HOST) else name


def is_tag(text: str) -> bool:
    """Whether that may be a tag."""
    return _TAG.fullmatch(text) is not None


def is_azure(host: str) -> bool:
    """Whether the registry of that host is one of Azure's."""
    return host.lower().endswith(_AZURE)


def base_url(host: str) -> str:
    """Where the registry of that host answers: by HTTPS, but on this machine."""
    if canonical_host(host) == HUB:
        return f"https://{_HUB_HOST}"
    return f"{'http' if is_loopback(host) else 'https'}://{host}"


def is_loopback(host: str) -> bool:
    """Whether a registry of that host, with or without a port, is on this machine."""
    name = host.rpartition("]")[0].lstrip("[") if host.startswith("[") else host.partition(":")[0]
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
