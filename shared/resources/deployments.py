"""Use cases of deployments. Source: api.md, 17 and 18."""

from shared.domain.accounts import Account
from shared.domain.deployments import Deployment
from shared.domain.filters import DeploymentFilters
from shared.domain.ports import Store
from shared.resources.found import found

_PAGE = 1000


class Deployments:
    """The history of what ran behind each service of an account."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, account: Account, identifier: str) -> Deployment:
        """One deployment; raises NotFound."""
        return (await found(self._store, account, Deployment, identifier)).document

    async def all(self, account: Account, filters: DeploymentFilters) -> list[Deployment]:
        """All deployments that fit the filters, newest first: this list has no pages."""
        deployments: list[Deployment] = []
        after = None
        while True:
            page = await self._store.page(account, Deployment, filters.given(), count=_PAGE, after=after)
            deployments += page.items
            if page.after is None:
                return deployments
            after = page.after
