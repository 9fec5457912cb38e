"""The registries that this app may talk to, each opened once."""

from collections.abc import Callable, Mapping

from shared.registries.authority import Authority, Identity
from shared.registries.logins import Login
from shared.registries.references import Reference
from shared.registries.registry import Registry, Repository

_AZURE = (".azurecr.io", ".azurecr.us", ".azurecr.cn")


class Registries:
    """Registries by host. Azure's are signed in to by the app's identity, any other by a login, or by nobody."""

    def __init__(self, logins: Mapping[str, Login], identity: Callable[[], Identity]) -> None:
        self._logins = logins
        self._identity = identity
        self._open: dict[str, Registry] = {}

    def registry(self, host: str) -> Registry:
        """The registry of that host."""
        if host not in self._open:
            login = self._logins.get(host)
            by_identity = host.endswith(_AZURE) and login is None
            self._open[host] = Registry(host, Authority(host, login, self._identity() if by_identity else None))
        return self._open[host]

    def repository(self, reference: Reference) -> Repository:
        """The repository that the reference names."""
        return self.registry(reference.host).repository(reference.repository)

    async def close(self) -> None:
        """Close all connections."""
        for registry in self._open.values():
            await registry.close()
        self._open.clear()
