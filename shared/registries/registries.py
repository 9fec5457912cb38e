"""The registries that this app may talk to, each opened once."""

from collections.abc import Callable, Mapping

from shared.registries.authority import Authority, Identity
from shared.registries.logins import Login, login_key
from shared.registries.references import Reference, is_azure
from shared.registries.registry import Registry
from shared.registries.repository import Repository


class Registries:
    """Registries by host. Azure's are signed in to by the app's identity, any other by a login, or by nobody."""

    def __init__(self, logins: Mapping[str, Login], identity: Callable[[], Identity]) -> None:
        self._logins = logins
        self._identity = identity
        self._open: dict[tuple[str, str], Registry] = {}

    def registry(self, host: str, repository: str = "") -> Registry:
        """The registry of that host, signed in to as that repository of it wants it."""
        key = login_key(self._logins, host, repository)
        if (host, key) not in self._open:
            login = self._logins.get(key)
            by_identity = is_azure(host) and login is None
            self._open[host, key] = Registry(host, Authority(host, login, self._identity() if by_identity else None))
        return self._open[host, key]

    def repository(self, reference: Reference) -> Repository:
        """The repository that the reference names."""
        return self.registry(reference.host, reference.repository).repository(reference.repository)

    async def close(self) -> None:
        """Close all connections."""
        for registry in self._open.values():
            await registry.close()
        self._open.clear()
